"""
Follow the chain event by event: bytes, links, seqs, times, groups, streams, keys and request hashes.

A broken place is reported once, and the check goes on from what is stored after it, so that one edit is one finding
and not a finding for every event that follows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from ledger.chain.entry import RecordedEvent, request_hash, split_payload
from ledger.chain.link import genesis
from ledger.errors import LedgerError
from verifier import conviction
from verifier.conviction import Witnesses
from verifier.reader import ChainRow
from verifier.report import Finding

Foresee = Callable[[RecordedEvent], dict[str, list[Any]]]
"""What the rules would make of an event: candidates for its columns."""

DEEP_LIMIT = 100
"""For how many broken events every small edit is tried (up to a second each); after them only what others state."""

_SEEN = ("actor", "source", "epoch", "correlation_id", "causation_id", "event_type", "schema_version")


class ChainCheck:
    """
    The state of one walk along a chain.

    *key_at* are the (source, key) by first seq, *foresee* asks the rules.
    """

    def __init__(self, chain: ChainRow, keys: dict[tuple[str, str], int], foresee: Foresee) -> None:
        self._chain = chain
        self._key_at = {seq: pair for pair, seq in keys.items()}
        self._keys = keys
        self._foresee = foresee
        self._seen: dict[str, set[Any]] = {name: set() for name in _SEEN}
        self._used: set[tuple[str, str]] = set()
        self._group: list[RecordedEvent] = []
        self._before: RecordedEvent | None = None
        self.seq = 0
        self.hash = genesis(chain.chain_id, chain.origin)
        self.recorded_at = 0
        self.epoch = 1
        self.findings: list[Finding] = []
        self.last_good = 0
        self._convicted = 0

    def walk(self, events: Iterable[RecordedEvent]) -> Iterator[RecordedEvent]:
        """
        Yield each event as it was recorded: as stored, or mended where the original is known.
        """
        waiting: deque[RecordedEvent] = deque()
        for event in events:
            waiting.append(event)
            if len(waiting) == 2:
                yield self._check(waiting.popleft(), waiting[0])
        if waiting:
            yield self._check(waiting.popleft(), None)
        self._end_group()
        for (source, key), seq in self._keys.items():
            if (source, key) not in self._used:
                self._found("KEY_MISMATCH", "a recorded group", f"first_seq {seq}", table="idempotency_keys",
                            key=(source, key), column="source or key")  # fmt: skip

    def _found(self, kind: str, expected: str, actual: str, **place: Any) -> None:
        self.findings.append(Finding(kind, expected, actual, **place))

    def _check(self, event: RecordedEvent, following: RecordedEvent | None) -> RecordedEvent:
        count = len(self.findings)
        if event.seq != self.seq + 1:
            missing = f"{self.seq + 1}" if event.seq == self.seq + 2 else f"{self.seq + 1} to {event.seq - 1}"
            self._found("SEQ_GAP", f"event {missing}", "no such row", seq=self.seq + 1, column="seq")
            self.hash = event.prev_hash
            self._end_group()
        true_hash = self._true_hash(event, following)
        if not conviction.hashes_to(event, true_hash):
            event = self._broken(event, true_hash)
        if event.hash != true_hash and conviction.hashes_to(event, true_hash):
            self._found("BYTES_MODIFIED", true_hash.hex(), event.hash.hex(), seq=event.seq, column="hash")
            event = msgspec.structs.replace(event, hash=true_hash)
        if event.prev_hash != self.hash:
            self._found("CHAIN_BREAK", self.hash.hex(), event.prev_hash.hex(), seq=event.seq, column="prev_hash")
        self._times(event)
        self._groups(event)
        for name in _SEEN:
            self._seen[name].add(getattr(event, name))
        self.seq, self.hash = event.seq, event.hash
        self.recorded_at, self.epoch = event.recorded_at, event.epoch
        self._before = event
        if len(self.findings) == count and self.last_good == event.seq - 1:
            self.last_good = event.seq
        return event

    def _true_hash(self, event: RecordedEvent, following: RecordedEvent | None) -> bytes:
        """Return the hash the event had: its own column, unless its successor and its bytes agree on another."""
        if conviction.hashes_to(event, event.hash) or following is None or following.seq != event.seq + 1:
            if following is None and event.seq == self._chain.seq and not conviction.hashes_to(event, event.hash):
                return self._chain.hash
            return event.hash
        return following.prev_hash if conviction.hashes_to(event, following.prev_hash) else event.hash

    def _broken(self, event: RecordedEvent, true_hash: bytes) -> RecordedEvent:
        stated = self._foresee(event)
        stated.setdefault("seq", []).append(self.seq + 1)
        stated["prev_hash"] = [self.hash]
        stated["epoch"] = [self._before.epoch] if self._before else [1]
        source, key = self._key_at.get(event.seq - event.group_index, (None, None))
        if key is not None:
            stated["idempotency_key"], stated["source"] = [key], [source]
        time = conviction.event_time(event.event_id)
        stated["recorded_at"] = [] if time is None else [time]
        stated["group_index"] = [0, len(self._group), event.seq - 1 - self.seq]
        stated["group_size"] = [1, *([self._group[0].group_size] if self._group else [])]
        if self._group:
            stated["group_id"] = [self._group[0].group_id]
        if event.group_size == 1:
            stated["request_hash"] = self._asked([event])
        self._convicted += 1
        deep = self._convicted <= DEEP_LIMIT
        found = conviction.convict(event, true_hash, Witnesses(stated, self._seen), deep=deep)
        if found is None:
            column = conviction.suspects(event, self._confirmed(event, stated))
            self._found(
                "BYTES_MODIFIED", f"bytes of hash {true_hash.hex()}", "other bytes", seq=event.seq, column=column
            )
            return msgspec.structs.replace(event, hash=true_hash)
        column, value = found
        self._found("BYTES_MODIFIED", _text(value), _text(getattr(event, column)), seq=event.seq, column=column)
        return msgspec.structs.replace(event, **{column: value})

    def _confirmed(self, event: RecordedEvent, stated: dict[str, list[Any]]) -> set[str]:
        return {column for column, values in stated.items() if getattr(event, column) in values}

    def _asked(self, events: list[RecordedEvent]) -> list[bytes]:
        try:
            parts = [(e.event_type, e.schema_version, e.occurred_at, split_payload(e.payload)[1]) for e in events]
            return [request_hash(events[0].salt, parts)]
        except LedgerError:
            return []

    def _times(self, event: RecordedEvent) -> None:
        if event.recorded_at <= self.recorded_at:
            self._found("CLOCK", f"later than {self.recorded_at}", str(event.recorded_at), seq=event.seq,
                        column="recorded_at")  # fmt: skip
        if conviction.event_time(event.event_id) != event.recorded_at:
            self._found("CLOCK", f"an id of time {event.recorded_at}", event.event_id.hex(), seq=event.seq,
                        column="event_id")  # fmt: skip

    def _groups(self, event: RecordedEvent) -> None:
        if event.group_index == 0:
            self._end_group()
            self._group = [event]
        else:
            self._group.append(event)
            first = self._group[0]
            same = ("group_id", "group_size", "idempotency_key", "request_hash", "source", "actor")
            wrong = [name for name in same if getattr(event, name) != getattr(first, name)]
            if wrong or event.group_index != len(self._group) - 1:
                column = wrong[0] if wrong else "group_index"
                expected = "the next event of its group"
                self._found("GROUP_PARTIAL", expected, f"another {column}", seq=event.seq, column=column)
        if len(self._group) == event.group_size:
            self._end_group()

    def _end_group(self) -> None:
        group, self._group = self._group, []
        if not group:
            return
        first = group[0]
        if len(group) != first.group_size:
            self._found(
                "GROUP_PARTIAL", f"{first.group_size} events", f"{len(group)}", seq=first.seq, column="group_size"
            )
        elif self._asked(group) != [first.request_hash]:
            self._found("REQUEST_MISMATCH", "the hash of what was asked", first.request_hash.hex(), seq=first.seq,
                        column="request_hash")  # fmt: skip
        pair = (first.source, first.idempotency_key)
        self._used.add(pair)
        if self._keys.get(pair) != first.seq:
            self._found("KEY_MISMATCH", f"first_seq {first.seq}", str(self._keys.get(pair)), table="idempotency_keys",
                        key=pair, column="first_seq" if pair in self._keys else "source or key")  # fmt: skip


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode() if value.startswith(b"{") else value.hex()
        except UnicodeDecodeError:
            return value.hex()
    return str(value)
