"""
Say what has to fit between an event and the next: link, time, id and group, also where two ranges meet.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ledger.chain.entry import Entry
from verifier.report import Finding


class Seam(msgspec.Struct, frozen=True):
    """
    What has to fit to a neighbour, of one event; `group` is its group's id, its place there and the group's size.
    """

    seq: int
    prev_hash: bytes
    hash: bytes
    recorded_at: int
    event_id: bytes
    group: tuple[bytes, int, int]
    epoch: int
    request_hash: bytes
    source: str
    actor: str
    idempotency_key: str


_ASKED: Final = ("request_hash", "source", "actor", "idempotency_key")
"""What all events of a group have in common besides their group."""


def seam_of(fields: Entry, digest: bytes) -> Seam:
    """
    Return what of an entry has to fit; *digest* is the entry's hash.
    """
    group = (fields.group_id, fields.group_index, fields.group_size)
    return Seam(
        fields.seq, fields.prev_hash, digest, fields.recorded_at, fields.event_id, group, fields.epoch,
        fields.request_hash, fields.source, fields.actor, fields.idempotency_key,
    )  # fmt: skip


def finding(kind: str, expected: str, actual: str, path: str, seq: int | None = None, column: str = "") -> Finding:
    """
    Return what is wrong in the file at *path* of an archive.
    """
    return Finding(kind, expected, actual, seq=seq, table="archive", key=(path,), column=column or None)


def misfits(before: Seam, after: Seam, path: str) -> list[Finding]:
    """
    Return what does not fit between an event and the next, which stands in the file at *path*.
    """
    found = []
    if after.prev_hash != before.hash:
        found.append(finding("CHAIN_BREAK", before.hash.hex(), after.prev_hash.hex(), path, after.seq, "prev_hash"))
    if after.recorded_at <= before.recorded_at or after.event_id <= before.event_id:
        expected, actual = f"later than {before.recorded_at}", str(after.recorded_at)
        found.append(finding("CLOCK", expected, actual, path, after.seq, "recorded_at"))
    if after.epoch < before.epoch:
        found.append(finding("STATE_MISMATCH", f"at least {before.epoch}", str(after.epoch), path, after.seq, "epoch"))
    (group, index, size), (found_group, found_index, found_size) = before.group, after.group
    actual = f"event {found_index} of {found_size} of group {found_group.hex()}"
    goes_on = index + 1 < size
    if goes_on and (found_group, found_index, found_size) != (group, index + 1, size):
        expected = f"event {index + 1} of {size} of group {group.hex()}"
        found.append(finding("GROUP_PARTIAL", expected, actual, path, after.seq, "group_id"))
    elif goes_on:
        for column in _ASKED:
            expected, actual = (_text(getattr(one, column)) for one in (before, after))
            if actual != expected:
                found.append(finding("GROUP_PARTIAL", expected, actual, path, after.seq, column))
    elif found_index != 0 or found_group == group:
        found.append(finding("GROUP_PARTIAL", "the first event of a group", actual, path, after.seq, "group_id"))
    return found


def _text(value: bytes | str) -> str:
    return value.hex() if isinstance(value, bytes) else value
