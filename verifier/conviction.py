"""
Name the column that was changed, when an event's bytes no longer give its hash.

The hash says that something was changed; it does not say what. So each column is asked in turn: is there a plausible
original, one that another witness gives (the neighbours, the key table, the rules, the time inside the event id) or
one small edit away, with which the hash verifies again? Only the true original can, so a column for which one is
found is convicted, and the original is known. Where none is found, columns with a witness that confirms them are
exonerated, and the others are named as suspects.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from blake3 import blake3

from ledger.chain import event_id
from ledger.chain.entry import NO_ID, STORED, WIDTHS, RecordedEvent, encode, request_hash, split_payload
from ledger.domain import registry
from ledger.errors import LedgerError
from verifier.absent import is_absent, shown

COLUMNS: Final = tuple(name for name in RecordedEvent.__struct_fields__ if name != "hash")
_CHARACTERS: Final = string.ascii_letters + string.digits + string.punctuation + " "
_SMALL_EDIT_LIMIT_BYTES: Final = 1_500
_RANGES: Final = {name: (least, most) for name, least, most in STORED}


class Witnesses(msgspec.Struct):
    """
    What else is known about an event: columns as others state them, and values seen in the chain.
    """

    stated: dict[str, list[Any]]
    seen: dict[str, dict[Any, None]]


def hashes_to(event: RecordedEvent, stored: bytes) -> bool:
    """
    Return whether the event's columns give the hash *stored*.
    """
    try:
        return blake3(encode(event)).digest() == stored
    except LedgerError:
        return False


def convict(
    event: RecordedEvent, true_hash: bytes, witnesses: Witnesses, *, deep: bool = True
) -> tuple[str, Any] | None:
    """
    Return (column, original value) of the one column that was changed, or None where it cannot be told.

    *deep* also tries every small edit of every column, not only what other witnesses state.
    """
    for column in COLUMNS:
        for value in witnesses.stated.get(column, ()):
            if _fits(event, column, value, true_hash):
                return column, value
    for column in COLUMNS if deep else ():
        for value in _plausible(event, column, witnesses):
            if _fits(event, column, value, true_hash):
                return column, value
    return None


def _fits(event: RecordedEvent, column: str, value: Any, true_hash: bytes) -> bool:
    now = getattr(event, column)
    return value != now and hashes_to(msgspec.structs.replace(event, **{column: value}), true_hash)


def _plausible(event: RecordedEvent, column: str, witnesses: Witnesses) -> Iterator[Any]:
    yield from witnesses.seen.get(column, ())
    now = getattr(event, column)
    if column == "chain_id":
        # It is of the chain and not of the event: only other chains of the database are candidates.
        return
    if column == "event_type":
        yield from registry.EVENT_TYPES
    if column in ("correlation_id", "causation_id"):
        yield NO_ID
    if isinstance(now, int):
        yield from near_integers(now)
    elif isinstance(now, bytes) and len(now) <= _SMALL_EDIT_LIMIT_BYTES:
        yield from _near_bytes(now, text=column == "payload")
    elif isinstance(now, str):
        yield from (edited.decode("utf-8", "ignore") for edited in _near_bytes(now.encode(), text=True))


def near_integers(now: int) -> Iterator[int]:
    """
    Yield what an integer may have been before a small edit: a few more or less, of any unit of time, or one bit.
    """
    for delta in range(1, 1001):
        yield now + delta
        yield now - delta
    for unit in (10**3, 10**6, 10**9, 60 * 10**9, 3600 * 10**9, 86_400 * 10**9):
        for count in range(1, 61):
            yield now + unit * count
            yield now - unit * count
    for bit in range(63):
        yield now ^ (1 << bit)


def _near_bytes(now: bytes, *, text: bool) -> Iterator[bytes]:
    alphabet = _CHARACTERS.encode() if text else bytes(range(256))
    for place in range(len(now)):
        for byte in alphabet:
            yield now[:place] + bytes([byte]) + now[place + 1 :]
    if text:
        for place in range(len(now) + 1):
            yield now[:place] + now[place + 1 :]
            for byte in alphabet:
                yield now[:place] + bytes([byte]) + now[place:]


def broken(event: RecordedEvent) -> dict[str, str]:
    """
    Return the columns whose value none can have, whatever the others have, each with what is said of it.
    """
    said = {}
    for name in COLUMNS:
        value = getattr(event, name)
        if is_absent(value):
            said[name] = shown(value)
        elif name in WIDTHS and len(value) != WIDTHS[name]:
            said[name] = f"{len(value)} bytes"
        elif name in _RANGES and not _RANGES[name][0] <= value <= _RANGES[name][1]:
            said[name] = str(value)
    if "payload" not in said and not _has_members(event.payload):
        said["payload"] = "not its two members"
    return said


def suspects(event: RecordedEvent, confirmed: Iterable[str]) -> str:
    """
    Return the columns that no witness confirms, as text: first those that are broken by themselves.
    """
    certain = broken(event)
    # What the rules make of a payload is no witness of it: only that it is what was asked for is.
    good = set(confirmed) - {"payload", "event_type", "schema_version"}
    if event_time(event.event_id) == event.recorded_at:
        good |= {"recorded_at"}
    if event.group_size == 1 and _request_holds(event):
        good |= {"event_type", "schema_version", "occurred_at", "salt", "request_hash"}
        good |= {"payload"} & set(confirmed)
    named = [*certain, *(x for x in COLUMNS if x not in good and x not in certain and x != "chain_id")]
    return " or ".join(named) or "payload"


def event_time(identifier: bytes) -> int | None:
    """
    Return the recorded_at inside an event id, or None where it is none.
    """
    try:
        return event_id.recorded_at(identifier)
    except LedgerError:
        return None


def _has_members(payload: bytes) -> bool:
    try:
        split_payload(payload)
    except LedgerError:
        return False
    return True


def _request_holds(event: RecordedEvent) -> bool:
    try:
        given = split_payload(event.payload)[1]
        asked = request_hash(event.salt, [(event.event_type, event.schema_version, event.occurred_at, given)])
    except LedgerError:
        return False
    return asked == event.request_hash
