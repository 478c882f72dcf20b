"""
Recompute what a group's caller asked for, from what its payloads say was given, also where a group reaches over ranges.

The hash of a request goes over all events of its group. What one range has of a group that another begins or ends is
handed on as the bytes to be hashed; a group is never larger than the ledger takes one, so neither is what is handed on.
"""

from __future__ import annotations

from typing import Final

import msgspec
from blake3 import blake3

from ledger.chain.entry import Entry, request_head, request_part, split_payload
from ledger.errors import LedgerError
from verifier.archive.seams import finding
from verifier.report import Finding

LIMIT_BYTES: Final = 2 * 1024 * 1024
"""More than the ledger takes as one group: its payloads have at most 1 MiB, and its events 10,000 heads besides."""


class Asked(msgspec.Struct, frozen=True):
    """
    What is to be hashed of a group as far as it was read, where it began, and the hash that its events state.

    `seq` is 0 where the group began before what was read.
    """

    seq: int
    stated: bytes
    preimage: bytes


class Ends(msgspec.Struct, frozen=True):
    """
    What a range has of groups that reach over its ends.

    `head` is of the group that began before the range, None where there is none or it is not known; `head_ends` says
    whether it ends here. `tail` is of the group that goes on after it.
    """

    head: Asked | None
    head_ends: bool
    tail: Asked | None


class GroupCheck:
    """
    One walk over the groups of a range.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._known = True
        """Whether all of the group so far was read; a range begins as if it stood in a group."""
        self._seq = 0
        self._stated = b""
        self._head: Asked | None = None
        self._head_ends = False
        self._head_last = 0
        self._inside = True

    def lose(self) -> None:
        """
        Pass by an event of which it is not known what was given, so that its group cannot be judged.
        """
        self._known = False

    def lose_with(self, seq: int) -> None:
        """
        Judge no group by the event at *seq*, which was taken and is another than it was: neither one that is open, nor
        the one that began before the range.
        """
        if self._inside or self._seq <= seq:
            self.lose()
        if self._head is not None and seq <= self._head_last:
            self._head = None

    def take(self, fields: Entry, salt: bytes, payload: bytes, path: str) -> list[Finding]:
        """
        Take the next event, whose payload is the one that its entry names; return what is wrong with its group.
        """
        if fields.group_index == 0:
            self._begin(fields, salt)
        if not self._known:
            return []
        self._stated = fields.request_hash
        try:
            given = split_payload(payload)[1]
            part = request_part(fields.event_type, fields.schema_version, fields.occurred_at, given)
        except LedgerError as error:
            self.lose()
            expected = "a payload of what the rules made and what was given"
            return [finding("REQUEST_MISMATCH", expected, str(error), path, fields.seq, "payload")]
        self._parts.append(part)
        self._size += len(part)
        if self._size > LIMIT_BYTES:
            self.lose()
            expected = f"a group of at most {LIMIT_BYTES} bytes"
            return [finding("REQUEST_MISMATCH", expected, "a larger one", path, self._seq or fields.seq, "group_size")]
        return self._end(path, fields.seq) if fields.group_index + 1 == fields.group_size else []

    def _begin(self, fields: Entry, salt: bytes) -> None:
        self._inside, self._known = False, True
        self._parts, self._seq = [request_head(salt)], fields.seq
        self._size = 0

    def _end(self, path: str, last: int) -> list[Finding]:
        whole = self._so_far()
        self._known = False
        if self._inside:
            self._head_last = last
            self._head, self._head_ends, self._inside = whole, True, False
            return []
        return unlike(whole, path)

    def _so_far(self) -> Asked:
        return Asked(self._seq, self._stated, b"".join(self._parts))

    def ends(self) -> Ends:
        """
        Return what reaches over the ends of the range, once all of it was taken.
        """
        open_now = self._so_far() if self._known and self._parts else None
        if self._inside:
            return Ends(open_now, False, None)
        return Ends(self._head, self._head_ends, open_now)


def joined(before: Asked | None, ends: Ends, path: str) -> tuple[Asked | None, list[Finding]]:
    """
    Return what is open after a range of which *ends* are known, and what is wrong with the group that it ends.

    *before* is what was open before it, None where that is not known.
    """
    if ends.head is None or before is None:
        return ends.tail, []
    whole = Asked(before.seq, before.stated, before.preimage + ends.head.preimage)
    if ends.head_ends:
        return ends.tail, unlike(whole, path)
    if len(whole.preimage) > LIMIT_BYTES:
        expected = f"a group of at most {LIMIT_BYTES} bytes"
        return None, [finding("REQUEST_MISMATCH", expected, "a larger one", path, before.seq, "group_size")]
    return whole, []


def unlike(whole: Asked, path: str) -> list[Finding]:
    """
    Return what is wrong where the events of a whole group were not asked for as they state.
    """
    made = blake3(whole.preimage).digest()
    if made == whole.stated:
        return []
    return [finding("REQUEST_MISMATCH", made.hex(), whole.stated.hex(), path, whole.seq, "request_hash")]
