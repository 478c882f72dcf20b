"""
Append a history that leaves at least one row in every read model, of everything that a ledger can record.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from ledger import Ledger
from ledger.domain.events.cash import AssetAmount, FeeCharged, FxConverted, HoldPlaced, JournalPosted, Leg, Posting
from ledger.domain.events.control import (
    ControlsSet,
    Difference,
    DivergentEventDisposed,
    DivergentTailRecorded,
    KeyDestroyed,
    MarkRecorded,
    PeriodClosed,
    ReconciliationRecorded,
    SchemaRegistered,
)
from ledger.domain.events.corporate_actions import (
    CashDividendAccrued,
    CashDividendPaid,
    CashInLieu,
    DividendLine,
    Entitled,
    InstrumentRenamed,
    OrderAdjustment,
    SplitApplied,
)
from ledger.domain.events.executions import Fee, TradeBusted, TradeCorrected, TradeExecuted
from ledger.domain.events.operations import IncidentOpened
from ledger.domain.events.orders import OrderAccepted, OrderCanceled, OrderPlaced
from ledger.domain.events.reference import (
    AccountLimitsSet,
    AccountOpened,
    AssetDefined,
    CalendarPublished,
    InstrumentDefined,
)
from ledger.domain.events.settlement import (
    AllocationLine,
    ExecutionRef,
    SettlementFailed,
    TradeAllocated,
    TradeSettled,
)
from ledger.domain.schemas import schema_hash
from ledger.journal.chain_creation import create_chain
from ledger.sandbox.postgres import Server
from tests.conftest import ORIGIN, Database, copy_database
from tests.domain.books import DAY
from tests.journal.test_ledger import fill

NOW = 1_723_161_254_087_891_268


def history(ledger: Ledger) -> None:
    """Append a history that leaves at least one row in every read model."""
    fill(ledger)
    n = 0

    def give(*events: object, **more: object) -> None:
        nonlocal n
        n += 1
        ledger.append(list(events), key=f"h{n}", actor=f"desk-{n % 3}", **more)  # type: ignore[arg-type]

    def order(name: str) -> OrderPlaced:
        return OrderPlaced(order_id=name, cl_ord_id=f"c{name}", account="A", instrument="BTCUSDT", side="buy",
                           qty="0.02", ord_type="limit", price="100", strategy="s")  # fmt: skip

    def trade(name: str, order_id: str, **more: str) -> dict[str, object]:
        return {
            "exec_id": name, "venue": "V", "order_id": order_id, "account": "A", "instrument": "BTCUSDT", "side": "buy",
            "qty": "0.01", "price": "100", "trade_date": DAY, "fees": (Fee(kind="c", asset="USDT", amount="0.1"),),
            **more,
        }  # fmt: skip

    give(CalendarPublished(calendar="cal", calendar_version=1, holidays=("2024-12-25",)))
    give(AccountLimitsSet(account="A", asset="BTC", floor="0", max_position="1000"))
    give(order("O1"), order("O2"), order("O3"))
    give(OrderAccepted(order_id="O1", venue="V", venue_order_id="v1"), OrderAccepted(order_id="O2", venue="V"))
    give(TradeExecuted(**trade("E1", "O1")), TradeExecuted(**trade("E2", "O1")))  # type: ignore[arg-type]
    give(TradeCorrected(exec_ref="E2", **trade("E3", "O1", price="99")))  # type: ignore[arg-type]
    give(TradeBusted(exec_id="E4", exec_ref="E1", venue="V", trade_date=DAY, reason="r"))
    give(TradeExecuted(**trade("E5", "none")))  # type: ignore[arg-type]
    give(OrderCanceled(order_id="O3"), occurred_at=NOW)
    give(HoldPlaced(hold_id="H", legs=(Leg(account="A", asset="BTC", amount="0.5"),)), correlation_id=b"c" * 16)
    give(FeeCharged(fee_id="F", account="A", kind="k", asset="USDT", amount="1"))
    legs = (("A", "-2"), ("~suspense", "2"))
    give(JournalPosted(journal_id="J", memo="é", postings=tuple(
        Posting(account=a, asset="USDT", bucket="settled", amount=v) for a, v in legs)))  # fmt: skip
    give(ReconciliationRecorded(origin="venue", statement_hash="00", as_of=1, matched=0,
                                breaks=(Difference(key="k", ledger="1", external="2"),)))  # fmt: skip
    after_the_trade(give)
    corporate_actions(give)
    control(give)


def after_the_trade(give: Callable[..., None]) -> None:
    """Append trades of an instrument that settles a day later: settled in part, failed, allocated; and a control."""
    give(InstrumentDefined(instrument="T1", asset="BTC", quote_asset="USDT", settle_asset="USDT", tick="0.01",
                           lot="0.001", settlement_cycle=1, calendar="cal", product="p", venue="V"),
         AccountOpened(account="BLOCK", owner="o", kind="house", base_asset="USDT"))  # fmt: skip

    def trade(name: str, account: str) -> TradeExecuted:
        fees = (Fee(kind="c", asset="USDT", amount="0.1"),)
        return TradeExecuted(exec_id=name, venue="V", account=account, instrument="T1", side="buy", qty="0.3",
                             price="100.01", trade_date=DAY, fees=fees)  # fmt: skip

    give(trade("T1", "A"), trade("T2", "BLOCK"), trade("T3", "A"), trade("T4", "BLOCK"))
    due = "2024-08-09"
    one = {"venue": "V", "trade_date": DAY, "exec_id": "T1", "date": due}
    give(SettlementFailed(settlement_id="S1", leg="cash", reason="r", new_intended_date="2024-08-12", **one))
    give(SettlementFailed(settlement_id="S0", leg="both", reason="q", new_intended_date="2024-08-13",
                          **{**one, "exec_id": "T3"}))  # fmt: skip
    give(TradeSettled(settlement_id="S1", qty="0.1", partial=True, **one))
    give(TradeSettled(settlement_id="S2", qty="0.5", venue="V", date=due,
                      net=tuple(ExecutionRef(trade_date=DAY, exec_id=x) for x in ("T1", "T3"))))  # fmt: skip
    lines = tuple(AllocationLine(account="A", qty=qty, price="100.01") for qty in ("0.1", "0.2"))
    give(TradeAllocated(allocation_id="AL", venue="V", trade_date=DAY, exec_ids=("T2",), lines=lines))
    whole = (AllocationLine(account="A", qty="0.3", price="100.01"),)
    give(TradeAllocated(allocation_id="AM", venue="V", trade_date=DAY, exec_ids=("T4",), lines=whole))
    give(TradeSettled(settlement_id="S3", qty="0.1", **{**one, "exec_id": "AL.1"}))
    give(FxConverted(fx_id="X", account="A", sold=AssetAmount(asset="USDT", amount="100"), rate="0.01",
                     bought=AssetAmount(asset="BTC", amount="1"), spread="0.0001", value_date=DAY))  # fmt: skip
    give(ControlsSet(second_person=("reversal",), reason="policy", proposed_by="ann"))
    give(ControlsSet(second_person=("reversal", "resolution"), reason="policy", proposed_by="ann", approved_by="bob"))


def corporate_actions(give: Callable[..., None]) -> None:
    """Split a share that two accounts hold, pay a dividend of it, and give it another name."""

    def bought(name: str, account: str, qty: str) -> TradeExecuted:
        return TradeExecuted(exec_id=name, venue="V", account=account, instrument="XYZ", side="buy", qty=qty,
                             price="10", trade_date="2024-08-05")  # fmt: skip

    give(AssetDefined(asset="XYZ", kind="security", scale=0, name="a share"))
    give(InstrumentDefined(instrument="XYZ", asset="XYZ", quote_asset="USDT", settle_asset="USDT", tick="0.01", lot="1",
                           settlement_cycle=2, venue="V"))  # fmt: skip
    give(AccountOpened(account="F", owner="o", kind="house", base_asset="USDT", cost_method="FIFO"))
    give(bought("X1", "A", "7"))
    give(bought("X2", "F", "5"))
    give(bought("X3", "F", "4"))
    give(OrderPlaced(order_id="OX", cl_ord_id="cOX", account="A", instrument="XYZ", side="buy", qty="10",
                     ord_type="limit", price="5", tif="gtc"))  # fmt: skip
    cash = tuple(CashInLieu(account=account, amount="6") for account in ("A", "F"))
    give(SplitApplied(ca_id="S", instrument="XYZ", ratio_num=1, ratio_den=2, ex_date="2024-08-06", rounding="cash",
                      cash_in_lieu=cash,
                      order_adjustments=(OrderAdjustment(order_id="OX", qty="5", price="10"),)))  # fmt: skip
    give(CashDividendAccrued(ca_id="D", instrument="XYZ", ex_date="2024-08-07", record_date="2024-08-07",
                             pay_date="2024-08-09", rate="0.5", tax_rate="0.2",
                             entitlements=(Entitled(account="F", qty="4", gross="2", tax="0.4"),)))  # fmt: skip
    give(CashDividendPaid(ca_id="D", payment_id="P", paid_on="2024-08-09",
                          lines=(DividendLine(account="F", gross="1", tax="0.2"),)))  # fmt: skip
    give(InstrumentRenamed(ca_id="N", old="XYZ", new="XYZ2", effective="2024-08-08"))


def control(give: Callable[..., None]) -> None:
    """Mark, close, and record what the chain says of itself."""
    give(MarkRecorded(instrument="XYZ", price="11", kind="eod", day="2024-08-08", as_of=1))
    give(PeriodClosed(through="2024-08-01"))
    give(TradeExecuted(exec_id="late", venue="V", account="A", instrument="BTCUSDT", side="buy", qty="0.01", price="9",
                       trade_date="2024-07-30"))  # fmt: skip
    give(
        SchemaRegistered(
            event_type="TradeExecuted", version=1, schema_hash=schema_hash(TradeExecuted), encoder_version="1"
        )
    )
    give(KeyDestroyed(subject_key_id="s", authority="a"))
    give(DivergentTailRecorded(epoch=2, from_seq=7, to_seq=8, head_hash="aa", bundle_hash="bb", count=2))
    give(DivergentEventDisposed(epoch=2, seq=7, disposition="rejected", reason="r", decided_by="w"))
    give(IncidentOpened(incident_id="I", severity="minor", cause="c", summary="s", at=1))


@contextlib.contextmanager
def written_in(
    server: Server, migrated: str, name: str, more: Callable[[Ledger], object] = lambda ledger: None
) -> Iterator[Database]:
    """Make a database of this name whose one chain has the history, and whatever *more* appends."""
    copy_database(server, name, migrated)
    database = Database(server, name)
    create_chain(database.dsn("owner"), ORIGIN, (), [("writer", "engine")])
    with Ledger.open(database.dsn("writer")) as ledger:
        history(ledger)
        more(ledger)
    yield database
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")
