"""
Check how a chain is followed event by event, in memory: what is wrong is named once, and the walk goes on behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest
from blake3 import blake3

from ledger.chain import entry
from ledger.chain.entry import RecordedEvent
from ledger.chain.link import genesis
from tests.archiving import chains
from verifier import chain
from verifier.chain import ChainCheck
from verifier.keys import KeyCheck
from verifier.report import Findings
from verifier.stored import ChainRow, KeyRow

HISTORY = chains.chain(60)
LAST = HISTORY[-1]
OTHER_CHAIN = b"another chain id"
ALONE, GROUPED = 18, 11
"""An event that is a group by itself, and the second of a group of three."""
assert [HISTORY[ALONE - 1].group_size, HISTORY[GROUPED - 1].group_index, HISTORY[GROUPED - 1].group_size] == [1, 1, 3]

Place = tuple[str, int | None, str | None, str, str, int | None]
"""Class, seq, column, what was expected and found, and the event that it may follow from."""


class Walked(msgspec.Struct):
    """What came of a walk, the events that it yielded, and the check at its end."""

    found: list[Place]
    events: list[RecordedEvent]
    check: ChainCheck


def foresees_nothing(event: RecordedEvent) -> dict[str, list[Any]]:
    return {}


def walked(
    rows: Iterable[RecordedEvent],
    foresee: chain.Foresee = foresees_nothing,
    keys: Iterable[RecordedEvent] = HISTORY,
    after: RecordedEvent | None = None,
    *,
    edits: bool = True,
) -> Walked:
    findings = Findings()
    row = ChainRow(1, chains.CHAIN_ID, chains.ORIGIN, 1, genesis(chains.CHAIN_ID, chains.ORIGIN), LAST.seq, LAST.hash,
                   LAST.recorded_at, LAST.epoch, "primary")  # fmt: skip
    table = KeyCheck(KeyRow(x.source, x.idempotency_key, x.seq) for x in keys if x.group_index == 0)
    check = ChainCheck(row, [OTHER_CHAIN], table, foresee, findings, edits=edits)
    if after is not None:
        check.start_after(after.seq, after.hash, after.recorded_at, after.epoch)
    events = list(check.walk(sorted(rows, key=lambda event: event.seq)))
    findings.add(table.findings())
    found = [(x.kind, x.seq if x.table is None else None, x.column, x.expected, x.actual, x.after)
             for x in findings.all(check.lost)]  # fmt: skip
    return Walked(found, events, check)


def changed(at: int, **changes: Any) -> list[RecordedEvent]:
    return [msgspec.structs.replace(event, **changes) if event.seq == at else event for event in HISTORY]


def of(at: int, column: str) -> Any:
    return getattr(HISTORY[at - 1], column)


def text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try no small edits: what others state is all that there is."""
    monkeypatch.setattr(chain, "DEEP_LIMIT", 0)


def test_a_good_chain_is_yielded_as_it_is() -> None:
    """From its genesis, or behind an event that is known to be good."""
    whole = walked(HISTORY)
    assert (whole.found, whole.events) == ([], list(HISTORY))
    check = whole.check
    assert (check.seq, check.hash, check.recorded_at, check.epoch) == (60, LAST.hash, LAST.recorded_at, 1)
    assert (check.last_good, check.lost) == (60, None)
    part = walked(HISTORY[20:], after=HISTORY[19], keys=HISTORY[20:])
    assert (part.found, part.events, part.check.last_good) == ([], list(HISTORY[20:]), 60)
    assert walked([], keys=[]).check.last_good == 0


STATED: list[tuple[int, str, Any]] = [
    (ALONE, "epoch", 8), (ALONE, "prev_hash", bytes(32)), (ALONE, "hash", bytes(32)), (ALONE, "group_index", 7),
    (ALONE, "group_size", 8), (ALONE, "idempotency_key", "other"), (ALONE, "source", "other"),
    (ALONE, "request_hash", bytes(32)), (ALONE, "recorded_at", 7), (1, "epoch", 8), (1, "prev_hash", bytes(32)),
    (GROUPED - 1, "group_id", bytes(16)),
    (60, "hash", bytes(32)), (60, "prev_hash", bytes(32)), (59, "idempotency_key", "other"), (60, "source", "x"),
    *((GROUPED, name, value) for name, value in (
        ("group_id", bytes(16)), ("group_index", 8), ("group_size", 10), ("idempotency_key", "other"),
        ("request_hash", bytes(32)), ("source", "other"), ("actor", "other"), ("hash", bytes(32)), ("recorded_at", 7),
    )),
]  # fmt: skip


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(("at", "column", "value"), STATED)
def test_a_column_that_others_state_is_mended(at: int, column: str, value: Any) -> None:
    """It is one finding with both values, and the event goes on as it was recorded."""
    of_one = walked(changed(at, **{column: value}))
    assert of_one.found == [("BYTES_MODIFIED", at, column, text(of(at, column)), text(value), None)]
    assert of_one.events == list(HISTORY)
    assert (of_one.check.last_good, of_one.check.lost) == (at - 1, None)


REST = ("event_id or stream or stream_version or group_id or effective_on or actor or correlation_id or causation_id "
        "or payload")  # fmt: skip
ASKED = ("event_id or event_type or schema_version or stream or stream_version or group_id or request_hash or "
         "occurred_at or effective_on or actor or correlation_id or causation_id or salt or payload")  # fmt: skip
BROKEN = f"payload or {ASKED.removesuffix(' or payload')}"
UNKNOWN: list[tuple[str, Any, str, bool]] = [
    ("stream", "other", REST, False), ("group_id", bytes(16), REST, False), ("actor", "other", REST, False),
    ("chain_id", bytes(16), REST, False), ("event_type", "Other", ASKED, True), ("payload", b'{"x":1}', BROKEN, True),
    ("salt", bytes(16), ASKED, True), ("occurred_at", 7, ASKED, True)
]  # fmt: skip


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(("column", "value", "suspects", "asked_otherwise"), UNKNOWN)
def test_a_column_that_nobody_states_is_among_the_suspects(
    column: str, value: Any, suspects: str, asked_otherwise: bool
) -> None:
    """The event's content is not known then, and what follows from it is doubted; its hash is, so the chain goes on."""
    of_one = walked(changed(ALONE, **{column: value}))
    hashed = f"bytes of hash {of(ALONE, 'hash').hex()}"
    actual = "other bytes; payload is not its two members" if suspects == BROKEN else "other bytes"
    expected: list[Place] = [("BYTES_MODIFIED", ALONE, suspects, hashed, actual, None)]
    if asked_otherwise:
        asked = of(ALONE, "request_hash").hex()
        expected.append(("REQUEST_MISMATCH", ALONE, "request_hash", "the hash of what was asked", asked, ALONE))
    assert of_one.found == expected
    assert (of_one.check.last_good, of_one.check.lost, len(of_one.events)) == (ALONE - 1, ALONE, 60)


@pytest.mark.usefixtures("hurried")
def test_events_of_a_group_that_were_changed_alike_do_not_vouch_for_each_other() -> None:
    """The first one and the next say one group id, and neither has its hash."""
    first = msgspec.structs.replace(HISTORY[GROUPED - 2], group_id=bytes(16))
    second = msgspec.structs.replace(HISTORY[GROUPED - 1], group_id=bytes(16))
    found = walked([*HISTORY[: GROUPED - 2], first, second, *HISTORY[GROUPED:]]).found
    assert [(kind, seq) for kind, seq, *_ in found[:1]] == [("BYTES_MODIFIED", GROUPED - 1)]
    assert "group_id" in (found[0][2] or "").split(" or ")


@pytest.mark.usefixtures("hurried")
def test_an_event_that_is_good_vouches_for_the_group_of_the_one_before() -> None:
    """It is none of the columns that may have been changed."""
    found = walked(changed(GROUPED - 1, stream="other")).found
    assert "stream" in (found[0][2] or "").split(" or ")
    assert "group_id" not in (found[0][2] or "").split(" or ")


@pytest.mark.usefixtures("hurried")
def test_behind_an_event_that_is_not_known_the_links_are_held_to_its_hash() -> None:
    """Its bytes are not known, and its hash is."""
    rows = changed(ALONE, actor="x")
    assert walked(rows).events[ALONE - 1].hash == of(ALONE, "hash")
    rows[ALONE] = rehashed(rows[ALONE], prev_hash=bytes(32))
    assert ("CHAIN_BREAK", 19, "prev_hash") in [one[:3] for one in walked(rows).found]


@pytest.mark.usefixtures("hurried")
def test_the_hash_of_the_head_counts_where_the_last_event_has_it() -> None:
    """Where it has not, it says no more of the event than the event's own."""
    found, *_ = walked(changed(60, actor="x", hash=bytes(32))).found
    assert found[3] == f"bytes of hash {bytes(32).hex()}"


@pytest.mark.usefixtures("hurried")
def test_what_was_asked_may_differ_for_an_event_of_the_group_that_is_not_known() -> None:
    """That one is named, wherever in the group it is; where all are known, none is."""
    found = walked(changed(GROUPED, payload=b"no JSON")).found
    assert [(one[1], one[5]) for one in found if one[0] == "REQUEST_MISMATCH"] == [(10, GROUPED)]
    known = walked(chains.edited(HISTORY, ALONE, request_hash=bytes(32))).found
    assert [(one[1], one[5]) for one in known if one[0] == "REQUEST_MISMATCH"] == [(ALONE, None)]


@pytest.mark.usefixtures("hurried")
def test_an_id_that_is_none_says_no_time() -> None:
    """Then the time may have been changed as well as the id."""
    (_, _, suspects, *_), clock = walked(changed(ALONE, event_id=bytes(16))).found
    assert {"event_id", "recorded_at"} < set(str(suspects).split(" or "))
    assert clock[:3] == ("CLOCK", ALONE, "event_id")


def test_what_the_rules_foresee_and_small_edits_are_tried_too() -> None:
    """Where it has the hash it is what was there."""
    true = of(ALONE, "stream")
    foreseen = walked(
        changed(ALONE, stream="quite/another"),
        foresee=lambda event: {"stream": ["no/such", true * (event.seq == ALONE)]},
    )
    assert foreseen.found == [("BYTES_MODIFIED", ALONE, "stream", true, "quite/another", None)]
    assert foreseen.events == list(HISTORY)
    true = of(ALONE, "schema_version")
    near = walked(changed(ALONE, schema_version=9))
    assert near.found == [("BYTES_MODIFIED", ALONE, "schema_version", "1", "9", None)]


@pytest.mark.usefixtures("hurried")
def test_what_is_foreseen_of_an_event_counts_where_the_first_of_its_group_is_not_known() -> None:
    """The first says who acted, and so do the rules; either may be right."""
    true, rows = of(GROUPED, "actor"), changed(GROUPED, actor="x")
    rows[GROUPED - 2] = msgspec.structs.replace(rows[GROUPED - 2], actor="x")
    found = walked(rows, foresee=lambda event: {"actor": [true]} if event.seq == GROUPED else {}).found
    assert ("BYTES_MODIFIED", GROUPED, "actor", true, "x", None) in found


@pytest.mark.usefixtures("hurried")
def test_behind_a_gap_less_is_stated() -> None:
    """The place in a group that began with what is missing is; the hash before it is not."""
    indexed = [msgspec.structs.replace(x, group_index=7) if x.seq == GROUPED else x for x in without(GROUPED - 1)]
    assert ("BYTES_MODIFIED", GROUPED, "group_index", "1", "7", None) in walked(indexed).found
    unlinked = [msgspec.structs.replace(x, prev_hash=bytes(32)) if x.seq == 19 else x for x in without(ALONE)]
    (column,) = [x[2] for x in walked(unlinked).found if x[:2] == ("BYTES_MODIFIED", 19)]
    assert "prev_hash" in str(column).split(" or ")


@pytest.mark.usefixtures("hurried")
def test_the_epoch_of_the_event_before_is_stated() -> None:
    """And not the first one."""
    later = chains.edited(chains.edited(HISTORY, 59, epoch=3), 60, epoch=3)
    rows = [*later[:-1], msgspec.structs.replace(later[-1], epoch=8)]
    assert ("BYTES_MODIFIED", 60, "epoch", "3", "8", None) in walked(rows).found


def test_values_of_other_events_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those seen last, so many of a column."""
    asked = of(ALONE, "actor")
    edited = [("actor", "somebody else", asked), ("event_type", "quite another", "CashMoved")]
    for column, value, true in edited:
        of_one = walked(changed(ALONE, **{column: value}))
        assert of_one.found == [("BYTES_MODIFIED", ALONE, column, true, value, None)]
    check = walked(HISTORY).check
    assert check._seen["actor"] == {"engine-1": None}
    monkeypatch.setattr(chain, "SEEN_LIMIT", 3)
    for number in range(5):
        check._remember(msgspec.structs.replace(LAST, actor=f"a{number % 4}"))
    assert list(check._seen["actor"]) == ["a2", "a3", "a0"]


def without(*seqs: int) -> list[RecordedEvent]:
    return [event for event in HISTORY if event.seq not in seqs]


def first_seq(seq: int, after: int) -> Place:
    return ("KEY_MISMATCH", None, None, "no such row", f"a row with first_seq {seq}", after)


PARTIAL = "GROUP_PARTIAL"
MISSING: list[tuple[Sequence[int], list[Place]]] = [
    ((ALONE,), [("SEQ_GAP", 18, "seq", "event 18", "no such row", None), first_seq(18, 18)]),
    ((18, 19, 20), [
        ("SEQ_GAP", 18, "seq", "event 18 to 20", "no such row", None), first_seq(18, 18), first_seq(19, 18),
    ]),
    ((1,), [("SEQ_GAP", 1, "seq", "event 1", "no such row", None), first_seq(1, 1)]),
    ((GROUPED,), [
        ("SEQ_GAP", 11, "seq", "event 11", "no such row", None),
        (PARTIAL, 10, "group_size", "3 events", "1", 11),
        (PARTIAL, 12, "group_index", "the next event of its group", "another group_index", 11),
        (PARTIAL, 12, "group_size", "3 events", "1", 11),
        ("KEY_MISMATCH", None, None, "a row with first_seq 12", "no such row", 11),
    ]),
    ((2, 60), [
        ("SEQ_GAP", 2, "seq", "event 2", "no such row", None), first_seq(2, 2),
        (PARTIAL, 59, "group_size", "2 events", "1", 2),
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("seqs", "expected"), MISSING)
def test_missing_events_are_one_finding_and_what_follows_from_it(seqs: Sequence[int], expected: list[Place]) -> None:
    """The first of them is lost, and the events before it are good."""
    of_gap = walked(without(*seqs))
    assert sorted(of_gap.found, key=str) == sorted(expected, key=str)
    assert (of_gap.check.lost, of_gap.check.last_good) == (seqs[0], seqs[0] - 1)
    assert of_gap.events == without(*seqs)


def test_of_several_events_that_are_lost_the_first_is_told() -> None:
    """What is missing later changes nothing about where knowledge ends."""
    assert walked(without(18, 30)).check.lost == 18


def test_what_is_there_twice_is_named_and_passed_over() -> None:
    """In its place or past the end, where it says by its hash of which event it is a copy."""
    event = HISTORY[ALONE - 1]
    twice = walked([*HISTORY, event])
    assert twice.found == [("SEQ_DUP", 18, "seq", "one row", "another with this seq", None)]
    assert (twice.events, twice.check.last_good, twice.check.lost) == (list(HISTORY), 60, None)
    past = walked([*HISTORY, msgspec.structs.replace(event, seq=61)])
    assert past.found == [("SEQ_DUP", 61, "seq", "no such row", "a copy of event 18", None)]
    assert (past.events, past.check.lost, past.check.seq) == (list(HISTORY), None, 60)


@pytest.mark.usefixtures("hurried")
def test_behind_a_row_that_is_there_twice_the_next_mistake_counts_too() -> None:
    """What is good ends there, and not at a mistake that took nothing from the chain."""
    assert walked([*changed(30, actor="x"), HISTORY[ALONE - 1]]).check.last_good == 29


@pytest.mark.parametrize("source", [13, 17])
def test_an_event_of_another_place_took_the_place_of_one(source: int) -> None:
    """What stood there is lost; the one that was copied is not, be it the one before."""
    copied = {name: of(source, name) for name in RecordedEvent.__struct_fields__ if name != "seq"}
    placed = walked(changed(ALONE, **copied))
    assert placed.found[:1] == [("SEQ_DUP", 18, "seq", "no such row", f"a copy of event {source}", None)]
    assert ("CHAIN_BREAK", 19) not in [one[:2] for one in placed.found]
    assert (placed.check.lost, placed.check.last_good) == (18, 17)
    assert placed.events == without(18)


def test_an_event_that_was_moved_is_told_from_one_that_is_missing() -> None:
    """By its hash it says where it belongs: beyond the end, before, or as the next one."""
    moved = walked(changed(ALONE, seq=70))
    assert moved.found == [
        ("SEQ_GAP", 18, "seq", "event 18", "no such row", None),
        ("BYTES_MODIFIED", 70, "seq", "18", "70", None), first_seq(18, 18),
    ]  # fmt: skip
    assert moved.events == without(18)
    last = walked(changed(60, seq=64))
    assert last.found == [("BYTES_MODIFIED", 64, "seq", "60", "64", None)]
    assert (last.events, last.check.last_good) == (list(HISTORY), 59)


@pytest.mark.usefixtures("hurried")
def test_two_events_that_took_each_others_place_are_both_named() -> None:
    """The first of them is missing until it is met."""
    swapped = [*changed(20, seq=40)[:19], *HISTORY[20:39], msgspec.structs.replace(HISTORY[19], seq=40)]
    found = [one[:5] for one in walked([*swapped, *HISTORY[40:]]).found if one[0] in ("SEQ_GAP", "BYTES_MODIFIED")]
    assert found[0] == ("SEQ_GAP", 20, "seq", "event 20", "no such row")
    assert ("BYTES_MODIFIED", 40, "seq", "20", "40") in found


def rehashed(event: RecordedEvent, **changes: Any) -> RecordedEvent:
    made = msgspec.structs.replace(event, **changes)
    return msgspec.structs.replace(made, hash=blake3(entry.encode(made)).digest())


def with_foreign(at: int) -> list[RecordedEvent]:
    """Return the history with an event of another chain, which this database has, in one place."""
    theirs = rehashed(HISTORY[at - 1], chain_id=OTHER_CHAIN, payload=b'{"derived":{},"given":{"note":"theirs"}}')
    return [msgspec.structs.replace(theirs, chain_id=chains.CHAIN_ID) if x.seq == at else x for x in HISTORY]


@pytest.mark.parametrize("at", [ALONE, 60])
def test_an_event_of_another_chain_is_named_as_such(at: int) -> None:
    """The hash in its place is another's, so what stood there is lost, at the end of the chain too."""
    of_other = walked(with_foreign(at))
    said = f"one of chain {OTHER_CHAIN.hex()}"
    assert of_other.found[0] == ("BYTES_MODIFIED", at, "chain", "an event of this chain", said, None)
    assert (of_other.check.lost, of_other.check.last_good, of_other.events) == (at, at - 1, without(at))
    if at == ALONE:
        assert [one[0] for one in of_other.found[1:]] == ["KEY_MISMATCH"]


def test_one_of_another_chain_in_the_midst_of_a_group_ends_what_is_known_of_it() -> None:
    """The group is partial for want of the event that stood there; where that one is met it was moved."""
    assert (PARTIAL, 10, "group_size", "3 events", "1", GROUPED) in walked(with_foreign(GROUPED)).found
    rows = [*with_foreign(ALONE), msgspec.structs.replace(HISTORY[ALONE - 1], seq=61)]
    assert ("BYTES_MODIFIED", 61, "seq", "18", "61", None) in walked(rows).found


def test_where_two_histories_meet_the_chain_is_broken() -> None:
    """One event that was hashed anew: the next does not follow it."""
    other = rehashed(HISTORY[ALONE - 1], stream="account/A-99")
    broken = walked([other if event.seq == ALONE else event for event in HISTORY])
    assert broken.found == [("CHAIN_BREAK", 19, "prev_hash", other.hash.hex(), of(19, "prev_hash").hex(), None)]
    assert (broken.check.last_good, broken.check.lost) == (18, None)


ANEW: list[tuple[int, dict[str, Any], list[tuple[str, int, str | None, str, str]]]] = [
    (30, {"recorded_at": of(29, "recorded_at")}, [
        ("CLOCK", 30, "recorded_at", f"later than {of(29, 'recorded_at')}", str(of(29, "recorded_at"))),
        ("CLOCK", 30, "event_id", f"an id of time {of(29, 'recorded_at')}", of(30, "event_id").hex()),
    ]),
    (30, {"recorded_at": of(30, "recorded_at") + 1}, [
        ("CLOCK", 30, "event_id", f"an id of time {of(30, 'recorded_at') + 1}", of(30, "event_id").hex()),
    ]),
    (60, {"epoch": 0}, [("STATE_MISMATCH", 60, "epoch", "at least 1", "0")]),
    (18, {"group_id": of(17, "group_id")}, [
        (PARTIAL, 18, "group_id", "a group of its own", "that of the event before"),
    ]),
    (18, {"request_hash": bytes(32)}, [
        ("REQUEST_MISMATCH", 18, "request_hash", "the hash of what was asked", bytes(32).hex())
    ]),
    (18, {"payload": b"{}"}, [
        ("REQUEST_MISMATCH", 18, "request_hash", "the hash of what was asked", of(18, "request_hash").hex())
    ]),
    (18, {"group_size": 2}, [(PARTIAL, 18, "group_size", "2 events", "1")]),
    (60, {"group_size": 3}, [(PARTIAL, 60, "group_size", "the next event of its group", "another group_size")]),
    (12, {"group_index": 1}, [(PARTIAL, 12, "group_index", "the next event of its group", "another group_index")]),
    *((11, {name: value}, [(PARTIAL, 11, name, "the next event of its group", f"another {name}")]) for name, value in (
        ("group_id", bytes(16)), ("idempotency_key", "x"), ("request_hash", bytes(32)), ("source", "x"), ("actor", "x"),
    )),
]  # fmt: skip


@pytest.mark.parametrize(("at", "changes", "expected"), ANEW)
def test_what_was_hashed_anew_is_held_against_its_neighbours(
    at: int, changes: dict[str, Any], expected: list[tuple[str, int, str | None, str, str]]
) -> None:
    """Every byte fits then, and what it says does not."""
    edited = chains.edited(HISTORY, at, **changes)
    findings = [one[:5] for one in walked(edited).found if one[0] != "KEY_MISMATCH"]
    assert findings == expected


def test_an_epoch_may_rise_and_time_goes_on() -> None:
    """Each is held against the newest before it."""
    later = chains.edited(HISTORY, 40, epoch=3)
    assert [one[:5] for one in walked(later).found] == [("STATE_MISMATCH", 41, "epoch", "at least 3", "1")]
    part = walked(HISTORY[20:], after=msgspec.structs.replace(HISTORY[19], epoch=2), keys=HISTORY[20:])
    assert part.found[0][:5] == ("STATE_MISMATCH", 21, "epoch", "at least 2", "1")
    ahead = msgspec.structs.replace(HISTORY[19], recorded_at=of(21, "recorded_at"))
    assert [one[:3] for one in walked(HISTORY[20:], after=ahead, keys=HISTORY[20:]).found] == [
        ("CLOCK", 21, "recorded_at")
    ]


def test_no_more_missing_events_are_remembered_than_memory_bears(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long gap the first ones."""
    monkeypatch.setattr(chain, "MISSING_LIMIT", 5)
    check = walked(without(*range(20, 23), *range(30, 40))).check
    assert check._missing == {20, 21, 22, 30, 31}


def test_only_so_many_events_are_tried_at_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are told by what others state alone."""
    monkeypatch.setattr(chain, "DEEP_LIMIT", 1)
    rows = [msgspec.structs.replace(event, schema_version=9) if event.seq in (2, 3) else event for event in HISTORY]
    first, second = (one[2] for one in walked(rows).found[:2])
    assert (first, " or " in str(second)) == ("schema_version", True)


def test_where_no_small_edits_are_asked_for_none_is_tried() -> None:
    """Not even of the first event that is broken; what others state is."""
    lost = walked(changed(ALONE, schema_version=9), edits=False)
    assert (" or " in str(lost.found[0][2]), lost.check.lost) == (True, ALONE)
    stated = walked(changed(ALONE, epoch=8), edits=False)
    assert stated.found == [("BYTES_MODIFIED", ALONE, "epoch", "1", "8", None)]


@pytest.mark.parametrize(
    ("value", "expected"), [(b'{"a":1}', '{"a":1}'), (b"{\xff", "7bff"), (b"ab", "6162"), (5, "5"), ("x", "x")]
)
def test_values_are_shown_as_people_read_them(value: Any, expected: str) -> None:
    """JSON as it is, other bytes in hexadecimal."""
    assert chain._text(value) == expected
