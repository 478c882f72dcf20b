"""
Check what may be done with any history: replay it, roll it back, forget what is closed, and read it back.
"""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.domain import fold, registry
from ledger.domain.events.executions import (
    TradeBusted,
    TradeCorrected,
)
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import (
    OrderCanceled,
    OrderDoneForDay,
    OrderPlaced,
    OrderReplaced,
)
from ledger.domain.fold import Context, DuplicateFact
from ledger.domain.row_bytes import row_bytes
from ledger.domain.rows import TABLES
from ledger.domain.state import Change, State
from ledger.errors import InvalidEvent, LedgerError
from tests.domain.books import DAY, NOON, check_invariants, opened, order, status, trade

EVENTS = st.one_of(
    st.builds(
        order,
        st.sampled_from("OPQ"),
        st.sampled_from(["buy", "sell"]),
        st.sampled_from(["0.01", "0.5", "0.002"]),
        st.sampled_from(["100", "1999.99", None]),
    ),
    st.builds(
        trade,
        st.sampled_from("123456789"),
        st.sampled_from(["O", "P", "Q", None]),
        st.sampled_from(["buy", "sell"]),
        st.sampled_from(["0.001", "0.007", "0.5"]),
        st.sampled_from(["100", "0.333", "2001.77"]),
    ),
    st.builds(lambda i: OrderCanceled(order_id=i), st.sampled_from("OPQ")),
    st.builds(
        lambda e, r: TradeBusted(exec_id="b" + e, exec_ref=e, venue="V", trade_date=DAY, reason="r", reopens_order=r),
        st.sampled_from("123456789"),
        st.booleans(),
    ),
    st.builds(
        lambda e, t: TradeCorrected(**dict(msgspec.structs.asdict(t), exec_id="c" + e, exec_ref=e)),
        st.sampled_from("123456789"),
        st.builds(
            trade,
            st.just("x"),
            st.sampled_from(["O", None]),
            st.sampled_from(["buy", "sell"]),
            st.sampled_from(["0.002", "0.004"]),
        ),
    ),
    st.builds(
        lambda i, q: OrderReplaced(order_id=i, cl_ord_id="r" + i + q, orig_cl_ord_id="c-" + i, qty=q, price="101"),
        st.sampled_from("OPQ"),
        st.sampled_from(["0.01", "0.02", "0.6"]),
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(EVENTS, max_size=40), st.integers(0, 40))
def test_any_history_keeps_the_invariants_replays_equal_and_rolls_back(events: list[Event], back_to: int) -> None:
    """After every event the books balance; the stored history replays to equal rows; undone, nothing is left of it."""
    books = opened()
    mark, earlier = books.state.begin(), dict(all_bytes(books.state))
    for place, event in enumerate(events):
        if place == back_to:
            mark, earlier = books.state.begin(), dict(all_bytes(books.state))
        try:
            books.give(event)
        except (LedgerError, DuplicateFact):
            continue
        finally:
            check_invariants(books.state)
    assert all_bytes(books.replayed()) == all_bytes(books.state)
    net = books.state.changes(mark)
    rows = dict(earlier)
    for change in net:
        assert rows.get((change.table, change.key)) == (_bytes(change, change.old) if change.old else None)
        rows[change.table, change.key] = _bytes(change, change.new)
    assert rows == all_bytes(books.state)
    books.state.rollback(mark)
    assert all_bytes(books.state) == earlier


def _bytes(change: Change, row: object) -> bytes:
    return row_bytes(TABLES[change.table], row)  # type: ignore[arg-type]


def all_bytes(state: State) -> dict[tuple[str, tuple[object, ...]], bytes]:
    return {
        (name, key): row_bytes(spec, row)
        for name, spec in TABLES.items()
        for key, row in state.table(name).rows.items()
    }


def test_memory_forgets_what_is_closed_and_the_loader_brings_it_back() -> None:
    """A filled order leaves memory once durable, unless something later still needs it; asked for, it is loaded."""
    books = opened()
    books.give(order())
    books.give(trade())
    store = dict(all_rows(books.state))
    later = books.state.begin()
    books.give(trade("E9", price="101"))
    books.state.durable(later)
    assert books.state.orders.rows == {}
    assert books.state.executions.rows == {}
    assert books.state.begin() - later == 2
    books.state.loader = lambda table, key: store.get((table, key))  # type: ignore[assignment]
    assert status(books) == "FILLED"
    assert books.state.executions.fresh("V", DAY, "E") is None
    books.state.certain = True
    assert books.state.executions.fresh("V", DAY, "E") is not None


@pytest.mark.parametrize(("tif", "left"), [("day", 0), ("ioc", 0), ("gtc", 1), ("gtd", 1)])
def test_memory_forgets_a_day_order_that_is_done_for_the_day(tif: str, left: int) -> None:
    """It is not worked any more and holds nothing, so it is closed; a good-till order rests, and stays."""
    books = opened()
    books.give(order(tif=tif, expire_at=NOON + 1 if tif == "gtd" else None))
    books.give(OrderDoneForDay(order_id="O"))
    books.state.durable(books.state.begin())
    assert len(books.state.orders.rows) == left


def all_rows(state: State) -> dict[tuple[str, tuple[object, ...]], object]:
    return {(name, key): row for name in TABLES for key, row in state.table(name).rows.items()}


@pytest.mark.parametrize(
    "fields",
    [
        {"qty": 0.5}, {"qty": "1e3"}, {"qty": "NaN"}, {"side": "hold"}, {"order_id": "a/b"}, {"order_id": ""},
        {"order_id": "é"}, {"strategy": "x" * 129}, {"expire_at": 1.5}, {"historical": 1}, {"account": None},
    ],
)  # fmt: skip
def test_what_is_no_event_cannot_be_made(fields: dict[str, object]) -> None:
    """A float, an exponent, a wrong word, a bad identifier or a wrong type is refused by name of its field."""
    good: dict[str, object] = dict(
        order_id="O", cl_ord_id="c", account="A", instrument="I", side="buy", qty="1", ord_type="limit", price="1"
    )
    with pytest.raises(InvalidEvent, match=f"OrderPlaced.{next(iter(fields))}"):
        OrderPlaced(**{**good, **fields})  # type: ignore[arg-type]


def test_every_event_type_reads_back_what_it_wrote_and_has_a_rule() -> None:
    """The registry and the rules name the same types, and unknown ones are errors that list the known."""
    assert set(fold.RULES) == set(registry.EVENT_TYPES.values())
    with pytest.raises(InvalidEvent, match="known are AccountLimitsSet"):
        registry.decode_given("Eaten", 1, b"{}")
    with pytest.raises(
        InvalidEvent, match=r"'OrderPlcaed' \(did you mean 'OrderPlaced'\?\); list them with: .* event-types$"
    ):
        registry.decode_given("OrderPlcaed", 1, b"{}")
    with pytest.raises(LedgerError, match="newer"):
        registry.decode_given("OrderPlaced", 2, b"{}")
    with pytest.raises(InvalidEvent, match="no OrderExpired"):
        registry.decode_given("OrderExpired", 1, b'{"order_id":"x","more":1}')


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (b'{"scal":2,"asset":"X","kind":"crypto","name":"x"}', r"`scal` \(did you mean 'scale'\?\); "),
        (b'{"asset":"X","kind":"crypto","scale":2}', "missing required field `name`; "),
        (b'{"asset":"X","kind":"cryptic","scale":2,"name":"x"}', r"'cryptic' - at `\$.kind`; "),
    ],
)
def test_what_is_no_event_of_its_type_says_where_to_look(given: bytes, words: str) -> None:
    """A mistyped, missing or wrong field: the nearest of its names, and what the type takes."""
    with pytest.raises(InvalidEvent, match=f"{words}see what it takes with: tradeledger event-types --schema$"):
        registry.decode_given("AssetDefined", 1, given)


def test_a_replay_names_the_column_that_was_changed() -> None:
    """Other postings, another stream, version or day than the rules make are mismatches by column."""
    books = opened()
    x = books.give(order())
    state = opened().state
    place = (x.stream, x.stream_version, x.effective_on)
    changed = [
        ("payload", (x.event_type, 1, x.given, x.derived.replace(b"-1", b"-2"), place)),
        ("stream", (x.event_type, 1, x.given, x.derived, ("order/P", 1, x.effective_on))),
        ("stream_version", (x.event_type, 1, x.given, x.derived, (x.stream, 2, x.effective_on))),
        ("payload", (x.event_type, 1, x.given.replace(b"{", b"{ ", 1), x.derived, place)),
        ("payload", (x.event_type, 1, x.given.replace(b'"0.01"', b'"50"'), x.derived, place)),
    ]
    for column, stored in changed:
        mark = state.begin()
        found = fold.replay(state, *stored, Context(9, 9, 1_723_161_254_087_891_268))  # type: ignore[arg-type]
        assert column in [mismatch.column for mismatch in found]
        state.rollback(mark)
