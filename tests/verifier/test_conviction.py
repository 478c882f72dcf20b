"""
Check how the one column that was changed is told from the hash alone, with what others state and without.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from blake3 import blake3

from ledger.chain import entry
from ledger.chain.entry import NO_ID, RecordedEvent, request_hash
from ledger.domain import registry
from tests.archiving import chains
from verifier import absent, conviction
from verifier.conviction import COLUMNS, Witnesses, convict, near_integers, suspects

ALONE = next(event for event in chains.chain(60) if event.group_size == 1 and event.seq > 2)
NOTHING = Witnesses({}, {})
DAY_NS = 86_400 * 10**9


def again(**changes: Any) -> RecordedEvent:
    """Return an event with other columns from the start, hashed as such."""
    made = msgspec.structs.replace(ALONE, **changes)
    return msgspec.structs.replace(made, hash=blake3(entry.encode(made)).digest())


ASKED = request_hash(ALONE.salt, [("CashMoved", 1, ALONE.occurred_at, b'{"note":"n"}')])
EVENT = again(payload=b'{"derived":{},"given":{"note":"n"}}', stream="account/A", request_hash=ASKED)


def told(changed: RecordedEvent, witnesses: Witnesses = NOTHING, **how: bool) -> tuple[str, Any] | None:
    return convict(changed, changed.hash, witnesses, **how)


def tried(event: RecordedEvent, column: str) -> list[Any]:
    return list(conviction._plausible(event, column, NOTHING))


def replaced(data: bytes, place: int, byte: bytes) -> bytes:
    return data[:place] + byte + data[place + 1 :]


SMALL: list[tuple[str, Any]] = [
    ("seq", EVENT.seq + 1), ("seq", EVENT.seq + 1000), ("epoch", 0), ("epoch", 1 ^ 1 << 30),
    ("schema_version", 2), ("stream_version", 1 << 62 | 1), ("group_index", 3), ("group_size", 2),
    ("occurred_at", EVENT.occurred_at + 60 * DAY_NS), ("occurred_at", EVENT.occurred_at - 1000 * 10**3),
    ("recorded_at", EVENT.recorded_at - 60 * 3600 * 10**9), ("recorded_at", EVENT.recorded_at + 60 * 60 * 10**9),
    ("effective_on", 18_999), ("effective_on", 20_000),
    ("prev_hash", replaced(EVENT.prev_hash, 0, b"\0")), ("prev_hash", replaced(EVENT.prev_hash, 31, b"\xff")),
    ("event_id", replaced(EVENT.event_id, 15, b"\x07")), ("group_id", replaced(EVENT.group_id, 3, b"\xfe")),
    ("request_hash", replaced(EVENT.request_hash, 9, b"\x80")), ("salt", replaced(EVENT.salt, 0, b"\x80")),
    ("correlation_id", replaced(NO_ID, 5, b"\x01")), ("causation_id", replaced(NO_ID, 15, b"\xff")),
    ("event_type", "CashMovd"), ("event_type", "cashMoved"), ("event_type", "OrderPlaced"),
    ("stream", EVENT.stream + "0"), ("stream", EVENT.stream[1:]), ("stream", "~" + EVENT.stream),
    ("actor", "engine-2"), ("actor", "engine-1 "), ("source", "Gateway"),
    ("idempotency_key", EVENT.idempotency_key[:-1]),
    ("payload", EVENT.payload[:-1]), ("payload", b" " + EVENT.payload), ("payload", EVENT.payload + b"}"),
    ("payload", replaced(EVENT.payload, 3, b"0")),
]  # fmt: skip


@pytest.mark.parametrize(("column", "value"), SMALL)
def test_one_small_edit_is_one_step_from_what_was_there(column: str, value: Any) -> None:
    """A few more or less, another unit of time, a bit, a character changed, left out or put in."""
    edited = msgspec.structs.replace(EVENT, **{column: value})
    assert getattr(EVENT, column) in tried(edited, column)
    assert told(edited, deep=False) is None


def test_of_letters_of_several_bytes_none_is_left_in_part() -> None:
    """Such a letter may have been put in; what is cut in its midst loses all of it."""
    edited = msgspec.structs.replace(EVENT, source="gatew\u00fcay")
    assert {"gateway", "gatewXay"} <= set(tried(edited, "source"))


@pytest.mark.parametrize(("column", "value"), [SMALL[0], ("stream_version", 2), ("actor", "engine-2")])
def test_a_small_edit_is_undone(column: str, value: Any) -> None:
    """The column is named with the one value that has the hash, where it is looked for that long."""
    edited = msgspec.structs.replace(EVENT, **{column: value})
    assert told(edited) == told(edited, deep=True) == (column, getattr(EVENT, column))


def test_the_steps_that_are_tried_are_no_more_than_that() -> None:
    """Of bytes each other byte in each place; of text each character in each place, one more and one less."""
    printed = [bytes([byte]) for byte in range(0x20, 0x7F)]
    single = [replaced(EVENT.salt, place, bytes([byte])) for place in range(16) for byte in range(256)]
    assert sorted(tried(EVENT, "salt")) == sorted(single)
    short = msgspec.structs.replace(EVENT, source="ab")
    other = [[one, b"b"] for one in printed] + [[b"a", one] for one in printed]
    more = [[b"ab"[:place], one, b"ab"[place:]] for place in range(3) for one in printed]
    expected = [b"".join(parts).decode() for parts in [*other, *more, [b"a"], [b"b"], [b"ab"]]]
    assert sorted(tried(short, "source")) == sorted(expected)


def test_an_event_that_was_not_changed_convicts_nothing() -> None:
    """What is stored there is no other value."""
    stated = {column: [getattr(EVENT, column)] for column in COLUMNS}
    assert told(EVENT, Witnesses(stated, {}), deep=False) is None
    assert conviction.hashes_to(EVENT, EVENT.hash)
    assert not conviction.hashes_to(EVENT, bytes(32))
    assert not conviction.hashes_to(msgspec.structs.replace(EVENT, seq=0), EVENT.hash)


FAR: list[tuple[str, Any]] = [
    ("chain_id", bytes(16)), ("seq", 2**40), ("epoch", 2**30 + 12345), ("prev_hash", bytes(32)),
    ("event_type", "quite another"), ("stream", "quite/another"), ("group_id", bytes(16)), ("actor", "somebody else"),
    ("source", "somewhere else"), ("recorded_at", 5), ("salt", bytes(16)), ("payload", b"{}"),
    ("idempotency_key", "none"), ("request_hash", bytes(32)),
]  # fmt: skip


@pytest.mark.parametrize(("column", "value"), FAR)
def test_what_others_state_is_tried_in_its_column(column: str, value: Any) -> None:
    """Whatever was written over it; values seen in other events are tried where time is given for that."""
    edited = msgspec.structs.replace(EVENT, **{column: value})
    true = getattr(EVENT, column)
    assert told(
        edited, Witnesses({column: [value, value[:1] if value and not isinstance(value, int) else 9, true]}, {})
    ) == (
        column,
        true,
    )
    assert told(edited, Witnesses({column: [true]}, {}), deep=False) == (column, true)
    assert next(conviction._plausible(edited, column, Witnesses({}, {column: {true: None}}))) == true
    assert told(edited, Witnesses({}, {column: {true: None}}), deep=False) is None
    assert (true in tried(edited, column)) == (column == "event_type")


def test_no_value_that_no_event_can_have_is_taken() -> None:
    """Candidates of a wrong type or width are no fit and no error."""
    edited = msgspec.structs.replace(EVENT, prev_hash=bytes(32))
    assert told(edited, Witnesses({"prev_hash": [b"short"], "seq": [-1, 2**70]}, {}), deep=False) is None


def test_an_id_that_was_set_where_there_was_none_is_told() -> None:
    """Though it is nothing like none."""
    for column in ("correlation_id", "causation_id"):
        edited = msgspec.structs.replace(EVENT, **{column: bytes(range(1, 17))})
        assert NO_ID in tried(edited, column)
    assert NO_ID not in tried(msgspec.structs.replace(EVENT, group_id=bytes(range(1, 17))), "group_id")


def test_another_type_is_told_from_those_that_are_known() -> None:
    """However it is spelt."""
    assert {*registry.EVENT_TYPES} <= {*tried(EVENT, "event_type")}
    assert "OrderPlaced" not in tried(EVENT, "stream")


def test_of_other_chains_only_those_of_the_database_are_tried() -> None:
    """The chain is no column of the event: no small edit of it is one of the event's."""
    edited = msgspec.structs.replace(EVENT, chain_id=replaced(EVENT.chain_id, 0, b"\x07"))
    assert tried(edited, "chain_id") == []
    assert told(edited, Witnesses({"chain_id": [EVENT.chain_id]}, {}), deep=False) == ("chain_id", EVENT.chain_id)


def test_what_is_long_is_not_tried_byte_by_byte() -> None:
    """It would take minutes; at the limit it is."""
    long = [msgspec.structs.replace(EVENT, payload=b"n" * length) for length in (1_500, 1_501)]
    assert next(conviction._plausible(long[0], "payload", NOTHING)) == b"a" + b"n" * 1_499
    assert tried(long[1], "payload") == []


def test_an_integer_may_have_been_a_little_more_or_less() -> None:
    """Every number near, every whole count up to sixty of a unit of time, and every bit."""
    found = set(near_integers(7))
    near = {7 + delta for delta in range(-1000, 1001)} - {7}
    seconds = 10**9
    units = (10**3, 10**6, seconds, 60 * seconds, 3600 * seconds, 86_400 * seconds)
    far = {7 + unit * count for unit in units for count in range(-60, 61)} - {7}
    assert found == near | far | {7 ^ 1 << bit for bit in range(63)}


ALL = [column for column in COLUMNS if column != "chain_id"]


def test_what_nobody_confirms_is_suspect() -> None:
    """But the time that the id has, and what the request hash stands for where the event was asked for alone."""
    asked = {"event_type", "schema_version", "occurred_at", "salt", "request_hash"}
    confirmed = {*asked, "recorded_at"}
    assert suspects(EVENT, []).split(" or ") == [column for column in ALL if column not in confirmed]
    late = msgspec.structs.replace(EVENT, recorded_at=EVENT.recorded_at + 1)
    assert suspects(late, []).split(" or ") == [column for column in ALL if column not in asked]
    grouped = msgspec.structs.replace(EVENT, group_size=2)
    assert suspects(grouped, []).split(" or ") == [column for column in ALL if column != "recorded_at"]
    other = msgspec.structs.replace(EVENT, request_hash=bytes(32))
    assert suspects(other, ["actor"]).split(" or ") == [x for x in ALL if x not in ("recorded_at", "actor")]
    no_json = msgspec.structs.replace(EVENT, payload=b"no payload")
    assert suspects(no_json, []).split(" or ") == ["payload", *(x for x in ALL if x not in ("recorded_at", "payload"))]
    no_id = msgspec.structs.replace(EVENT, event_id=bytes(16))
    assert suspects(no_id, []).split(" or ") == [column for column in ALL if column not in asked]
    assert suspects(EVENT, ALL) == "payload"
    # What the rules make of a payload confirms it only where that is what was asked for.
    made = ["payload", "event_type", "schema_version"]
    assert "payload" not in suspects(EVENT, made).split(" or ")
    assert {*made} <= {*suspects(other, made).split(" or ")}
    assert {*made} <= {*suspects(grouped, made).split(" or ")}
    assert conviction.event_time(EVENT.event_id) == EVENT.recorded_at
    assert conviction.event_time(bytes(16)) is None


def test_the_request_of_the_event_is_that_of_what_was_given() -> None:
    """As it was asked for, without what was derived."""
    derived = msgspec.structs.replace(EVENT, payload=b'{"derived":{"a":"1"},"given":{"note":"n"}}')
    assert "request_hash" not in suspects(derived, [])
    other = msgspec.structs.replace(EVENT, payload=b'{"derived":{},"given":{"note":"m"}}')
    assert "request_hash" in suspects(other, [])


BROKEN: list[tuple[str, Any, str]] = [
    ("salt", bytes(15), "15 bytes"), ("salt", absent.data(None), "NULL"), ("event_id", b"", "0 bytes"),
    ("payload", b"[]", "not its two members"), ("payload", b'{"given":{},"derived":{}}', "not its two members"),
    ("payload", absent.data(None), "NULL"), ("occurred_at", absent.number(None), "NULL"),
    ("effective_on", absent.NoNumber(absent.NOT_FINITE), "not finite"), ("stream_version", 0, "0"),
    ("group_size", 2**15, "32768"), ("actor", absent.NoText("\0"), "NULL"),
]  # fmt: skip


@pytest.mark.parametrize(("column", "value", "said"), BROKEN)
def test_a_value_that_none_can_have_is_named_first(column: str, value: Any, said: str) -> None:
    """Whatever else was changed, also where a witness says that it is good: no event has had it."""
    edited = msgspec.structs.replace(EVENT, **{column: value})
    assert conviction.broken(edited) == {column: said}
    named = suspects(edited, [column]).split(" or ")
    assert named[0] == column
    assert len(set(named)) == len(named) > 1


def test_of_a_value_that_some_event_can_have_nothing_is_said() -> None:
    """Two values that none can have are both named."""
    assert conviction.broken(EVENT) == {}
    for column, value in SMALL:
        if column != "payload":
            assert conviction.broken(msgspec.structs.replace(EVENT, **{column: value})) == {}
    edited = msgspec.structs.replace(EVENT, salt=b"", payload=b"null")
    assert conviction.broken(edited) == {"salt": "0 bytes", "payload": "not its two members"}
