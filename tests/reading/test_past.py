"""
Check that a read of the past is what a read of then was, and that known days are what a slow model makes of them.
"""

from __future__ import annotations

import datetime
import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings

from ledger import Ledger
from ledger.domain.amounts import UNIT, render
from ledger.domain.events.corporate_actions import SplitApplied
from ledger.domain.times import time_text
from ledger.errors import HashMismatch, InvalidInput, NoSuchMoment, NotFound, SequenceGap
from ledger.journal.chain_creation import create_chain
from ledger.queries import Books, Known, RecordedAt, Seq
from ledger.reading.moment import parse_day, parse_time
from ledger.storage import chains
from tests.conftest import Database
from tests.journal.test_ledger import fee
from tests.reading.histories import DAYS, NOONS, STEPS, Teller, counting, slow_live, slow_totals

_CHAINS = itertools.count(1)
_REAL = settings(
    max_examples=5, deadline=None, print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
READS = ("balances", "positions", "orders", "open_orders", "blotter", "exposure", "pnl", "settlement_ladder",
         "quarantine", "breaks")  # fmt: skip
LAST = datetime.date(2100, 1, 1)


def new_chain(database: Database) -> str:
    origin = f"example.com/{next(_CHAINS)}"
    create_chain(database.dsn("owner"), origin, (), [("writer", "engine")])
    return origin


def answers(books: Books, **at: Any) -> dict[str, Any]:
    """Return every read that takes a moment."""
    found = {name: getattr(books, name)(**at) for name in READS}
    assert len({answer.seq for answer in found.values()}) == 1
    return {name: answer.value for name, answer in found.items()}


@_REAL
@given(steps=STEPS)
def test_every_past_seq_reads_as_it_did_then(database: Database, steps: list[Any]) -> None:
    """All reads, after each event, by its seq and by its time, equal what the live books answered at that moment."""
    origin = new_chain(database)
    with Ledger.open(database.dsn("writer"), origin=origin) as ledger, Books(database.dsn("reader"), origin) as books:
        teller = Teller(ledger)
        teller.setup()
        then = {}
        for step in steps:
            seq = teller.tell(*step)
            then[seq] = answers(books), books.statement("A", parse_day(DAYS[1]), LAST)
        times = {event.seq: event.recorded_at for event in ledger.events()}
        for seq, (expected, statement) in then.items():
            note(f"seq {seq}")
            assert answers(books, at=Seq(seq)) == expected
            assert answers(books, at=RecordedAt(times[seq])) == expected
            assert books.statement("A", parse_day(DAYS[1]), LAST, at=Seq(seq)).value == statement.value


@_REAL
@given(steps=STEPS)
def test_known_days_are_what_the_slow_model_makes_of_them(database: Database, steps: list[Any]) -> None:
    """For every recorded time and day: totals, positions and executions of the newest versions that count by then."""
    origin = new_chain(database)
    with Ledger.open(database.dsn("writer"), origin=origin) as ledger, Books(database.dsn("reader"), origin) as books:
        teller = Teller(ledger)
        teller.setup()
        for step in steps:
            teller.tell(*step)
        everything = list(ledger.events())
        for event in everything[-1:] + everything[8::5]:
            for day in DAYS:
                at = Known(event.recorded_at, parse_day(day))
                counts = counting(everything, event.recorded_at, day)
                note(f"seq {event.seq} day {day}")
                if not counts:
                    with pytest.raises(NoSuchMoment, match="counts for a day before"):
                        books.balances(at=at)
                    continue
                found = books.balances(at=at)
                assert found.seq == event.seq
                totals = {(x.account, x.asset): Decimal(render(x.total)) for x in found.value if x.total}
                assert totals == slow_totals(counts, everything)
                live = slow_live(counts, everything)
                position = sum(
                    (Decimal(x["qty"]) * (1 if x["side"] == "buy" else -1) for x in live.values()), Decimal()
                )
                assert sum((Decimal(render(x.qty)) for x in books.positions(at=at).value), Decimal()) == position
                assert {x.seq for x in books.blotter(at=at).value if x.standing == "live"} == set(live)
                realised = sum(x.realised for x in books.positions(at=at).value)
                assert sum(x.realised or 0 for x in books.pnl(at=at).value) == realised
                statement = books.statement("A", parse_day(DAYS[0]), parse_day(day), at=at).value
                mine = [x for x in found.value if x.account == "A"]
                closing = {(x.asset, bucket): getattr(x, bucket) for x in mine for bucket in ("settled", "held")}
                assert {(x.asset, x.bucket): x.amount for x in statement.closing} == {
                    key: amount for key, amount in closing.items() if amount
                }
            whole = Known(event.recorded_at, LAST)
            assert [(x.account, x.asset, x.settled, x.held) for x in books.balances(at=whole).value] == [
                (x.account, x.asset, x.settled, x.held) for x in books.balances(at=Seq(event.seq)).value
            ]


@pytest.fixture
def told(chain: Database) -> Database:
    """Return a chain with reference data, an order and a trade on two days."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        teller = Teller(ledger)
        teller.setup()
        for step in (("place", DAYS[1], DAYS[1], 0), ("trade", DAYS[2], DAYS[2], 0), ("accept", DAYS[3], DAYS[0], 0)):
            teller.tell(*step)
    return chain


def test_a_moment_that_was_not_is_named(told: Database) -> None:
    """A seq that is none, a time before the first event or to come, a day before all: what there is is said."""
    with Books(told.dsn("reader")) as books:
        head = books.head().seq
        for seq in (0, -1, head + 1):
            with pytest.raises(NoSuchMoment, match=f"events 1 to {head}"):
                books.balances(at=Seq(seq))
        for moment, words in ((5, "the first event was recorded at"), (9 * 10**18, "has not come")):
            for at in (RecordedAt(moment), Known(moment, LAST)):
                with pytest.raises(NoSuchMoment, match=words):
                    books.statement("A", LAST, LAST, at=at)
        with pytest.raises(NoSuchMoment, match="before 2024-08-07"):
            books.positions(at=Known(time.time_ns() - 1, datetime.date(2020, 1, 1)))
        for wrong in ("5", 5, Seq("5"), Known(5, "2024-08-08"), RecordedAt(True)):  # type: ignore[arg-type]
            with pytest.raises(InvalidInput, match="expected"):
                books.balances(at=wrong)  # type: ignore[arg-type]


def test_a_day_before_all_is_none_also_where_something_has_split(told: Database) -> None:
    """Trades of later days, which a split may move, are none of that day."""
    with Ledger.open(told.dsn("writer")) as ledger:
        split = SplitApplied(ca_id="S", instrument="BTCUSDT", ratio_num=2, ratio_den=1, ex_date="2024-08-20",
                             rounding="down")  # fmt: skip
        assert ledger.append(split, key="S").quarantined == ()
    with Books(told.dsn("reader")) as books:
        before = Known(time.time_ns(), datetime.date(2020, 1, 1))
        for read in (books.positions, books.balances, books.orders, books.settlement_ladder):
            with pytest.raises(NoSuchMoment, match="before 2024-08-07"):
                read(at=before)


def test_a_name_that_was_not_known_is_no_empty_answer(told: Database) -> None:
    """An account is unknown before it was opened, everywhere; one that is open and idle has an empty answer."""
    with Books(told.dsn("reader")) as books:
        opened = 5
        for name in ("balances", "positions", "open_orders", "blotter", "exposure", "orders"):
            read = getattr(books, name)
            for account, at in (("B", None), ("A", Seq(opened - 1)), ("B", Seq(9))):
                with pytest.raises(NotFound, match=f"account '{account}'"):
                    read(account, at=at)
            assert read("A", at=Seq(opened)).value == []
        with pytest.raises(NotFound, match=f"'A', which .* at seq {opened - 1}: it was opened at seq {opened};"):
            books.statement("A", LAST, LAST, at=Seq(opened - 1))
        with pytest.raises(NotFound, match="stream 'order/none'"):
            books.history("order/none")
        with pytest.raises(NotFound, match="asset 'EUR'"):
            books.balance("A", "EUR")
        assert books.balance("A", "USDT", at=Seq(opened)).value.total == 0
        assert render(books.balance("A", "USDT", at=Seq(opened + 1)).value.available) == "100000"
        with pytest.raises(NotFound, match=f"order 'x1', which this chain did not know at seq {opened}"):
            books.order("x1", at=Seq(opened))
        with pytest.raises(NotFound, match=r"order/x1.*counts for days up to 2024-08-06"):
            books.history("order/x1", at=Known(books.recorded_at(), datetime.date(2024, 8, 6)))
        with pytest.raises(NotFound, match=r"asset 'USDC' \(did you mean 'USDT'\?\), which this chain did not know"):
            books.balance("A", "USDC")
        with pytest.raises(NotFound, match=r"asset 'usdt' \(did you mean 'USDT'\?\)"):
            books.fx_result("usdt")
        with pytest.raises(NotFound, match=r"account '~extern' \(did you mean '~external'\?\)"):
            books.balances("~extern")
        for name in ("", "a\0b", "\udcff", "ü", 5, "A" * 10**7):
            for ask in (books.balances, books.positions, books.pnl, books.history, books.order, books.fx_result):
                with pytest.raises((InvalidInput, NotFound)):
                    ask(name)
            for at in (Seq(books.head().seq), Known(books.recorded_at(), LAST)):
                with pytest.raises((InvalidInput, NotFound)):
                    books.open_orders(name, at=at)  # type: ignore[arg-type]


def test_an_order_and_a_stream_that_were_not_known_are_told_the_nearest(told: Database) -> None:
    """In capitals, a character off, or cut short; of a moment before it there is none to name."""
    with Books(told.dsn("reader")) as books:
        for name in ("X1", "x11", "x1-"):
            with pytest.raises(NotFound, match=rf"order '{name}' \(did you mean 'x1'\?\), which this chain"):
                books.order(name)
            with pytest.raises(NotFound, match=rf"stream 'order/{name}' \(did you mean 'order/x1'\?\), in which"):
                books.history(f"order/{name}")
        with pytest.raises(NotFound, match=r"stream 'account/a' \(did you mean 'account/A'\?\)"):
            books.history("account/a", at=Seq(books.head().seq))
        for ask in (books.order, lambda name, at: books.history(f"order/{name}", at=at)):
            with pytest.raises(NotFound) as raised:
                ask("X1", at=Seq(5))
            assert "did you mean" not in str(raised.value)


def test_orders_of_days_that_lack_their_ground_cannot_be_told(told: Database) -> None:
    """An acceptance dated before its order leaves no answer about orders of that day, and all others one."""
    with Books(told.dsn("reader")) as books:
        head = books.head().seq
        recorded = next(x.recorded_at for x in books.history("order/x1").value if x.seq == head)
        early, late = Known(recorded, parse_day(DAYS[0])), Known(recorded, parse_day(DAYS[1]))
        for read in (books.orders, books.open_orders, books.exposure):
            with pytest.raises(NotFound, match=rf"event {head} \(OrderAccepted\).*unknown_order"):
                read(at=early)
        assert books.balances(at=early).value == []
        assert [(x.order_id, x.accepted, x.cum_qty) for x in books.open_orders(at=late).value] == [("x1", True, 0)]
        assert [x.event_type for x in books.history("order/x1", at=late).value] == ["OrderAccepted", "OrderPlaced"]


def test_the_past_is_checked_as_it_is_read(told: Database) -> None:
    """A changed payload ends the read and names the event; what came before it can still be read."""
    told.sql("ALTER TABLE ledger.events DISABLE TRIGGER ALL; UPDATE ledger.events"
             " SET payload = replace(payload::text, '100000', '900000')::json WHERE seq = 6")  # fmt: skip
    with Books(told.dsn("reader")) as books:
        assert books.positions("A", at=Seq(5)).value == []
        with pytest.raises(HashMismatch, match="event 6"):
            books.positions("A", at=Seq(7))
        with pytest.raises(HashMismatch, match="event 6"):
            books.statement("A", LAST, LAST)
        with pytest.raises(HashMismatch, match="event 6"):
            books.history("account/A")
        placed = books.stream("order/x1")[0].seq
        told.sql(f"DELETE FROM ledger.events WHERE seq = {placed}")
        with pytest.raises(SequenceGap, match="stream 'order/x1' has not its versions 1 to"):
            books.history("order/x1")


def test_times_are_read_exactly_or_not_at_all() -> None:
    """Nanoseconds, and ISO text with its offset, as `time_text` writes it; no local time, nothing finer."""
    assert parse_time("1723161254087891268") == 1723161254087891268
    assert parse_time("2024-08-08T12:00:00.000001Z") == NOONS[DAYS[1]] + 1000
    assert parse_time("2024-08-08T14:00:00+02:00") == NOONS[DAYS[1]]
    assert parse_time("2024-08-08T14:00:00.0000001+02:00") == NOONS[DAYS[1]] + 100
    assert parse_time("2024-08-08T12:00:00,12345678Z") == NOONS[DAYS[1]] + 123456780
    for moment in (0, -1, 999, NOONS[DAYS[1]] + 1, 1723161254087891268, 2**63 - 1):
        assert parse_time(time_text(moment)) == moment
    finer = ("2024-08-08T12:00:00.0000000001Z", "2024-08-08T12:00:00,0000000001Z",
             "2024-08-08T12:00:00+02:00:00.1234567", "2024-08-08T12:00:00.1+02:00:00.1234567")  # fmt: skip
    for text in ("2024-08-08", "2024-08-08T12:00:00", *finer, "noon", "-5", "", "9" * 20):
        with pytest.raises(InvalidInput, match="expected nanoseconds"):
            parse_time(text)
    with pytest.raises(InvalidInput, match="it has more than 19 digits"):
        parse_time("9" * 20)
    reach = "expected one from 1677-09-21T00:12:43.145224192Z to 2262-04-11T23:47:16.854775807Z"
    for text in ("2999-01-01T00:00:00Z", "2262-04-11T23:47:16.854775808Z", "0001-01-01T00:00:00Z", str(2**63)):
        with pytest.raises(InvalidInput, match=f"found the time '{text}'; {reach}"):
            parse_time(text)
    assert time_text(NOONS[DAYS[1]]) == "2024-08-08T12:00:00Z"
    assert time_text(1723161254087891268) == "2024-08-08T23:54:14.087891268Z"
    assert time_text(-1) == "1969-12-31T23:59:59.999999999Z"
    assert time_text(2**63 - 1) == "2262-04-11T23:47:16.854775807Z"
    for text in ("20240808", "2024-02-30", "8.8.2024"):
        with pytest.raises(InvalidInput, match="expected a date"):
            parse_day(text)


def test_a_blotter_shows_every_version_of_a_trade(told: Database) -> None:
    """Trade, correction and bust: which counts, which took whose place, and where; at each past seq as then."""
    with Ledger.open(told.dsn("writer")) as ledger, Books(told.dsn("reader")) as books:
        teller = Teller(ledger)
        teller.count, teller.trades = 100, [("x2", DAYS[2], "x1")]
        first = books.blotter("A").value[0].seq
        corrected = teller.tell("correct", DAYS[2], DAYS[2], 1)
        busted = teller.tell("bust", DAYS[3], DAYS[3], 0)
        shown = [(x.seq, x.standing, x.version, x.ref_exec_id, x.root_exec_id, x.replaced_at)
                 for x in books.blotter("A").value]  # fmt: skip
        assert shown == [
            (first, "corrected", 1, None, "x2", corrected),
            (corrected, "busted", 2, "x2", "x2", busted),
            (busted, "bust", 3, "x101", "x2", None),
        ]
        assert [x.standing for x in books.blotter("A", at=Seq(corrected)).value] == ["corrected", "live"]
        assert [x.standing for x in books.blotter("A", at=Seq(first)).value] == ["live"]


def test_a_statement_adds_up_and_has_one_digest(told: Database) -> None:
    """Opening and lines make the closing, digests repeat, and another day, seq or account makes another digest."""
    with Books(told.dsn("reader")) as books, Books(told.dsn("auditor")) as others:
        day = parse_day(DAYS[2])
        found = books.statement("A", day, day).value
        assert found == others.statement("A", day, day).value
        sums = {(x.asset, x.bucket): x.amount for x in found.opening}
        for line in found.lines:
            sums[line.asset, line.bucket] = sums.get((line.asset, line.bucket), 0) + line.amount
            assert line.balance == sums[line.asset, line.bucket]
        assert {(x.asset, x.bucket): x.amount for x in found.closing} == {k: v for k, v in sums.items() if v}
        assert found.lines
        digests = {found.digest, books.statement("A", parse_day(DAYS[1]), day).value.digest,
                   books.statement("A", day, parse_day(DAYS[3])).value.digest,
                   books.statement("~clearing.V", day, day).value.digest,
                   books.statement("A", day, day, at=Seq(found.seq - 1)).value.digest}  # fmt: skip
        assert len(digests) == 5
        with pytest.raises(InvalidInput, match="the first day comes first"):
            books.statement("A", day, parse_day(DAYS[1]))
        with pytest.raises(NotFound, match="nothing was posted"):
            books.statement("~nobody", day, day)
        payload = json.loads(books.history("order/x1").value[0].given)
        assert payload["order_id"] == "x1"


def test_a_correction_of_an_earlier_day_counts_alone_until_the_day_it_corrects(told: Database) -> None:
    """The trade of the 9th becomes one of the 8th: 0.01 from then on; a later bust leaves the days before it alone."""
    with Ledger.open(told.dsn("writer")) as ledger, Books(told.dsn("reader")) as books:
        teller = Teller(ledger)
        teller.count, teller.trades = 200, [("x2", DAYS[2], "x1")]
        corrected = teller.tell("correct", DAYS[1], DAYS[2], 1)
        busted = teller.tell("bust", DAYS[3], DAYS[3], 0)
        times = {event.seq: event.recorded_at for event in ledger.events()}

        def known(seq: int, day: str) -> tuple[list[str], str, str]:
            at = Known(times[seq], parse_day(day))
            btc = books.balance("A", "BTC", at=at).value.total - 100 * UNIT
            held = [render(x.qty) for x in books.positions("A", at=at).value]
            return held, render(btc), render(books.balance("A", "USDT", at=at).value.total)

        assert known(corrected - 1, DAYS[1]) == ([], "0", "100000")
        assert known(corrected - 1, DAYS[2]) == (["0.004"], "0.004", "99999.6")
        for day in DAYS[1:]:
            assert known(corrected, day) == (["0.01"], "0.01", "99999.005")
        for day in DAYS[1:3]:
            assert known(busted, day) == (["0.01"], "0.01", "99999.005")
        assert known(busted, DAYS[3]) == (["0"], "0", "100000")


def test_a_trade_of_a_day_before_its_order_moves_the_position_alone(told: Database) -> None:
    """The order is not there yet on that day; the day after both are."""
    with Ledger.open(told.dsn("writer")) as ledger, Books(told.dsn("reader")) as books:
        teller = Teller(ledger)
        teller.count = 300
        teller.tell("place", DAYS[3], DAYS[3], 0)
        seq = teller.tell("trade", DAYS[1], DAYS[3], 1)
        recorded = next(event.recorded_at for event in ledger.events(seq - 1))
        early, late = (Known(recorded, parse_day(day)) for day in (DAYS[1], DAYS[3]))
        placed = Known(next(event.recorded_at for event in ledger.events(seq - 2)), parse_day(DAYS[2]))
        with pytest.raises(NotFound, match="order 'x301', of which nothing counts for days up to 2024-08-09"):
            books.order("x301", at=placed)
        assert [render(x.qty) for x in books.positions("A", at=early).value] == ["0.01"]
        with pytest.raises(NotFound, match=r"TradeExecuted.*unknown_order"):
            books.orders("A", at=early)
        assert [render(x.cum_qty) for x in books.orders("A", at=late).value if x.order_id == "x301"] == ["0.01"]


@pytest.mark.parametrize(("undone", "left"), [("correct", "0.004"), ("bust", "0")])
def test_what_undoes_a_trade_without_its_order_finds_the_trade(told: Database, undone: str, left: str) -> None:
    """The order is of the next day: neither the trade nor its correction or bust has it, and each finds the other."""
    with Ledger.open(told.dsn("writer")) as ledger, Books(told.dsn("reader")) as books:
        teller = Teller(ledger)
        teller.count = 400
        teller.tell("place", DAYS[3], DAYS[3], 0)
        teller.tell("trade", DAYS[0], DAYS[3], 1)
        seq = teller.tell(undone, DAYS[0], DAYS[3], 0)
        recorded = next(event.recorded_at for event in ledger.events(seq - 1))
        early = Known(recorded, parse_day(DAYS[0]))
        assert [render(x.qty) for x in books.positions("A", at=early).value] == [left]
        assert [x.standing for x in books.blotter("A", at=early).value][1:] == (
            ["live"] if undone == "correct" else ["bust"]
        )


def test_an_earlier_correction_voids_a_trade_that_its_order_has_no_room_for(chain: Database) -> None:
    """In the order of days the order fills before the trade comes that was corrected, which counts nothing."""
    with Ledger.open(chain.dsn("writer")) as ledger, Books(chain.dsn("reader")) as books:
        teller = Teller(ledger)
        teller.setup()
        early, late = DAYS[:2]
        for step in (("place", early, 0), ("trade", late, 1), ("trade", early, 0), ("trade", early, 0),
                     ("correct", early, 0), ("correct", early, 1)):  # fmt: skip
            teller.tell(step[0], step[1], early, step[2])
        recorded = list(ledger.events())[-1].recorded_at
        for day in (early, late):
            at = Known(recorded, parse_day(day))
            assert [render(x.qty) for x in books.positions("A", at=at).value] == ["0.018"]


def test_threads_that_share_books_have_moments_of_their_own(chain: Database) -> None:
    """A read of one thread ends nobody else's moment, and waits for none: what it says is of the seq that it says."""
    with Ledger.open(chain.dsn("writer")) as ledger, Books(chain.dsn("reader")) as books:
        Teller(ledger).setup()
        with ThreadPoolExecutor(1) as other:
            with books._snapshot() as (connection, head):
                ledger.append(fee("one more"), key="more")
                assert other.submit(books.balances).result(60).seq == head + 1
                assert chains.head(connection, books.chain.chain).seq == head
            events = books.recorded(head)
            assert next(events).seq == 1
            assert other.submit(books.balances).result(60).seq == head + 1
            # As whoever collects garbage may be another thread than the one that began to read.
            other.submit(events.close).result(60)
            assert other.submit(books.balances).result(60).seq == books.balances().seq == head + 1
