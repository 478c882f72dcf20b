"""
Check a run of rows as PostgreSQL's binary COPY lays them out: columns, hashes and links of a few thousand at once.

What a whole run shares is checked as arrays: widths, ranges, seqs, times, event ids, links and the shape of groups.
What is left for each row is its payload's hash and its entry's. A run that does not fit in any way is not explained
here: it is walked again event by event by `verifier.chain`, which says what is wrong and where. So this module may
refuse what is good, at the price of time, and must never accept what is not.

The entry is laid out from the columns by this module itself and not by `ledger.chain.entry`: two encoders that both
give the stored hash are a check of each other, and docs/FORMAT.md is what both follow. Pure: bytes in, ends out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from ledger.chain.entry import ENTRY_LIMIT_BYTES, MAGIC, NO_ID, PAYLOAD_DOMAIN, PAYLOAD_LIMIT_BYTES, RecordedEvent
from verifier.walk import hashes

_FIXED: Final = (
    ("seq", "seq", ">i8"), ("epoch", "epoch", ">i4"), ("prev_hash", "prev_hash", "V32"),
    ("event_id", "event_id", "V16"), ("group_id", "group_id", "V16"), ("group_index", "group_index", ">i2"),
    ("group_size", "group_size", ">i2"), ("stream_version", "stream_version", ">i8"),
    ("occurred_at", "occurred_at", ">i8"), ("recorded_at", "recorded_at", ">i8"),
    ("effective_on", "effective_on", ">i4"),
    ("correlation_id", "coalesce(correlation_id, %(absent)s)", "V16"),
    ("causation_id", "coalesce(causation_id, %(absent)s)", "V16"),
    ("schema_version", "schema_version", ">i2"), ("request_hash", "request_hash", "V32"), ("hash", "hash", "V32"),
    ("salt", "salt", "V16"),
)  # fmt: skip
"""
Columns of one width each: name, how it is asked for, and its bytes. Those up to causation_id are in entry's order.
"""
_TEXTS: Final = ("event_type", "stream", "actor", "source", "idempotency_key", "payload")
_IN_HEAD: Final = tuple(name for name, _, _ in _FIXED[:13])

COLUMNS: Final = ", ".join((*(asked for _, asked, _ in _FIXED), *_TEXTS))
"""
What to select, in this order. `%(absent)s` is a uuid that stands for NULL: drawn at random for each run, so that nobody
can have stored it, and zeros, which no ledger stores, stay what they are.
"""

_ROW: Final = np.dtype(
    [("columns", ">i2")] + [part for name, _, kind in _FIXED for part in ((f"{name}:width", ">i4"), (name, kind))]
)
_SALTED: Final = np.dtype([("domain", f"V{len(PAYLOAD_DOMAIN)}"), ("salt", "V16")])
_HEAD: Final = np.dtype(
    [("magic", "V16"), ("chain_id", "V16")] + [(name, kind) for name, _, kind in _FIXED if name in _IN_HEAD]
)
_WIDTHS: Final = {f"{name}:width": np.dtype(kind).itemsize for name, _, kind in _FIXED}
_NUMBERS: Final = (
    "seq", "epoch", "group_index", "group_size", "stream_version", "occurred_at", "recorded_at", "schema_version",
)  # fmt: skip
_RAW: Final = ("prev_hash", "hash", "event_id", "group_id", "request_hash", "salt")
FIXED_BYTES: Final = _ROW.itemsize
_DAYS_TO_2000: Final = 10_957
"""PostgreSQL counts days from 2000-01-01, the entry from 1970-01-01."""
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
_NS_PER_MS: Final = 1_000_000


class End(msgspec.Struct, frozen=True):
    """
    What has to fit where two runs meet, of the first or the last event of one.

    `group` is (group id, index, size), `asked` what all events of one group share besides.
    """

    seq: int
    epoch: int
    prev_hash: bytes
    hash: bytes
    recorded_at: int
    group: tuple[bytes, int, int]
    asked: bytes

    @property
    def closes(self) -> bool:
        """
        Return whether a group ends here.
        """
        return self.group[1] + 1 == self.group[2]


class Run(msgspec.Struct, frozen=True):
    """
    A run of events: its two ends, and the hashes of its leaves where they were asked for.
    """

    first: End
    last: End
    leaves: list[bytes]


class Rows(msgspec.Struct, frozen=True):
    """
    Some rows, one after the other, and how many bytes each has.
    """

    data: bytes
    lengths: list[int]

    def __len__(self) -> int:
        return len(self.lengths)


def fits(before: End, after: End) -> bool:
    """
    Return whether one event may follow the other.
    """
    group, index, size = before.group
    in_group = after.group == (group, index + 1, size) and after.asked == before.asked
    begins = after.group[1] == 0 and after.group[0] != group
    return (
        after.seq == before.seq + 1 and after.prev_hash == before.hash and after.recorded_at > before.recorded_at
        and after.epoch >= before.epoch and (begins if before.closes else in_group)
    )  # fmt: skip


class Parsed(msgspec.Struct, frozen=True):
    """
    A run of rows taken apart: its columns are what columns of events can be, and follow each other in turn.
    """

    data: bytes
    fixed: NDArray[Any]
    head: NDArray[Any]
    places: list[list[int]]

    def __len__(self) -> int:
        return len(self.fixed)

    def ends(self) -> Run:
        """
        Return the ends of the run, of which nothing was hashed.
        """
        return Run(*_ends(self), [])

    def requests(self) -> Iterator[tuple[int, int, bytes, bytes, str, int, int, bytes]]:
        """
        Yield of each row what its group's request hash is made of: index and size of the group, salt, the hash, type,
        schema version, occurred at, payload.
        """
        data, fixed, places = self.data, self.fixed, self.places
        for index, size, salt, request, version, occurred, a, b, k, m in zip(
            fixed["group_index"].tolist(), fixed["group_size"].tolist(), _raw(fixed, "salt"),
            _raw(fixed, "request_hash"), fixed["schema_version"].tolist(), fixed["occurred_at"].tolist(),
            *places[:2], *places[-2:], strict=True,
        ):  # fmt: skip
            yield index, size, salt, request, data[a + 2 : b].decode(), version, occurred, data[k + 2 : m]

    def events(self, chain_id: bytes) -> Iterator[RecordedEvent]:
        """
        Yield the rows as events.
        """
        data, fixed, head = self.data, self.fixed, self.head
        for (
            seq, epoch, index, size, version, occurred, recorded, schema, days, correlation, causation, named, hashed,
            event_id, group_id, request, salt, a, b, c, d, e, f, g, h, i, j, k, m,
        ) in zip(
            *(fixed[name].tolist() for name in _NUMBERS), head["effective_on"].tolist(), _raw(head, "correlation_id"),
            _raw(head, "causation_id"), *(_raw(fixed, name) for name in _RAW), *self.places, strict=True,
        ):  # fmt: skip
            yield RecordedEvent(
                chain_id=chain_id, seq=seq, epoch=epoch, prev_hash=named, hash=hashed, event_id=event_id,
                event_type=data[a + 2 : b].decode(), schema_version=schema, stream=data[c + 2 : d].decode(),
                stream_version=version, group_id=group_id, group_index=index, group_size=size,
                idempotency_key=data[i + 2 : j].decode(), request_hash=request, occurred_at=occurred,
                recorded_at=recorded, effective_on=days, actor=data[e + 2 : f].decode(),
                source=data[g + 2 : h].decode(), correlation_id=correlation, causation_id=causation, salt=salt,
                payload=data[k + 2 : m],
            )  # fmt: skip


def parse(rows: Rows, chain_id: bytes, absent: bytes) -> Parsed | None:
    """
    Return one or more rows in order of seq taken apart, or None where anything about their columns does not fit.

    *absent* are the bytes that stand for an absent correlation or causation id.
    """
    data, lengths = rows.data, np.array(rows.lengths, np.int64)
    if lengths.min() < FIXED_BYTES:
        return None
    starts = np.cumsum(lengths) - lengths
    fixed = _anywhere(data, f"V{FIXED_BYTES}")[starts].view(_ROW)
    head = _head(fixed, chain_id, absent)
    places = _places(data, starts, lengths)
    if head is None or places is None or not _in_turn(fixed):
        return None
    return Parsed(data, fixed, head, places)


def check(parsed: Parsed, breathe: Callable[[], object], *, leaves: bool) -> Run | None:
    """
    Return the ends of a run, or None where hashes, links or groups do not fit; *breathe* is called on the way.
    """
    data, fixed, head, places = parsed.data, parsed.fixed, parsed.head, parsed.places
    *texts, begins, ends = places
    salted = np.empty(len(fixed), _SALTED)
    salted["domain"], salted["salt"] = np.void(PAYLOAD_DOMAIN), fixed["salt"]
    payloads = hashes.of_payloads(data, salted.view(f"V{_SALTED.itemsize}").tolist(), begins, ends)
    breathe()
    sizes = _anywhere(data, "V4")[np.array(begins) - 2].tolist()
    entries, made = hashes.of_entries(
        data, head.view(f"V{_HEAD.itemsize}").tolist(), _raw(fixed, "schema_version"), texts,
        _raw(fixed, "request_hash"), sizes, payloads,
    )  # fmt: skip
    stored, named = fixed["hash"].tobytes(), fixed["prev_hash"].tobytes()
    if made != stored or named[32:] != stored[:-32] or max(map(len, entries)) > ENTRY_LIMIT_BYTES:
        return None
    if not _groups_share(data, fixed, places):
        return None
    first, last = _ends(parsed)
    return Run(first, last, [sha256(b"\x00" + entry).digest() for entry in entries] if leaves else [])


def _anywhere(data: bytes, kind: str) -> NDArray[Any]:
    """Return what *data* has of this kind from each of its bytes on, to be taken where some begin."""
    width = np.dtype(kind).itemsize
    return np.ndarray(max(0, len(data) - width + 1), kind, data, strides=(1,))


def _head(fixed: NDArray[Any], chain_id: bytes, absent: bytes) -> NDArray[Any] | None:
    """Return the fixed part of each entry, or None where a column has another width or a value out of its range."""
    if (fixed["columns"] != len(_FIXED) + len(_TEXTS)).any():
        return None
    if any((fixed[name] != width).any() for name, width in _WIDTHS.items()):
        return None
    head = np.empty(len(fixed), _HEAD)
    head["magic"], head["chain_id"] = np.void(MAGIC), np.void(chain_id)
    for name in _IN_HEAD:
        head[name] = fixed[name]
    days = fixed["effective_on"].astype(np.int64) + _DAYS_TO_2000
    head["effective_on"] = days
    good = (
        (days >= _FIRST_DAY).all() and (days <= _LAST_DAY).all() and (fixed["seq"] > 0).all()
        and (fixed["epoch"] > 0).all() and (fixed["stream_version"] > 0).all() and (fixed["schema_version"] >= 0).all()
        and (fixed["group_index"] >= 0).all() and (fixed["group_index"] < fixed["group_size"]).all()
    )  # fmt: skip
    for name in ("correlation_id", "causation_id"):
        given = np.ascontiguousarray(fixed[name])
        if (given == np.void(NO_ID)).any():
            return None
        head[name] = np.where(given == np.void(absent), np.void(NO_ID), given)
    return head if good else None


def _places(data: bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[list[int]] | None:
    """
    Return where each text of each row begins and ends in *data*, one list a border, or None where they do not fit.

    A text's begin includes the lower half of the width before it: that is its length in two bytes, as the entry has it.
    """
    place, ends = starts + FIXED_BYTES, starts + lengths
    widths = _anywhere(data, ">u4")
    found: list[list[int]] = []
    for name in _TEXTS:
        if (place + 4 > ends).any():
            return None
        width = widths[place].astype(np.int64)
        if (width > (PAYLOAD_LIMIT_BYTES if name == "payload" else 0xFFFF)).any():
            return None
        found.append((place + 2).tolist())
        place = place + 4 + width
        found.append(place.tolist())
        if (place > ends).any():
            return None
    return found if bool((place == ends).all()) else None


def _in_turn(fixed: NDArray[Any]) -> bool:
    """Return whether seqs, epochs, times, event ids and groups follow each other."""
    times = fixed["recorded_at"].astype(np.int64)
    if len(fixed) > 1:
        seqs, epochs = fixed["seq"].astype(np.int64), fixed["epoch"].astype(np.int64)
        index, size = fixed["group_index"].astype(np.int64), fixed["group_size"].astype(np.int64)
        group = np.ascontiguousarray(fixed["group_id"])
        closed = index[:-1] + 1 == size[:-1]
        same = group[1:] == group[:-1]
        goes_on = same & (index[1:] == index[:-1] + 1) & (size[1:] == size[:-1])
        begins = ~same & (index[1:] == 0)
        if not (
            (np.diff(seqs) == 1).all() and (np.diff(epochs) >= 0).all() and (times[1:] > times[:-1]).all()
            and np.where(closed, begins, goes_on).all()
        ):  # fmt: skip
            return False
    halves = np.frombuffer(fixed["event_id"].tobytes(), ">u8").reshape(-1, 2).astype(np.uint64)
    high, low = halves[:, 0], halves[:, 1]
    within = (high & np.uint64(0xFFF)) << np.uint64(8) | low >> np.uint64(54) & np.uint64(0xFF)
    said = (high >> np.uint64(16)) * np.uint64(_NS_PER_MS) + within
    return bool(
        (times >= 0).all() and (said == times.astype(np.uint64)).all() and (within < _NS_PER_MS).all()
        and (high >> np.uint64(12) & np.uint64(0xF) == 7).all() and (low >> np.uint64(62) == 2).all()
    )  # fmt: skip


def _raw(fixed: NDArray[Any], name: str) -> list[bytes]:
    """Return the bytes of a column, row by row."""
    column = np.ascontiguousarray(fixed[name])
    found: list[bytes] = column.view(f"V{column.itemsize}").tolist()
    return found


def _asked(data: bytes, fixed: NDArray[Any], places: list[list[int]], row: int) -> bytes:
    """Return what all events of a group share besides its id and size."""
    shared = (data[places[border][row] : places[border + 1][row]] for border in (4, 6, 8))
    return b"".join((fixed["request_hash"][row].tobytes(), *shared))


def _groups_share(data: bytes, fixed: NDArray[Any], places: list[list[int]]) -> bool:
    """Return whether the events of each group in this run were asked for together: most groups have one event."""
    inner: list[int] = np.flatnonzero(fixed["group_index"] > 0).tolist()
    return all(_asked(data, fixed, places, row) == _asked(data, fixed, places, row - 1) for row in inner if row)


def _ends(parsed: Parsed) -> tuple[End, End]:
    data, fixed, places = parsed.data, parsed.fixed, parsed.places
    return _end(data, fixed, places, 0), _end(data, fixed, places, len(fixed) - 1)


def _end(data: bytes, fixed: NDArray[Any], places: list[list[int]], row: int) -> End:
    one = fixed[row]
    return End(
        int(one["seq"]), int(one["epoch"]), one["prev_hash"].tobytes(), one["hash"].tobytes(), int(one["recorded_at"]),
        (one["group_id"].tobytes(), int(one["group_index"]), int(one["group_size"])), _asked(data, fixed, places, row),
    )  # fmt: skip
