"""
Check reconciliation on a real ledger, as a user runs it: breaks open, change, end and are resolved, all as events.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from ledger import Ledger
from ledger.cli.app import app
from ledger.domain.events.cash import CashMoved, JournalReversed
from ledger.domain.events.control import ControlsSet, Difference, ReconciliationRecorded
from ledger.domain.events.corporate_actions import InstrumentRenamed
from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.reference import AccountOpened, AssetDefined, InstrumentDefined
from ledger.domain.events.settlement import (
    AllocationLine,
    AllocationReversed,
    ExecutionRef,
    TradeAllocated,
    TradeSettled,
)
from ledger.errors import VersionConflict
from ledger.queries import Books
from ledger.reconciliation import run, statement
from tests.conftest import Database
from tests.domain.books import DAY
from tests.journal.test_ledger import check_whole, deposit, fill

EXAMPLES = Path(__file__).parents[2] / "examples" / "statements"
BALANCES = "account,asset,total,settled\n"
TRADES = "venue,trade_date,exec_id,account,instrument,side,qty,price\n"
NO_TRADES = '{"accounts": ["A"], "venues": ["V"], "trades": [], %s}'


class Desk:
    """
    Somebody who reconciles one chain with statements in a folder.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self._keys = 0
        with self.ledger() as ledger:
            fill(ledger)

    def ledger(self) -> Ledger:
        return Ledger.open(self.database.dsn("writer"))

    def give(self, *events: Event) -> int:
        with self.ledger() as ledger:
            for event in events:
                self._keys += 1
                receipt = ledger.append(event, key=f"given-{self._keys}")
                assert not receipt.quarantined, receipt
            return receipt.seq

    def run(self, *arguments: object) -> tuple[int, str]:
        dsn = ("--dsn", self.database.dsn("writer"))
        done = CliRunner().invoke(app, ["reconcile", *map(str, arguments), *dsn])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            return getattr(done.exception, "exit_status", 1), str(done.exception)
        return done.exit_code, done.stdout + done.stderr

    def file(self, text: str, name: str = "s.csv") -> Path:
        (self.folder / name).write_text(text)
        return self.folder / name

    def reconcile(self, text: str, *more: object, issuer: str = "bank", as_of: str = DAY, name: str = "s.csv") -> Any:
        told = ("--issuer", issuer, "--as-of", as_of, "--source", "engine", "--by", "ann", "--format", "json", *more)
        code, out = self.run(self.file(text, name), *told)
        assert code == 0, out
        return json.loads(out)

    def lives(self, *more: object) -> list[dict[str, Any]]:
        code, out = self.run("list", "--all", "--format", "json", *more)
        assert code == 0, out
        rows: list[dict[str, Any]] = json.loads(out.splitlines()[0])["rows"]
        return rows

    def head(self) -> int:
        with Books(self.database.dsn("reader")) as books:
            return books.head().seq


@pytest.fixture
def desk(chain: Database, tmp_path: Path) -> Desk:
    return Desk(chain, tmp_path)


def fill_of(exec_id: str) -> TradeExecuted:
    return TradeExecuted(exec_id=exec_id, venue="V", account="A", instrument="BTCUSDT", side="buy", qty="0.01",
                         price="100", trade_date=DAY)  # fmt: skip


def values(report: Any) -> dict[str, tuple[str, str]]:
    return {x["key"]: (x["ledger"], x["external"]) for x in report["breaks"]}


def test_a_break_is_followed_from_the_statement_that_opens_it_to_the_one_that_ends_it(desk: Desk) -> None:
    """Matches and breaks are one event; the same again appends nothing; books or statement mended, the break ends."""
    first = desk.reconcile(f"{BALANCES}A,USDT,100005,100000\nA,BTC,100,100\n")
    assert (first["matched"], first["appended"], values(first)) == (
        3, True, {"balance:A:USDT:total": ("100000", "100005")},
    )  # fmt: skip
    again = desk.reconcile(f"{BALANCES}A,USDT,100005,100000\nA,BTC,100,100\n")
    assert (again["appended"], again["recorded_seq"], again["breaks"]) == (
        False, first["recorded_seq"], first["breaks"],
    )  # fmt: skip
    changed = desk.reconcile(f"{BALANCES}A,USDT,100006,100000\nA,BTC,100,100\n")
    assert changed["breaks"][0]["changed_seqs"] == [changed["recorded_seq"]]
    corrected = desk.reconcile(f"{BALANCES}A,USDT,100000,100000\nA,BTC,100,100\n")
    assert (corrected["breaks"], [x["how"] for x in corrected["closed"]]) == ([], ["statement"])
    # What a statement leaves out of an account, it says there is none of; then the books are mended.
    short = "account,asset,total\nA,USDT,100007\n"
    assert values(desk.reconcile(short)) == {
        "balance:A:BTC:total": ("100", "0"), "balance:A:USDT:total": ("100000", "100007"),
    }  # fmt: skip
    desk.give(deposit("late", "7"))
    mended = desk.reconcile(short)
    assert values(mended) == {"balance:A:BTC:total": ("100", "0")}
    assert [(x["key"], x["how"]) for x in mended["closed"]] == [("balance:A:USDT:total", "books")]
    lives = desk.lives()
    assert [(x["key"], x["closed_by"], x["how"]) for x in lives] == [
        ("balance:A:USDT:total", "ann", "statement"), ("balance:A:BTC:total", None, None),
        ("balance:A:USDT:total", "ann", "books"),
    ]  # fmt: skip
    before = desk.head()
    desk.reconcile(short)
    assert desk.head() == before == check_whole(desk.database)


def test_who_moved_is_told_by_every_statement_that_had_the_break(desk: Desk) -> None:
    """A statement of the next day has the same break; the books are mended, it agrees: by the books, not by itself."""
    monday, tuesday = f"{BALANCES}A,USDT,100005,\nA,BTC,100,100\n", f"{BALANCES}A,USDT,100005,\nA,BTC,100,\n"
    desk.reconcile(monday)
    assert values(desk.reconcile(tuesday, as_of="2024-08-09")) == {"balance:A:USDT:total": ("100000", "100005")}
    desk.give(deposit("late", "5"))
    assert [x["how"] for x in desk.reconcile(tuesday, as_of="2024-08-09")["closed"]] == ["books"]
    # Another one that agrees says nothing of who moved; nor does one that had said something else before.
    for external in ("7", "8"):
        desk.reconcile(monday.replace("100005", external), as_of="2024-08-10")
    desk.give(CashMoved(movement_id="out", account="A", asset="USDT", amount="-99998", kind="withdrawal",
                        value_date=DAY))  # fmt: skip
    ended = desk.reconcile(monday.replace("100005", "7"), as_of="2024-08-10")
    assert [x["how"] for x in ended["closed"]] == ["statement"]


def test_a_statement_that_says_nothing_new_tells_where_it_was_recorded_itself(desk: Desk) -> None:
    """Not where the issuer was reconciled last: that was another one."""
    agrees = "account,asset,total\nA,USDT,100000\nA,BTC,100\n"
    first = desk.reconcile(agrees)
    desk.reconcile(agrees, as_of="2024-08-09")
    again = desk.reconcile(agrees)
    assert (again["appended"], again["recorded_seq"]) == (False, first["recorded_seq"])


def test_a_statement_that_was_older_than_a_break_did_not_have_it(desk: Desk) -> None:
    """A file of before that agrees is left aside; told of a later day it ends the break, and the issuer moved."""
    agrees = "account,asset,total\nA,USDT,100000\nA,BTC,100\n"
    assert desk.reconcile(agrees.replace(",100\n", ",101\n"), as_of="2024-08-12")["breaks"] != []
    assert desk.reconcile(agrees, name="t.csv")["newer"] == ["balance:A:BTC:total"]
    # A decision on another break is no statement that had this one.
    desk.reconcile("account,instrument,qty\nA,BTCUSDT,1\n", name="p.csv")
    desk.reconcile(agrees, name="t.csv")
    _decide(desk, "position:A:BTCUSDT:qty", "bank")
    ended = desk.reconcile(agrees, as_of="2024-08-13", name="t.csv")
    assert [(x["key"], x["how"]) for x in ended["closed"]] == [("balance:A:BTC:total", "statement")]


def test_a_break_is_as_of_the_newest_statement_that_said_so(desk: Desk) -> None:
    """One of the days between, read late, leaves it alone as it does a break that is new then; a newer one ends it."""
    key, agrees = "balance:A:BTC:total", "account,asset,total\nA,USDT,100000\nA,BTC,100\n"
    differs, positions = agrees.replace(",100\n", ",101\n"), "account,instrument,qty\nA,BTCUSDT,0\n"
    opened = desk.reconcile(differs, as_of="2024-08-09")
    for as_of in ("2024-08-13", "2024-08-13", "2024-08-11"):
        assert values(desk.reconcile(differs, as_of=as_of)) == values(opened)
    desk.reconcile(positions, as_of="2024-08-14", name="p.csv")
    between = desk.reconcile(agrees, as_of="2024-08-12", name="a.csv")
    assert (values(between), between["newer"], between["closed"]) == (values(opened), [key], [])
    assert [x["opened_seq"] for x in between["breaks"]] == [opened["recorded_seq"]]
    ended = desk.reconcile(agrees, as_of="2024-08-13", name="a.csv")
    assert [(x["key"], x["how"]) for x in ended["closed"]] == [(key, "statement")]
    # A day that agreed when it was read first says otherwise since the books changed, as the day before it does.
    desk.reconcile(agrees, as_of="2024-08-15", issuer="other", name="a.csv")
    desk.give(CashMoved(movement_id="in", account="A", asset="BTC", amount="1", kind="deposit", value_date=DAY))
    desk.reconcile(agrees, as_of="2024-08-13", issuer="other", name="a.csv")
    for appended in (True, False):
        again = desk.reconcile(agrees, as_of="2024-08-15", issuer="other", name="a.csv")
        assert (again["appended"], values(again)) == (appended, {key: ("101", "100")})
    assert desk.reconcile(differs, as_of="2024-08-14", issuer="other")["newer"] == [key]
    check_whole(desk.database)


def test_trades_are_matched_by_execution_id_as_they_are_now(desk: Desk) -> None:
    """Missing here and there, other quantity and price; a corrected trade under either id; a busted one is gone."""
    desk.give(*(_lone(name) for name in ("E1", "E2", "E3", "E4")))
    same = {"account": "A", "instrument": "BTCUSDT", "side": "buy", "trade_date": DAY, "venue": "V"}
    desk.give(TradeCorrected(exec_id="E2b", exec_ref="E2", qty="0.02", price="100", **same))  # type: ignore[arg-type]
    desk.give(TradeBusted(exec_id="E3b", exec_ref="E3", venue="V", trade_date=DAY, reason="error"))

    def row(name: str, qty: str = "0.01", price: str = "100", side: str = "buy") -> str:
        return f"V,{DAY},{name},A,BTCUSDT,{side},{qty},{price}\n"

    found = desk.reconcile(TRADES + row("E1", "0.03", "100.5") + row("E2", "0.02") + row("E3") + row("E9"))
    key = f"trade:A:V:{DAY}"
    assert values(found) == {
        f"{key}:E1:qty": ("0.01", "0.03"), f"{key}:E1:price": ("100", "100.5"),
        f"{key}:E3": ("no longer counts since E3 was replaced or busted", "buy 0.01 BTCUSDT at 100"),
        f"{key}:E4": ("buy 0.01 BTCUSDT at 100", "missing"), f"{key}:E9": ("missing", "buy 0.01 BTCUSDT at 100"),
    }  # fmt: skip
    both = desk.reconcile(TRADES + row("E1") + row("E2") + row("E2b", "0.02") + row("E4", side="sell"))
    assert values(both) == {
        f"{key}:E2": ("no longer counts since E2 was replaced or busted", "buy 0.01 BTCUSDT at 100"),
        f"{key}:E4:side": ("buy", "sell"),
    }  # fmt: skip
    right = desk.reconcile(TRADES + row("E1") + row("E2b", "0.02") + row("E4"))
    assert (right["breaks"], len(right["closed"])) == ([], 2)
    assert all(x["how"] == "statement" for x in desk.lives())
    check_whole(desk.database)


def _lone(name: str, account: str = "A", price: str = "100") -> TradeExecuted:
    return TradeExecuted(exec_id=name, venue="V", account=account, instrument="BTCUSDT", side="buy", qty="0.01",
                         price=price, trade_date=DAY)  # fmt: skip


def test_statements_of_one_issuer_leave_alone_what_they_do_not_cover(desk: Desk) -> None:
    """A file of trades ends no break of balances, an older statement none of a newer one; issuers stand apart."""
    desk.give(_lone("E1"))
    balances = "account,asset,total\nA,USDT,5\nA,BTC,100.01\n"
    desk.reconcile(balances)
    desk.reconcile("account,instrument,qty\nA,BTCUSDT,0.5\n", name="p.csv")
    assert set(values(desk.reconcile(f"{TRADES}V,{DAY},E1,A,BTCUSDT,buy,0.01,100\n", name="t.csv"))) == {
        "balance:A:USDT:total", "position:A:BTCUSDT:qty",
    }  # fmt: skip
    assert desk.reconcile("account,asset,total\nA,USDT,99999\nA,BTC,100.01\n", issuer="other")["breaks"] == []
    assert set(values(desk.reconcile(balances))) == {"balance:A:USDT:total", "position:A:BTCUSDT:qty"}
    closed = desk.reconcile("account,instrument,qty\nA,BTCUSDT,0.01\n", name="p.csv")
    assert [x["key"] for x in closed["closed"]] == ["position:A:BTCUSDT:qty"]
    assert set(values(closed)) == {"balance:A:USDT:total"}
    older = desk.reconcile(balances.replace(",5", ",99999"), as_of="2024-08-09")
    assert older["breaks"] == []
    newest = desk.reconcile(balances, as_of="2024-08-10")
    assert [x["of_this_statement"] for x in newest["breaks"]] == [True]
    again = desk.reconcile(balances.replace(",5", ",6"))
    assert (again["newer"], values(again)) == (["balance:A:USDT:total"], values(newest))
    # A later statement about something else makes the break no newer than it is.
    desk.reconcile("account,instrument,qty\nA,BTCUSDT,0.01\n", as_of="2024-08-12", name="p.csv")
    assert desk.reconcile(balances.replace(",5", ",99999"), as_of="2024-08-10")["breaks"] == []


def test_a_break_is_resolved_by_people_and_stays_so_while_both_sides_say_the_same(desk: Desk) -> None:
    """By whom, how and why is in the chain; a second person where asked for; another value opens it again."""
    text = "account,asset,total\nA,USDT,100001\nA,BTC,101\n"
    desk.reconcile(text)
    seq = desk.give(deposit("fix"))
    desk.give(ControlsSet(second_person=("resolution",), reason="policy", proposed_by="ann"))
    decision = ("resolve", "balance:A:BTC:total", "--issuer", "bank", "--as", "explained", "--reason", "in transit",
                "--proposed-by", "ann", "--source", "engine")  # fmt: skip
    code, words = desk.run(*decision)
    assert (code, "second person" in words) == (8, True)
    for reason in ("", " \t"):
        code, words = desk.run(*decision, "--approved-by", "bob", "--reason", reason)
        assert (code, "found no reason for 'explained'" in words) == (8, True), words
    code, words = desk.run(*decision, "--approved-by", "bob")
    assert code == 0, words
    assert desk.run(*decision, "--approved-by", "bob") == (0, words)
    code, words = desk.run(*decision, "--approved-by", "eve")
    assert (code, "nothing is left to resolve" in words) == (8, True)
    life = next(x for x in desk.lives("--issuer", "bank") if x["key"] == "balance:A:BTC:total")
    assert (life["closed_by"], life["approved_by"], life["how"], life["reason"]) == (
        "ann", "bob", "explained", "in transit",
    )  # fmt: skip
    adjusted = ("resolve", "balance:A:USDT:total", "--issuer", "bank", "--reason", "fee booked", "--proposed-by", "ann",
                "--approved-by", "bob", "--source", "engine", "--as", "adjusted")  # fmt: skip
    for more, expected in (((), "break_ref"), (("--ref", 9999), "found no event at seq 9999")):
        code, words = desk.run(*adjusted, *more)
        assert (code, expected in words) == (8, True), words
    assert desk.run(*adjusted, "--ref", seq)[0] == 0
    # What was adjusted agrees now, which is new; then nothing is.
    for appended in (True, False):
        same = desk.reconcile(text)
        assert (same["appended"], same["breaks"], same["resolved_before"]) == (appended, [], ["balance:A:BTC:total"])
    assert values(desk.reconcile(text.replace("101", "102"))) == {"balance:A:BTC:total": ("100", "102")}
    for arguments, words in (
        (("resolve", "balance:A:BTC:totl", *decision[2:]), "did you mean 'balance:A:BTC:total'"),
        (("resolve", "x", "--issuer", "none", *decision[4:]), "of which nothing was reconciled"),
        ((*decision[:5], "eaten", *decision[6:]), "adjusted, theirs, explained"),
        (("list", "--issuer", "bunk"), "did you mean 'bank'"),
    ):
        code, found = desk.run(*arguments)
        assert (code, words in found) == (8, True), found
    check_whole(desk.database)


def test_a_decision_ends_when_both_sides_agree_and_an_older_statement_opens_nothing(desk: Desk) -> None:
    """The old difference stays resolved until a later day agrees, and is new then; what ended later stays ended."""
    key, agrees = "balance:A:BTC:total", "account,asset,total\nA,USDT,100000\nA,BTC,100\n"
    differs = agrees.replace("C,100", "C,101")
    desk.reconcile(differs)
    decided = ("resolve", key, "--issuer", "bank", "--as", "theirs", "--reason", "typo", "--proposed-by", "ann",
               "--source", "engine")  # fmt: skip
    assert desk.run(*decided)[0] == 0
    for as_of in (DAY, "2024-08-09"):
        assert desk.reconcile(differs, as_of=as_of)["resolved_before"] == [key]
    agreed = desk.reconcile(agrees, as_of="2024-08-12")
    assert (agreed["appended"], agreed["breaks"]) == (True, [])
    assert desk.reconcile(agrees, as_of="2024-08-12")["appended"] is False
    again = desk.reconcile(differs)
    assert (again["appended"], again["breaks"], again["newer"]) == (False, [], [key])
    back = desk.reconcile(differs, as_of="2024-08-13")
    assert (back["resolved_before"], values(back)) == ([], {key: ("100", "101")})
    assert desk.reconcile(agrees, as_of="2024-08-15")["closed"][0]["how"] == "statement"
    late = desk.reconcile(differs, as_of="2024-08-14")
    assert (late["breaks"], late["newer"]) == ([], [key])
    assert values(desk.reconcile(differs, as_of="2024-08-16")) == {key: ("100", "101")}
    assert [life["how"] for life in desk.lives()] == ["theirs", "statement", None]
    check_whole(desk.database)


def test_a_decision_is_left_alone_by_a_statement_that_is_older_than_one_that_differs_as_decided(desk: Desk) -> None:
    """That of the 14th differs as the one of the 12th did, so that of the 13th, which agrees, is no news."""
    key, agrees = "balance:A:BTC:total", "account,asset,total\nA,USDT,100000\nA,BTC,100\n"
    differs = agrees.replace("C,100", "C,101")
    desk.reconcile(differs, as_of="2024-08-12")
    decided = ("resolve", key, "--issuer", "bank", "--as", "theirs", "--reason", "typo", "--proposed-by", "ann",
               "--source", "engine")  # fmt: skip
    assert desk.run(*decided)[0] == 0
    for older in ("2024-08-09", DAY):
        found = desk.reconcile(agrees, as_of=older)
        assert (found["breaks"], found["newer"]) == ([], [key])
    for appended in (True, False):
        found = desk.reconcile(differs, as_of="2024-08-14")
        assert (found["appended"], found["resolved_before"]) == (appended, [key])
    between = desk.reconcile(agrees, as_of="2024-08-13")
    assert (between["breaks"], between["newer"], between["resolved_before"]) == ([], [key], [])
    assert desk.reconcile(differs, as_of="2024-08-15")["resolved_before"] == [key]
    assert (desk.reconcile(agrees, as_of="2024-08-15")["newer"], len(desk.lives())) == ([], 1)
    assert values(desk.reconcile(differs, as_of="2024-08-16")) == {key: ("100", "101")}
    check_whole(desk.database)


def test_an_issuer_with_which_all_agrees_has_an_empty_list(desk: Desk) -> None:
    """Its statement was compared and had no break; one of which nothing was compared is named."""
    assert desk.reconcile("account,asset,total\nA,USDT,100000\nA,BTC,100\n", issuer="calm")["matched"] == 2
    assert desk.lives("--issuer", "calm") == []
    code, words = desk.run("list", "--all", "--issuer", "clam")
    assert (code, "of which nothing was reconciled" in words) == (8, True), words


def test_a_decision_is_as_of_the_break_and_not_of_what_else_was_stated_since(desk: Desk) -> None:
    """Positions of a later day agree, and the break of before is explained: what differs in between is new."""
    key, differs = "balance:A:BTC:total", "account,asset,total\nA,USDT,100000\nA,BTC,101\n"
    desk.reconcile(differs, as_of="2024-08-08")
    desk.reconcile("account,instrument,qty\nA,BTCUSDT,0\n", as_of="2024-08-20", name="p.csv")
    code, words = desk.run("resolve", key, "--issuer", "bank", "--as", "explained", "--reason", "in transit",
                           "--proposed-by", "ann", "--source", "engine")  # fmt: skip
    assert code == 0, words
    later = desk.reconcile(differs.replace("101", "102"), as_of="2024-08-12")
    assert (later["newer"], values(later)) == ([], {key: ("100", "102")})
    assert desk.reconcile(differs.replace("101", "100"), as_of="2024-08-14")["breaks"] == []
    back = desk.reconcile(differs, as_of="2024-08-19")
    assert (back["resolved_before"], values(back)) == ([], {key: ("100", "101")})


def test_a_break_is_adjusted_only_by_an_event_that_can_have_mended_it(desk: Desk) -> None:
    """It is there, of the account and figure or of the trade, and new since the break was found; once for one break."""
    bitcoin = CashMoved(movement_id="btc", account="A", asset="BTC", amount="1", kind="deposit", value_date=DAY)
    older = desk.give(
        bitcoin, AccountOpened(account="B", owner="o", kind="cash", base_asset="USDT"), deposit("before"), fill_of("E")
    )
    cash, position = "balance:A:USDT:total", "position:A:BTCUSDT:qty"
    other_trade = f"trade:A:V:{DAY}:E:price"
    desk.reconcile("account,asset,total\nA,USDT,5\n")
    desk.reconcile("account,instrument,qty\nA,BTCUSDT,5\n", name="p.csv")
    desk.reconcile(f"{TRADES}V,{DAY},E,A,BTCUSDT,buy,0.01,101\n", name="t.csv")
    others = CashMoved(movement_id="b", account="B", asset="USDT", amount="1", kind="deposit", value_date=DAY)
    theirs, coins = desk.give(others), desk.give(msgspec.structs.replace(bitcoin, movement_id="b2"))
    other = desk.give(fill_of("F"))
    corrected = TradeCorrected(exec_ref="E", **{**msgspec.structs.asdict(fill_of("C")), "price": "101"})
    right = desk.give(corrected)

    def resolve(key: str, ref: int, issuer: str = "bank") -> tuple[int, str]:
        return desk.run("resolve", key, "--issuer", issuer, "--reason", "mended", "--proposed-by", "ann", "--source",
                        "engine", "--as", "adjusted", "--ref", ref)  # fmt: skip

    for key, ref, words in (
        (cash, 1, "posts nothing to account A"), (cash, theirs, "posts nothing to account A"),
        (cash, coins, "leaves total USDT of A as it was"), (cash, 99_999, "found no event at seq 99999"),
        (cash, 0, "found no event at seq 0"), (position, coins, "moves no position"),
        (other_trade, other, "of another trade than E"), (other_trade, coins, "is no report of a trade"),
        (position, older, "counted when the break was found as it is"),
    ):  # fmt: skip
        before = desk.head()
        code, found = resolve(key, ref)
        assert (code, words in found, "R6: " in found) == (8, True, True), found
        assert desk.head() == before
    # One correction mends the trade, the position's cost and the cash.
    for key in (other_trade, position, cash):
        assert resolve(key, right)[0] == 0
    with desk.ledger() as ledger:
        earlier = str(ledger.events_at([right - 1])[right - 1].recorded_at)
    desk.reconcile("account,asset,total\nA,USDT,6\n")
    code, found = resolve(cash, right)
    assert (code, "counted when the break was found" in found) == (8, True), found
    # Of a statement as of a time, what was recorded after it has not counted, and may have ended it already.
    desk.reconcile("account,asset,total\nA,USDT,6\n", issuer="venue", as_of=earlier)
    assert resolve(cash, right, "venue")[0] == 0
    desk.reconcile("account,asset,total\nA,USDT,7\n", issuer="venue", as_of=earlier)
    code, found = resolve(cash, right, "venue")
    assert (code, "ended this break before" in found) == (8, True), found
    check_whole(desk.database)


@pytest.mark.parametrize("key", ["client-7.USD", "balance:A", "balance:A:USDT", "trade:A:V:E", "position", "a:b:c:d"])
def test_a_break_with_a_key_of_somebody_s_own_is_mended_by_any_later_event(desk: Desk, key: str) -> None:
    """What it is about only they can say; it was not among the books that it was found in all the same."""
    found = ReconciliationRecorded(
        origin="own", statement_hash="h", as_of=1_723_161_600 * 10**9 - 1, matched=0,
        breaks=(Difference(key=key, ledger="1", external="2"),),
    )  # fmt: skip
    older = desk.give(deposit("before"))
    desk.give(found)
    later = desk.give(deposit("after"))
    assert values(desk.reconcile("account,asset,total\nA,USDT,5\n", issuer="own"))[key] == ("1", "2")

    def resolve(ref: int) -> tuple[int, str]:
        return desk.run("resolve", key, "--issuer", "own", "--reason", "r", "--proposed-by", "ann", "--source",
                        "engine", "--as", "adjusted", "--ref", ref)  # fmt: skip

    code, words = resolve(99_999)
    assert (code, "found no event at seq 99999" in words) == (8, True), words
    code, words = resolve(older)
    assert (code, "counted when the break was found" in words) == (8, True), words
    assert resolve(later)[0] == 0


def test_what_the_ledger_does_not_know_is_named_and_nothing_is_written(desk: Desk) -> None:
    """Unknown account, asset, instrument, a day or time that has not come, no such file: 8, and the head stays."""
    before = desk.head()
    told = ("--issuer", "bank", "--source", "engine", "--as-of")
    for text, as_of, words in (
        ("account,asset,total\nB,USDT,1\n", DAY, "s.csv:2: found account 'B'"),
        (
            "account,asset,total\n~fee,USDT,1\n",
            DAY,
            "s.csv:2: found account '~fee' (did you mean '~fees'?)",
        ),
        ("account,asset,total\n~fx,USDT,1\n", DAY, "found account '~fx', which is none of the ledger's own"),
        ("account,asset,total\nA,USDC,1\n", DAY, "found asset 'USDC' (did you mean 'USDT'?)"),
        ("account,instrument,qty\nA,BTCUSD,1\n", DAY, "found instrument 'BTCUSD' (did you mean 'BTCUSDT'?)"),
        (f"{TRADES}V,{DAY},E,A,ETHUSDT,buy,1,1\n", DAY, "found instrument 'ETHUSDT'"),
        ("account,asset,total\nA,USDT,1\n", "2261-01-01", "the ledger's last event was recorded on"),
        ("account,asset,total\nA,USDT,1\n", "2261-01-01T00:00:00Z", "the ledger's last event was recorded at"),
        ("account,asset,total\nA,USDT,1\n", "1999-01-01", "nothing recorded by then counts for a day before"),
    ):
        code, found = desk.run(desk.file(text), *told, as_of)
        assert (code, words in found) == (8, True), found
    code, found = desk.run(desk.folder / "none.csv", *told, DAY)
    assert (code, "cannot be read: No such file" in found) == (8, True), found
    assert desk.run(desk.file("account,asset,total\n"), *told, DAY, "--format", "xml")[0] == 2
    told_apart = f"0 rows, true at seq {before}, read from replay\n"
    assert desk.run("list") == (0, f"breaks: none\ntrue at seq {before}\n{told_apart}")
    assert desk.head() == before


def test_the_examples_agree_with_the_firm_that_they_are_of(desk: Desk) -> None:
    """Each statement of `examples/statements` matches in all it says, and breaks where one figure of it is changed."""
    desk.give(
        AccountOpened(account="ACC-1", owner="fund", kind="cash", base_asset="USDT"),
        *(CashMoved(movement_id=f"{asset}-1", account="ACC-1", asset=asset, amount=amount, kind="deposit",
                    value_date=DAY)
          for asset, amount in (("USDT", "100000"), ("BTC", "100"))),
        _lone("E-1", "ACC-1", "100050"),
    )  # fmt: skip
    told = ("--issuer", "custodian-1", "--as-of", DAY, "--source", "engine", "--format", "json")
    for path, matched in (("balances.csv", 4), ("positions.csv", 2), ("trades.csv", 6), ("custodian.json", 9)):
        code, out = desk.run(EXAMPLES / path, *told)
        report = json.loads(out)
        assert (code, report["matched"], report["breaks"]) == (0, matched, []), out
    changed = (EXAMPLES / "custodian.json").read_text().replace('"98999.5"', '"98999.500000000000000001"')
    assert values(desk.reconcile(changed, name="changed.json", issuer="custodian-1")) == {
        "balance:ACC-1:USDT:total": ("98999.5", "98999.500000000000000001"),
    }  # fmt: skip


def test_breaks_are_listed_alike_in_every_format_and_names_are_no_pictures(desk: Desk) -> None:
    """`:A:` stays what it is; json, jsonl, csv and table have the same rows, in the forms that `show` gives them."""
    text = "account,asset,total,held\nA,USDT,1,0\n"
    code, out = desk.run(desk.file(text), "--issuer", "bank", "--as-of", DAY, "--source", "engine")
    assert code == 0, out
    assert "balance:A:USDT:total" in out
    assert "matched: 1; breaks: 2; ended: 0" in out
    rows = desk.lives()
    desk.reconcile(text.replace(",1,", ",2,"))
    rows, seq = desk.lives(), desk.head()
    assert [row["changed_seqs"] for row in rows] == [[], [seq]]
    whole = json.loads(desk.run("list", "--format", "json")[1].splitlines()[0])
    assert whole == {"schema_version": 1, "seq": seq, "read_from": "replay", "rows": rows}
    *lines, last = desk.run("list", "--format", "jsonl")[1].splitlines()
    assert [json.loads(line) for line in lines] == [{"at_seq": seq, **row} for row in rows]
    assert last == f"2 rows, true at seq {seq}, read from replay"
    found = list(csv.DictReader(desk.run("list", "--format", "csv")[1].splitlines()[:-1]))
    assert found == [
        {"at_seq": str(seq), **{name: "" if x is None else json.dumps(x) if isinstance(x, list) else str(x)
                                for name, x in row.items()}}
        for row in rows
    ]  # fmt: skip
    assert all(row["key"] in desk.run("list")[1] for row in rows)


def test_breaks_are_those_of_the_seq_that_stands_beside_them(desk: Desk) -> None:
    """Between two reads of a listing the break ends: what is told of the seq before does not know that."""
    desk.reconcile("account,asset,total\nA,BTC,101\n")
    before, opened = desk.head(), desk.lives()

    class Busy(Books):
        def table(self, name: str, /, **equal: Any) -> Any:
            found = super().table(name, **equal)
            desk.reconcile("account,asset,total\nA,BTC,100\n")
            return found

    with Busy(desk.database.dsn("reader")) as books:
        known = run.all_lives(books)
    assert desk.head() > before
    assert (known.seq, [msgspec.to_builtins(life) for life in known.value]) == (before, opened)
    assert opened[0]["closed_seq"] is None
    assert desk.lives()[0]["closed_seq"] == desk.head()


def test_a_block_that_was_allocated_and_a_renamed_instrument_are_what_they_are_at_the_venue(desk: Desk) -> None:
    """The venue states the block and not its lines, the accounts hold their lines; an old name is the new one's."""
    desk.give(
        AccountOpened(account="BLOCK", owner="o", kind="house", base_asset="USDT"),
        InstrumentDefined(instrument="T1", asset="BTC", quote_asset="USDT", settle_asset="USDT", tick="0.01",
                          lot="0.001", settlement_cycle=1, venue="V"),
        TradeExecuted(exec_id="B", venue="V", account="BLOCK", instrument="T1", side="buy", qty="0.2", price="100",
                      trade_date=DAY),
        TradeAllocated(allocation_id="AL", venue="V", trade_date=DAY, exec_ids=("B",),
                       lines=(AllocationLine(account="A", qty="0.2", price="100"),)),
        InstrumentRenamed(ca_id="N", old="T1", new="T2", effective=DAY),
    )  # fmt: skip
    row = f"V,{DAY},B,BLOCK,T1,buy,0.2,100\n"
    assert desk.reconcile(TRADES + row, "--account", "A")["breaks"] == []
    key = f"trade:A:V:{DAY}:AL.1"
    custodian = f"V,{DAY},AL.1,A,T1,buy,0.2,100\n"
    assert desk.reconcile(TRADES + custodian, issuer="custodian")["breaks"] == []
    assert values(desk.reconcile(TRADES + custodian.replace("0.2", "0.3"), issuer="custodian")) == {
        f"{key}:qty": ("0.2", "0.3"),
    }  # fmt: skip
    assert desk.reconcile(TRADES + row.replace("T1", "T2"))["breaks"] == []
    for name in ("T1", "T2"):
        assert desk.reconcile(f"account,instrument,qty\nA,{name},0.2\n", "--account", "BLOCK")["breaks"] == []
    both = desk.file("account,instrument,qty\nA,T1,0.2\nA,T2,0.2\n")
    code, words = desk.run(both, "--issuer", "bank", "--as-of", DAY, "--source", "engine")
    assert (code, "T2 is T1 by another name, stated at" in words) == (8, True), words


def test_a_custodian_states_the_lines_of_an_allocation_and_leaves_none_out(desk: Desk) -> None:
    """A statement that has one line has them all; one that was reversed and a bust are told for what they are."""
    desk.give(
        AccountOpened(account="BLOCK", owner="o", kind="house", base_asset="USDT"),
        *(_lone(name, "BLOCK") for name in ("B1", "B2", "B3")),
        *(TradeAllocated(allocation_id=f"AL{n}", venue="V", trade_date=DAY, exec_ids=(f"B{n}",),
                         lines=(AllocationLine(account="A", qty="0.01", price="100"),)) for n in (1, 2)),
        AllocationReversed(allocation_id="AL2", reason="wrong account"),
        TradeBusted(exec_id="B3b", exec_ref="B3", venue="V", trade_date=DAY, reason="error"),
    )  # fmt: skip
    one = TRADES + f"V,{DAY},AL1.1,A,BTCUSDT,buy,0.01,100\n"
    assert desk.reconcile(one)["breaks"] == []
    told = "buy 0.01 BTCUSDT at 100"
    wrong = one.replace("AL1.1", "AL2.1") + f"V,{DAY},B3b,BLOCK,BTCUSDT,buy,0.01,100\n"
    assert values(desk.reconcile(wrong, issuer="other")) == {
        f"trade:A:V:{DAY}:AL1.1": (told, "missing"),
        f"trade:A:V:{DAY}:AL2.1": ("no longer counts since AL2 was reversed", told),
        f"trade:BLOCK:V:{DAY}:B2": (told, "missing"),
        f"trade:BLOCK:V:{DAY}:B3b": ("no trade: the bust of B3", told),
    }  # fmt: skip
    check_whole(desk.database)


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("account,asset,total\n", "s.csv", "found no balances, and no account that has none; name it with --account"),
        (TRADES, "s.csv", "found no trades, and not of whom, where and when there are none"),
        ('{"accounts": ["A"], "balances": [], "trades": [], "venues": ["V"]}', "s.json", "found no trades, and not of"),
        (NO_TRADES % '"trades_from": "2024-08-01"', "s.json", "found no trades, and not of"),
        (NO_TRADES % '"trades_to": "2024-08-01"', "s.json", "found no trades, and not of"),
        (
            NO_TRADES % '"trades_from": "2024-08-02", "trades_to": "2024-08-01"',
            "s.json",
            "found trades_from 2024-08-02 after trades_to 2024-08-01",
        ),
    ],
)
def test_a_statement_that_covers_nothing_is_no_agreement(desk: Desk, text: str, name: str, words: str) -> None:
    """An empty file may be a failed download: it is not recorded as one without breaks."""
    before = desk.head()
    code, found = desk.run(desk.file(text, name), "--issuer", "bank", "--as-of", DAY, "--source", "engine")
    assert (code, words in found) == (8, True), found
    assert desk.head() == before


def test_a_time_is_what_had_been_recorded_by_then_and_a_day_what_is_known_of_it_now(desk: Desk) -> None:
    """A deposit of the day that was booked after the statement's time counts for its day, and not for its time."""
    with Books(desk.database.dsn("reader")) as books:
        then = books.recorded_at()
    desk.give(deposit("late", "7"))
    text = "account,asset,total\nA,USDT,100000\nA,BTC,100\n"
    assert desk.reconcile(text, as_of=str(then))["breaks"] == []
    assert values(desk.reconcile(text, issuer="other")) == {"balance:A:USDT:total": ("100007", "100000")}


def test_trades_are_compared_also_of_a_day_of_which_it_is_not_known_how_much_settled(desk: Desk) -> None:
    """Friday's net is of the rest after Monday's part; where nothing can be told of the day, a time is named for it."""
    desk.give(
        InstrumentDefined(instrument="T1", asset="BTC", quote_asset="USDT", settle_asset="USDT", tick="0.01",
                          lot="0.01", settlement_cycle=1, venue="V"),
        *(msgspec.structs.replace(fill_of(name), instrument="T1", qty="1") for name in ("E", "F")),
    )  # fmt: skip
    net = tuple(ExecutionRef(trade_date=DAY, exec_id=name) for name in ("E", "F"))
    desk.give(
        TradeSettled(settlement_id="P", venue="V", trade_date=DAY, exec_id="E", qty="0.4", partial=True,
                     date="2024-08-12"),
        TradeSettled(settlement_id="S", venue="V", net=net, qty="1.6", date="2024-08-09"),
    )  # fmt: skip
    text = f"{TRADES}V,{DAY},E,A,T1,buy,1,100\nV,{DAY},F,A,T1,buy,1,101\n"
    assert values(desk.reconcile(text, as_of="2024-08-09")) == {f"trade:A:V:{DAY}:F:price": ("100", "101")}
    desk.give(TradeCorrected(exec_id="C", exec_ref="E", venue="V", account="A", instrument="T1", side="buy", qty="0.9",
                             price="100", trade_date=DAY))  # fmt: skip
    told = ("--issuer", "bank", "--as-of", "2024-08-09", "--source", "engine", "--by", "ann")
    code, out = desk.run(desk.file(text), *told)
    assert (code, "name the time: --as-of 2024-08-09T23:59:59Z" in out) == (8, True), out


def test_names_as_long_as_they_may_be_and_with_colons_make_breaks_that_end(desk: Desk) -> None:
    """Keys stay apart and within their limit, and a later statement finds its break again."""
    long, colons = "n" * 128, "a:b%3A:"
    desk.give(*(AccountOpened(account=name, owner="o", kind="cash", base_asset="USDT") for name in (long, colons)))
    rows = f"{long},USDT,1\n{colons},USDT,1\n"
    found = desk.reconcile("account,asset,total\n" + rows)
    assert [len(x["key"]) <= 128 for x in found["breaks"]] == [True, True]
    # The corrected statement has no rows of them any more.
    ended = desk.reconcile("account,asset,total\n", "--account", long, "--account", colons)
    assert (ended["breaks"], len(ended["closed"])) == ([], 2)


def test_a_row_that_is_left_out_is_0_in_all_that_the_others_state_whatever_broke_before(desk: Desk) -> None:
    """A break of held hides no missing total; who lists settled cash alone says nothing of what is due."""
    total = "account,asset,total\nA,BTC,100\n"
    desk.reconcile("account,asset,total,held\nA,USDT,100000,5\nA,BTC,100,\n")
    gone = desk.reconcile(total, name="t.csv")
    assert values(gone) == {"balance:A:USDT:total": ("100000", "0")}
    assert [x["key"] for x in gone["closed"]] == ["balance:A:USDT:held"]
    assert values(desk.reconcile(total, issuer="fresh", name="t.csv")) == values(gone)
    # A trade of the day is due: cash that is not settled is no cash of a list of settled cash.
    desk.give(
        AccountOpened(account="H", owner="o", kind="house", base_asset="USDT"),
        InstrumentDefined(instrument="T1", asset="BTC", quote_asset="USDT", settle_asset="USDT", tick="0.01",
                          lot="0.001", settlement_cycle=1, venue="V"),
        msgspec.structs.replace(fill_of("S"), account="H", instrument="T1", qty="1"),
        msgspec.structs.replace(deposit("h", "100"), account="H"),
    )  # fmt: skip
    settled = "account,asset,settled\nA,USDT,100000\nA,BTC,100\n"
    found = desk.reconcile(settled, "--account", "H", issuer="settled")
    assert values(found) == {"balance:H:USDT:settled": ("100", "0")}
    stated = desk.reconcile(settled + "H,USDT,0\n", issuer="settled", name="u.csv")
    assert (stated["appended"], values(stated)) == (True, values(found))
    # A break of the total is not of such a list, which ends it by leaving the row out as little as by stating it.
    desk.reconcile("account,asset,total\nH,USDT,7\nH,BTC,1\n", issuer="both", name="b.csv")
    for rows in (settled, settled + "H,USDT,100\n"):
        found = desk.reconcile(rows, "--account", "H", issuer="both", name="s.csv")
        assert values(found)["balance:H:USDT:total"] == ("0", "7")
    positions = "account,instrument,qty,cost\n"
    desk.reconcile(positions + "H,T1,1,5\n", issuer="p", name="p.csv")
    for issuer in ("p", "q"):
        found = desk.reconcile(positions, "--account", "H", issuer=issuer, name="q.csv")
        assert values(found)["position:H:T1:qty"] == ("1", "0")


def test_a_break_and_what_was_decided_of_it_go_on_under_a_new_name(desk: Desk) -> None:
    """The same difference stays one break, agreement ends it, and what someone decided of it, or of a trade, stands."""
    held = "account,instrument,qty\nA,%s,0.5\n"
    traded = TRADES + f"V,{DAY},E1,A,%s,buy,0.01,100\nV,{DAY},E9,A,%s,buy,0.01,100\n"
    desk.give(_lone("E1"))
    key, missing = "position:A:BTCUSDT:qty", f"trade:A:V:{DAY}:E9"
    for issuer in ("open", "decided"):
        desk.reconcile(held % "BTCUSDT", issuer=issuer)
    desk.reconcile(traded % ("BTCUSDT", "BTCUSDT"), issuer="venue", name="t.csv")
    for issuer, of in (("decided", key), ("venue", missing)):
        code, words = desk.run("resolve", of, "--issuer", issuer, "--as", "theirs", "--reason", "typo",
                               "--proposed-by", "ann", "--source", "engine")  # fmt: skip
        assert code == 0, words
    desk.give(InstrumentRenamed(ca_id="N", old="BTCUSDT", new="XBT", effective=DAY))
    desk.give(InstrumentRenamed(ca_id="N2", old="XBT", new="ABC", effective=DAY))
    for name in ("ABC", "BTCUSDT", "XBT"):
        assert values(desk.reconcile(held % name, issuer="open")) == {key: ("0.01", "0.5")}
        decided = desk.reconcile(held % name, issuer="decided")
        assert (decided["breaks"], decided["resolved_before"]) == ([], [key])
        decided = desk.reconcile(traded % (name, name), issuer="venue", name="t.csv")
        assert (decided["breaks"], decided["resolved_before"]) == ([], [missing])
    assert [x["closed_seq"] for x in desk.lives("--issuer", "open")] == [None]
    desk.give(msgspec.structs.replace(_lone("E2"), qty="0.49", instrument="ABC"))
    ended = desk.reconcile(held % "ABC", issuer="open")
    assert (ended["breaks"], [x["how"] for x in ended["closed"]]) == ([], ["books"])


def _decide(desk: Desk, key: str, issuer: str, how: str = "theirs", *more: object) -> None:
    code, words = desk.run("resolve", key, "--issuer", issuer, "--as", how, "--reason", "r", "--proposed-by", "ann",
                           "--source", "engine", *more)  # fmt: skip
    assert code == 0, words


def _now(desk: Desk) -> str:
    with Books(desk.database.dsn("reader")) as books:
        return str(books.recorded_at())


def test_a_decision_ends_when_neither_side_has_any_more_what_it_was_on(desk: Desk) -> None:
    """The row, position or trade is left out on the 9th, and nothing is here: on the 12th it is a new difference."""
    desk.give(_lone("E1"), AccountOpened(account="B", owner="o", kind="cash", base_asset="USDT"))
    trade = f"V,{DAY},%s,A,BTCUSDT,buy,0.01,100\n"
    for key, agrees, more in (
        ("balance:B:USDT:total", "account,asset,total\nA,USDT,99999\nA,BTC,100.01\n", "B,USDT,5\n"),
        ("position:B:BTCUSDT:qty", "account,instrument,qty\nA,BTCUSDT,0.01\n", "B,BTCUSDT,7\n"),
        (f"trade:A:V:{DAY}:E9", TRADES + trade % "E1", trade % "E9"),
    ):
        opened = values(desk.reconcile(agrees + more, issuer=key[:3]))
        assert list(opened) == [key]
        _decide(desk, key, key[:3])
        assert desk.reconcile(agrees + more, issuer=key[:3], as_of="2024-08-09")["resolved_before"] == [key]
        covers = () if key.startswith("trade") else ("--account", "B")
        assert desk.reconcile(agrees, *covers, issuer=key[:3], as_of="2024-08-09", name="m.csv")["breaks"] == []
        back = desk.reconcile(agrees + more, issuer=key[:3], as_of="2024-08-12")
        assert (back["resolved_before"], values(back)) == ([], opened)
    check_whole(desk.database)


def test_a_decision_goes_on_over_statements_that_say_nothing_of_it(desk: Desk) -> None:
    """A security that a list of cash leaves out, a column that a list of trades does not have: no agreement."""
    desk.give(
        _lone("E1"), AssetDefined(asset="XYZ", kind="security", scale=0, name="x"),
        CashMoved(movement_id="x", account="A", asset="XYZ", amount="10", kind="deposit", value_date=DAY),
    )  # fmt: skip
    cash = "account,asset,total\nA,USDT,99999\nA,BTC,100.01\n"
    gross = TRADES.replace("price", "price,gross") + f"V,{DAY},E1,A,BTCUSDT,buy,0.01,100,%s\n"
    for key, differs, silent in (
        ("balance:A:XYZ:total", cash + "A,XYZ,11\n", cash), (f"trade:A:V:{DAY}:E1:gross", gross % "2", gross % ""),
    ):  # fmt: skip
        opened = values(desk.reconcile(differs))
        assert list(opened) == [key]
        if key.startswith("trade"):
            assert values(desk.reconcile(silent, as_of="2024-08-09", name="m.csv")) == opened
        _decide(desk, key, "bank")
        assert desk.reconcile(silent, as_of="2024-08-09", name="m.csv")["breaks"] == []
        again = desk.reconcile(differs, as_of="2024-08-12")
        assert (again["resolved_before"], again["breaks"]) == ([key], [])


def test_a_decision_ends_with_an_agreement_of_its_own_day_and_an_adjustment_with_what_it_made(desk: Desk) -> None:
    """The issuer mends its day, or the deposit that mended ours is reversed: the same difference is a new break."""
    key, differs = "balance:A:USDT:total", "account,asset,total\nA,USDT,100005\nA,BTC,100\n"
    opened = values(desk.reconcile(differs, issuer="theirs"))
    _decide(desk, key, "theirs")
    for _ in range(2):
        assert desk.reconcile(differs.replace("5\n", "0\n"), issuer="theirs", name="a.csv")["breaks"] == []
    assert values(desk.reconcile(differs, issuer="theirs", as_of="2024-08-09")) == opened
    for issuer in ("told", "untold"):
        desk.reconcile(differs, issuer=issuer)
    then = _now(desk)
    desk.reconcile(differs, issuer="then", as_of=then)
    ref = desk.give(deposit("mends", "5"))
    for issuer in ("told", "untold", "then"):
        _decide(desk, key, issuer, "adjusted", "--ref", ref)
    assert desk.reconcile(differs, issuer="told")["breaks"] == []
    desk.give(JournalReversed(journal_id="undone", reverses="mends", reverses_kind="cash", reason="wrong"))
    for issuer in ("told", "untold"):
        assert values(desk.reconcile(differs, issuer=issuer)) == opened
    # The books of a time before it were never mended: what was decided of them stands.
    assert desk.reconcile(differs, issuer="then", as_of=then)["resolved_before"] == [key]
    assert values(desk.reconcile(differs, issuer="then", as_of=_now(desk))) == opened
    check_whole(desk.database)


def test_of_several_versions_that_are_stated_the_newest_stands_for_the_trade(desk: Desk) -> None:
    """Two earlier ones are one trade and one that no longer counts; a correction of the trade date is a difference."""
    same = {"venue": "V", "account": "A", "instrument": "BTCUSDT", "side": "buy", "qty": "0.01"}
    on = {**same, "trade_date": DAY}
    desk.give(
        _lone("E1"), TradeCorrected(exec_id="E2", exec_ref="E1", price="101", **on),  # type: ignore[arg-type]
        TradeCorrected(exec_id="E3", exec_ref="E2", price="100", **on),  # type: ignore[arg-type]
    )  # fmt: skip
    row, key = "V,%s,%s,A,BTCUSDT,buy,0.01,100\n", f"trade:A:V:{DAY}"
    told = "buy 0.01 BTCUSDT at 100"
    for names in (("E1", "E2"), ("E2", "E1"), ("E1", "E3"), ("E1", "E3", "E2")):
        found = desk.reconcile(TRADES + "".join(row % (DAY, name) for name in names))
        assert values(found) == {
            f"{key}:{name}": (f"no longer counts since {name} was replaced or busted", told)
            for name in sorted(names)[:-1]
        }  # fmt: skip
    assert desk.reconcile(TRADES + row % (DAY, "E2"))["breaks"] == []
    later = "2024-08-09"
    desk.give(TradeCorrected(exec_id="E4", exec_ref="E3", price="100", trade_date=later, ref_trade_date=DAY,
                             **same))  # type: ignore[arg-type]  # fmt: skip
    moved = desk.reconcile(TRADES + row % (DAY, "E3"), as_of=later)
    assert values(moved) == {f"{key}:E3:trade_date": (later, DAY)}
    ended = desk.reconcile(TRADES + row % (later, "E4"), as_of=later)
    assert (ended["breaks"], len(ended["closed"])) == ([], 1)


def test_what_was_decided_of_a_trade_goes_on_by_whatever_version_it_is_told(desk: Desk) -> None:
    """The same difference under the id of a correction is no agreement, and no other break."""
    on = {"venue": "V", "account": "A", "instrument": "BTCUSDT", "side": "buy", "trade_date": DAY}
    desk.give(_lone("E1"), TradeCorrected(exec_id="E2", exec_ref="E1", qty="0.02", price="100", **on))  # type: ignore[arg-type]
    told = f"V,{DAY},%s,A,BTCUSDT,buy,0.02,%s\n"
    key = f"trade:A:V:{DAY}:E1:price"
    assert values(desk.reconcile(TRADES + told % ("E1", "101"))) == {key: ("100", "101")}
    under_the_other = desk.reconcile(TRADES + told % ("E2", "101"), name="other.csv")
    assert values(under_the_other) == {key: ("100", "101")}
    _decide(desk, key, "bank")
    for name in ("E2", "E1", "E2"):
        again = desk.reconcile(TRADES + told % (name, "101"), name=f"{name}.csv")
        assert (again["breaks"], again["resolved_before"]) == ([], [key])
    assert values(desk.reconcile(TRADES + told % ("E2", "102"), name="E2.csv")) == {key: ("100", "102")}


def test_who_is_overtaken_by_another_reconciliation_of_the_issuer_is_told_to_run_again(desk: Desk) -> None:
    """While the past is folded, a decided break opens again, or an open one is decided; what was read is of before."""
    key, text = "balance:A:BTC:total", "account,asset,total\nA,USDT,100000\nA,BTC,%s\n"
    desk.reconcile(text % 101)
    _decide(desk, key, "bank")

    def run_late(meanwhile: Callable[[], object]) -> None:
        class Busy(Books):
            def balances(self, account: str | None = None, *, at: Any = None) -> Any:
                found = super().balances(account, at=at)
                meanwhile()
                return found

        told = statement.read("s.csv", (text % 100).encode(), statement.Told("bank", "2024-08-10"))
        with (
            desk.ledger() as ledger,
            Busy(desk.database.dsn("reader")) as books,
            pytest.raises(VersionConflict),
        ):
            run.reconcile(ledger, books, told, "bob")

    run_late(lambda: desk.reconcile(text % 107, as_of="2024-08-09", name="other.csv"))
    run_late(lambda: _decide(desk, key, "bank"))
    check_whole(desk.database)


def test_a_position_is_adjusted_by_its_own_instrument_and_a_trade_by_what_was_about_it(desk: Desk) -> None:
    """Two instruments of one asset, two blocks of one account: a trade or allocation of the other mended nothing."""
    block = AccountOpened(account="H", owner="o", kind="house", base_asset="USDT")
    other = InstrumentDefined(instrument="T1", asset="BTC", quote_asset="USDT", settle_asset="USDT", tick="0.01",
                              lot="0.001", settlement_cycle=1, venue="V")  # fmt: skip
    desk.give(block, other, *(_lone(name, "H") for name in ("E", "F")), _lone("P"))
    position, at_price, missing = "position:A:BTCUSDT:qty", f"trade:H:V:{DAY}:E:price", f"trade:A:V:{DAY}:AF.1"
    desk.reconcile("account,instrument,qty\nA,BTCUSDT,5\n", name="p.csv")
    line = f"V,{DAY},AF.1,A,BTCUSDT,buy,0.01,100\n"
    desk.reconcile(
        TRADES + f"V,{DAY},E,H,BTCUSDT,buy,0.01,101\nV,{DAY},P,A,BTCUSDT,buy,0.01,100\n" + line, name="t.csv"
    )

    def allocated(exec_id: str, name: str) -> TradeAllocated:
        return TradeAllocated(allocation_id=name, venue="V", trade_date=DAY, exec_ids=(exec_id,),
                              lines=(AllocationLine(account="A", qty="0.01", price="100"),))  # fmt: skip

    foreign = desk.give(msgspec.structs.replace(_lone("Q"), instrument="T1"))
    of_f = desk.give(allocated("F", "AF"))
    reversed_f = desk.give(AllocationReversed(allocation_id="AF", reason="wrong"))
    of_e = desk.give(allocated("E", "AE"))
    desk.give(InstrumentRenamed(ca_id="N", old="BTCUSDT", new="XBT", effective=DAY))
    for key, ref, words in (
        (position, foreign, "of another instrument than BTCUSDT"),
        (at_price, of_f, "of another trade than E"), (at_price, reversed_f, "of another trade than E"),
        (missing, of_e, "of another trade than AF.1"),
    ):  # fmt: skip
        code, found = desk.run("resolve", key, "--issuer", "bank", "--as", "adjusted", "--ref", ref, "--reason", "r",
                               "--proposed-by", "ann", "--source", "engine")  # fmt: skip
        assert (code, words in found) == (8, True), found
    for key, ref in ((position, reversed_f), (at_price, of_e), (missing, of_f)):
        _decide(desk, key, "bank", "adjusted", "--ref", ref)
