"""
Append requests that stand in a file, one a line: what a program wrote, or another ledger was given.

A line is a JSON object: `key`, `actor`, `occurred_at` (ns since 1970), and `events`, a list of `{type, version, given}`
that commit together or not at all. Which source they count for is no claim of the file's: it is the login's right. The
same file again appends nothing, and one that was interrupted goes on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from ledger.domain import registry
from ledger.errors import (
    InvalidEvent,
    InvalidInput,
    LedgerError,
    NotPermitted,
    NotPrimary,
    Rejected,
    SchemaVersion,
    StaleEpoch,
    Unavailable,
    UnknownFormat,
    shortened,
)
from ledger.importing import lines
from ledger.journal.answers import Receipt
from ledger.journal.group import Group
from ledger.journal.ledger import Ledger
from ledger.once import once

BATCH_LINES: Final = 10_000
"""Requests that are on their way together."""


class _Event(msgspec.Struct, forbid_unknown_fields=True):
    given: msgspec.Raw
    type: str
    version: int = 1


class _Line(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    actor: str
    events: list[_Event]
    key: str
    occurred_at: int | None = None


_DECODER: Final = msgspec.json.Decoder(_Line)
_ENCODER: Final = msgspec.json.Encoder()
_KEYS: Final = json.JSONDecoder(object_pairs_hook=once, parse_int=str, parse_float=str)
"""What sees a key that stands twice, of which the decoder above takes the last."""


class Report(msgspec.Struct):
    """
    What was read and recorded, by event type; how many requests were recorded before; what was quarantined, by rule.
    """

    read: Counter[str]
    appended: int
    replayed: int
    quarantined: Counter[str]
    head: dict[str, int | str]
    schema_version: int = 1


def encode(group: Group) -> bytes:
    """
    Return a request as a line, without its end.
    """
    given = [
        _Event(msgspec.Raw(registry.encode_given(event)), registry.type_name(event), event.SCHEMA_VERSION)
        for event in group.events
    ]
    return _ENCODER.encode(_Line(group.actor, given, group.key, group.occurred_at))


def decode(line: bytes) -> Group:
    """
    Return the request that a line holds.

    Raises:
        InvalidEvent: it is no request, a key stands twice in it, or it is of an event that this program does not know.
        UnknownFormat: an event of a version that is newer than this program.
    """
    try:
        found = _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent(f"found {line[:60]!r}, which is no request ({shortened(str(error))})") from error
    events = tuple(registry.decode_given(one.type, one.version, bytes(one.given)) for one in found.events)
    try:
        _KEYS.decode(line.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidEvent(f"found {line[:60]!r}, which is no request ({shortened(str(error))})") from error
    return Group(events, found.key, found.actor, found.occurred_at)


def _batches(path: Path) -> Iterator[list[tuple[int, Group]]]:
    batch: list[tuple[int, Group]] = []
    try:
        for number, line in lines.read_raw(path):
            try:
                batch.append((number, decode(line)))
            except Rejected as error:
                raise type(error)(f"{path}:{number}: {error}") from error
            except UnknownFormat as error:
                # Nothing is wrong with the chain: a line that this program cannot read is a request to change.
                raise InvalidEvent(f"{path}:{number}: {error}") from error
            if len(batch) == BATCH_LINES:
                yield batch
                batch = []
    except (Rejected, InvalidInput):
        # What was read before an error is recorded all the same: the next run then goes on from there.
        yield batch
        raise
    yield batch


def append(ledger: Ledger, path: Path, progress: Callable[[int], None] = lambda count: None) -> Report:
    """
    Append every request in *path* in its order, and return what became of them.

    Raises:
        Rejected: a line is damaged or refused; it is named, and what came before it is recorded.
        Unavailable: the ledger cannot append now; run it again.
    """
    report = Report(Counter(), 0, 0, Counter(), {})
    for batch in _batches(path):
        outcomes = ledger.append_many(group for _, group in batch)
        for (number, group), outcome in zip(batch, outcomes, strict=True):
            if not isinstance(outcome, Receipt):
                raise _named(path, number, outcome)
            for event in group.events:
                report.read[type(event).__name__] += 1
            if outcome.replayed:
                report.replayed += 1
            else:
                report.appended += len(group.events)
                report.quarantined.update(one.rule for one in outcome.quarantined)
        progress(len(batch))
    head = ledger.head()
    report.head = {"seq": head.seq, "hash": head.hash.hex()}
    return report


def _named(path: Path, number: int, error: LedgerError) -> LedgerError:
    if isinstance(error, Unavailable):
        remedy = "run it again"
    elif isinstance(error, NotPrimary | NotPermitted | SchemaVersion | StaleEpoch):
        remedy = "nothing is wrong with the line: set that right"
    else:
        remedy = "mend or take out the line"
    return type(error)(
        f"{path}:{number}: {error}; the lines before it, and some on their way with it, are recorded: {remedy}, and a "
        "second run goes on from there"
    )
