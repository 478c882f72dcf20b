"""
Break every invariant by a request, and see it refused in memory, by its number, with nothing changed.

What no request can break, because the ledger itself makes it (a seq, a time, a sum), is broken by handing the code that
checks it a history that is wrong.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import msgspec
import pytest

import ledger
from ledger import Group, Ledger
from ledger.chain.link import ChainHead
from ledger.domain import fold
from ledger.domain.amounts import UNIT
from ledger.domain.events.cash import FeeCharged, HoldPlaced, HoldReleased, JournalPosted, Leg, Posting
from ledger.domain.events.control import PeriodClosed
from ledger.domain.events.executions import TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import CancelRequested, OrderCanceled, OrderPlaced
from ledger.domain.events.reference import AccountOpened, AssetDefined, InstrumentDefined
from ledger.domain.events.settlement import TradeSettled
from ledger.domain.fold import Context
from ledger.domain.postings import Line
from ledger.domain.rules.ground import post
from ledger.domain.rules.invariants import INVARIANTS, OF_RULE, PRINCIPLES
from ledger.domain.state import State
from ledger.errors import Corrupt, IdempotencyConflict, Rejected, RuleBroken, Unbalanced, VersionConflict
from tests.conftest import Database
from tests.domain.books import DAY, NOON, Books, check_invariants, opened
from tests.journal.test_ledger import deposit, fee, fill, order
from tests.storage.test_storage import linked

LEDGER = Path(ledger.__file__).parent


def trade(name: str, **more: object) -> TradeExecuted:
    given: dict[str, object] = {
        "exec_id": name, "venue": "V", "account": "A", "instrument": "BTCUSDT", "side": "buy", "qty": "0.01",
        "price": "100", "trade_date": DAY, **more,
    }  # fmt: skip
    return TradeExecuted(**given)  # type: ignore[arg-type]


def journal(*lines: tuple[str, str, str]) -> JournalPosted:
    postings = tuple(Posting(account=a, asset=s, bucket="settled", amount=x) for a, s, x in lines)
    return JournalPosted(journal_id="J", memo="m", postings=postings)


def _held() -> list[Event]:
    return [HoldPlaced(hold_id="H", legs=(Leg(account="A", asset="USDT", amount="5"),), ref="r")]


def _later() -> list[Event]:
    return [
        InstrumentDefined(instrument="LATER", asset="BTC", quote_asset="USDT", settle_asset="USDT", tick="0.01",
                          lot="0.001", settlement_cycle=1, venue="V"),
        trade("T", instrument="LATER"),
    ]  # fmt: skip


def _settled(qty: str) -> TradeSettled:
    return TradeSettled(settlement_id="S", venue="V", trade_date=DAY, exec_id="T", qty=qty, date=DAY)


REFUSED: dict[str, tuple[list[Event], Event]] = {
    "I6": ([trade("E")], trade("E", price="101")),
    "I7": ([], journal(("A", "USDT", "-1"), ("~suspense", "USDT", "2"))),
    "I9": ([], FeeCharged(fee_id="F", account="A", kind="k", asset="USDT", amount="1000.00000001")),
    "I10": ([order("O")], trade("E", order_id="O", qty="0.02")),
    "I11": ([order("O"), OrderCanceled(order_id="O")],
            CancelRequested(order_id="O", cl_ord_id="c2", orig_cl_ord_id="O")),
    "I12": ([trade("E"), TradeBusted(exec_id="B", exec_ref="E", venue="V", trade_date=DAY, reason="r")],
            TradeCorrected(exec_ref="E", **msgspec.structs.asdict(trade("C")))),
    "I13": (_later(), _settled("0.02")),
    "I14": (_later(), trade("E", instrument="LATER", settle_date="2024-08-30")),
    "I15": ([], trade("E", instrument="SPLIT", trade_date="2024-08-01")),
    "I16": ([PeriodClosed(through="2024-08-07")],
            PeriodClosed(through="2024-08-06")),
    "I19": (_held(), HoldReleased(hold_id="H", reason="void", amounts=(Leg(account="A", asset="USDT", amount="6"),))),
    "I20": ([], FeeCharged(fee_id="F", account="A", kind="k", asset="USDT", amount="0.000000001")),
}  # fmt: skip
"""By invariant: what happened before, and the request that breaks it."""


def _split(books: Books) -> None:
    """Give the books an instrument whose shares changed on a day, as a split leaves it."""
    row = msgspec.structs.replace(books.state.instruments.rows[("BTCUSDT",)], instrument="SPLIT", split_on="2024-08-05")
    books.state.instruments.put(row)


def _rows(books: Books) -> dict[str, dict[tuple[object, ...], object]]:
    return {table.name: dict(table.rows) for table in vars(books.state).values() if hasattr(table, "rows")}


@pytest.mark.parametrize("number", REFUSED)
def test_a_request_that_breaks_an_invariant_is_refused_by_its_number(number: str) -> None:
    """A command is refused and a fact waits in quarantine; the books are as they were, and the message says which."""
    before, broken = REFUSED[number]
    books = opened()
    _split(books)
    for event in before:
        books.give(event)
    rows = _rows(books)
    try:
        outcome = books.give(broken)
    except Rejected as error:
        found = str(error)
        assert broken.KIND == "command"
    else:
        found = f"{outcome.rule}: {outcome.detail}"
        assert broken.KIND == "fact"
        rows["quarantine"] = dict(books.state.quarantine.rows)
        rows["streams"] = dict(books.state.streams.rows)
    assert f"{number}: " in found
    assert re.search("found|would have", found), found
    assert re.search("expected", found), found
    assert broken.KIND == "fact" or found.startswith(f"{type(broken).__name__} "), found
    assert _rows(books) == rows
    check_invariants(books.state)


def _rules_raised() -> set[str]:
    """Return the name of every rule that the program can say is broken, as its code spells them."""
    found = set()
    for path in LEDGER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            texts = [x.value for x in node.args if isinstance(x, ast.Constant) and isinstance(x.value, str)]
            match node.func.id:
                case "Broken" if isinstance(node.args[0], ast.Constant):
                    found.add(texts[0])
                case "known":
                    found.update(f"unknown_{text}" for text in texts)
                case "_new":
                    found.update(f"{text}_exists" for text in texts)
                case "check_come" | "check_first_told" | "_check_cycle":
                    found.add(texts[0])
    return found


def test_every_rule_has_the_number_of_an_invariant_or_principle() -> None:
    """Twenty invariants and the principles, numbered; each rule that can be broken has one, and each is raised."""
    assert list(INVARIANTS) == [f"I{n}" for n in range(1, 21)]
    assert list(PRINCIPLES) == [f"R{n}" for n in range(1, len(PRINCIPLES) + 1)]
    assert set(OF_RULE.values()) <= set(INVARIANTS) | set(PRINCIPLES)
    assert _rules_raised() == set(OF_RULE)


def test_a_refusal_of_every_kind_of_rule_says_its_number() -> None:
    """An order that is there already, one that is not, and an account that is: each by the number of its row."""
    books = opened()
    books.give(order("O"))
    with pytest.raises(Rejected, match=r"^OrderPlaced 'O' refused \(order_exists\): I11: found"):
        books.give(order("O"))
    with pytest.raises(Rejected, match=r"refused \(unknown_order\): I11: found order 'none'"):
        books.give(CancelRequested(order_id="none", cl_ord_id="c", orig_cl_ord_id="c-none"))
    with pytest.raises(Rejected, match=r"refused \(account_exists\): R1: found"):
        books.give(AccountOpened(account="A", owner="o", kind="cash", base_asset="USDT"))


ACCEPTED = re.compile(r"expected |give |record the |reverse th|allocate before |use another |ask for |bust |by hand")


@pytest.mark.parametrize(
    "path", sorted((Path(fold.__file__).parent / "rules").glob("*.py")), ids=lambda path: path.stem
)
def test_every_refusal_that_has_a_number_says_what_would_be_accepted(path: Path) -> None:
    """In the sentence that goes with the rule's name, wherever the rule is broken."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Broken":
            rule, detail = ast.unparse(node.args[0]).strip("'"), ast.unparse(node.args[1])
            assert rule not in OF_RULE or ACCEPTED.search(detail), f"line {node.lineno}: {detail}"


def test_I1_a_chain_that_does_not_follow_is_corrupt() -> None:
    """A gap, a changed link and a changed column: each stops whoever reads it."""
    made = linked(3)
    head = ChainHead(0, made[0].prev_hash).check(made[0])
    for wrong in (made[2], msgspec.structs.replace(made[1], prev_hash=bytes(32)),
                  msgspec.structs.replace(made[1], actor="x")):  # fmt: skip
        with pytest.raises(Corrupt, match=r"expected|hash to"):
            head.check(wrong)
    assert head.check(made[1]).seq == 2


def test_I2_and_I3_time_rises_although_a_clock_stands_still_and_the_head_is_the_last_event(chain: Database) -> None:
    """The writer's own clock is one second behind what it recorded: seqs and times still rise, one head at the end."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        first = ledger.append([fee("a"), fee("b")], key="1")
        now = first.recorded_at
    with Ledger.open(chain.dsn("writer"), clock=lambda: now) as ledger:
        second = ledger.append([fee("c"), fee("d")], key="2")
        times = [event.recorded_at for event in ledger.events()]
        head = ledger.head()
    assert times == sorted(set(times))
    assert (head.seq, head.hash) == (second.last_seq, second.hash)


def test_I4_and_I5_a_stale_version_and_a_key_of_another_request_are_refused_by_number(chain: Database) -> None:
    """Nothing is written by either, and the message says what it is at, and where the key was used."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        ledger.append(fee("a"), key="k")
        before = ledger.head()
        with pytest.raises(VersionConflict, match=r"I4: stream account/A is at version 4; expected 2"):
            ledger.append(fee("b"), key="l", expected={"account/A": 2})
        with pytest.raises(IdempotencyConflict, match=r"I5: key 'k' was used for another request, recorded at seq"):
            ledger.append(fee("b"), key="k")
        assert ledger.head() == before


def test_I8_every_rule_that_posts_passes_the_same_gate() -> None:
    """Lines that make money are a fault of the rule that made them, whichever it is: nothing is posted."""
    books = opened()
    rows = _rows(books)
    with pytest.raises(Unbalanced, match="I7"):
        post(
            books.state,
            [Line("A", "USDT", "settled", UNIT), Line("~suspense", "BTC", "settled", -UNIT)],
            may_refuse=False,
        )
    assert _rows(books) == rows


def test_I17_a_group_with_one_bad_command_is_refused_whole(chain: Database) -> None:
    """Nothing of it is there, and its neighbours are."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        before = ledger.head().seq
        bad, good = ledger.append_many([Group((fee("a"), fee("b", "9999999")), "1"), Group((deposit("c"),), "2")])
        assert isinstance(bad, RuleBroken)
        assert "I9" in str(bad)
        assert not isinstance(good, Exception)
        assert [event.event_type for event in ledger.events(before)] == ["CashMoved"]


def test_I18_what_is_replayed_must_be_what_is_stored() -> None:
    """Each event of a history agrees, and one whose stored consequence was edited is told by its column."""
    books, state = opened(), State()
    for seq, x in enumerate(books.stored, 1):
        last = seq == len(books.stored)
        derived = x.derived.replace(b'"1"', b'"2"') if last else x.derived
        assert (derived != x.derived) == last
        found = fold.replay(
            state, x.event_type, x.schema_version, x.given, derived, (x.stream, x.stream_version, x.effective_on),
            Context(seq, NOON + seq, NOON),
        )  # fmt: skip
        assert [mismatch.column for mismatch in found] == (["payload"] if last else [])


def test_the_orders_and_assets_used_above_are_good_ones() -> None:
    """Else the refusals would be for another reason: the same requests without the fault are taken."""
    books = opened()
    for event in (*_held(), order("O"), trade("E", order_id="O"), *_later(), _settled("0.01"),
                  AssetDefined(asset="X", kind="currency", scale=18, name="x"),
                  OrderPlaced(order_id="P", cl_ord_id="P", account="A", instrument="BTCUSDT", side="buy", qty="0.01",
                              ord_type="limit", price="1"),
                  journal(("A", "USDT", "-1"), ("~suspense", "USDT", "1"))):  # fmt: skip
        assert books.give(event).rule is None
