"""
Check that each group is what was asked for: by its request hash, which is over what was given and not what was derived.

A group may stand across the border of two ranges, which are checked by two processes. Each checks those that lie within
its own range; who applies the rules to all events checks the few others.
"""

from __future__ import annotations

from ledger.chain.entry import RecordedEvent, request_hash, split_payload
from ledger.errors import LedgerError
from verifier.keys import KeyCheck
from verifier.walk.layout import Parsed
from verifier.walk.replaying import Doubt


class Requests:
    """
    The events of the group that is not at its end yet.

    The first event of each group is passed on to its key, where keys are read. With *across*, only groups are checked
    that stand across a border of ranges of so many events.
    """

    def __init__(self, keys: KeyCheck | None = None, across: int | None = None) -> None:
        self._keys, self._across = keys, across
        self._salt = b""
        self._group: list[tuple[str, int, int, bytes]] = []

    def take(self, event: RecordedEvent) -> tuple[bytes, bytes]:
        """
        Return what the ledger derived of the next event, and what was given.

        Raises:
            Doubt: the payload is not those two, or its group's request hash is another.
        """
        try:
            derived, given = split_payload(event.payload)
            if event.group_index == 0 and self._keys is not None:
                self._keys.use(event)
            size, index = event.group_size, event.group_index
            if self._across is None or (size > 1 and crosses(event.seq - index, size, self._across)):
                if index == 0:
                    self._salt, self._group = event.salt, []
                self._group.append((event.event_type, event.schema_version, event.occurred_at, given))
                if index + 1 == size and request_hash(self._salt, self._group) != event.request_hash:
                    raise Doubt
        except LedgerError as error:
            raise Doubt from error
        return derived, given


def crosses(first: int, size: int, border: int) -> bool:
    """
    Return whether a group of *size* events from seq *first* on lies in more than one range of *border* events.
    """
    return (first - 1) // border != (first + size - 2) // border


class Within:
    """
    The check of the groups that begin and end in one range, whose rows come by runs.
    """

    def __init__(self) -> None:
        self._salt = b""
        self._group: list[tuple[str, int, int, bytes]] = []
        self._begun = False

    def good(self, parsed: Parsed) -> bool:
        """
        Return whether each group that ends in the next run is what was asked for, as far as it began in this range.
        """
        try:
            for index, size, salt, request, name, version, occurred, payload in parsed.requests():
                if index == 0:
                    self._salt, self._group, self._begun = salt, [], True
                if not self._begun:
                    continue
                self._group.append((name, version, occurred, split_payload(payload)[1]))
                if index + 1 == size and request_hash(self._salt, self._group) != request:
                    return False
        except LedgerError:
            return False
        return True
