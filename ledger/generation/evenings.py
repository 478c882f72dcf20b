"""
Close the day: allocations, cash, conversions, fees, holds, journals, marks, reconciliation, decisions, closings.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any, Final

from blake3 import blake3

from ledger.chain.signatures import KeyPair
from ledger.domain import amounts, registry, schemas
from ledger.domain.events import cash, control, orders, settlement
from ledger.domain.events.cash import Posting
from ledger.domain.events.executions import QuarantineResolved
from ledger.domain.events.fields import Event
from ledger.domain.rules.evidence import CHECKPOINT_DOMAIN, checkpoint_statement
from ledger.generation import firm
from ledger.generation.desk import Desk, Trade

Given = Event | tuple[Event, ...]
"""One request: an event, or a group of them."""
_HOUR_NS: Final = 3600 * 10**9
_TWO_PEOPLE: Final = {"proposed_by": "ops-1", "approved_by": "ops-2"}


def close_day(desk: Desk, key: KeyPair | None) -> Iterator[Given]:
    """
    Yield everything that happens after trading; a checkpoint too, where there is a *key* to sign it.
    """
    for order in desk.resting:
        yield orders.OrderDoneForDay(order_id=order.order_id)
    for block in desk.blocks:
        yield from _allocate(desk, block)
    desk.blocks = []
    yield from _decide(desk)
    yield from _cash(desk)
    yield from _holds(desk)
    yield from _journals(desk)
    yield from _marks(desk)
    yield _reconciled(desk)
    yield from _control(desk, key)


def _allocate(desk: Desk, block: list[Trade]) -> Iterator[Event]:
    first, listing = block[0], block[0].listing
    lots = sum(trade.lots for trade in block)
    cost = sum(trade.lots * trade.ticks for trade in block) * listing.tick
    price = amounts.render(cost // lots)
    parts = [lots // 3, lots // 3, lots - 2 * (lots // 3)]
    allocation_id = desk.name("AL")
    lines = tuple(
        settlement.AllocationLine(account=fund, qty=listing.qty(part), price=price, fees=desk.fees(listing, part))
        for fund, part in zip(firm.FUNDS, parts, strict=True)
    )
    yield settlement.TradeAllocated(
        allocation_id=allocation_id, venue=listing.venue, trade_date=desk.day,
        exec_ids=tuple(trade.exec_id for trade in block), lines=lines,
    )  # fmt: skip
    desk.allocations += 1
    if desk.allocations % 4 == 1:
        # The block's trades count again, and settle as they would have.
        yield settlement.AllocationReversed(allocation_id=allocation_id, reason="wrong accounts", **_TWO_PEOPLE)
        return
    for trade in block:
        desk.book(trade, -trade.lots)
        trade.live = False
    for number, (fund, part) in enumerate(zip(firm.FUNDS, parts, strict=True), 1):
        line = Trade(listing, fund, first.side, part, first.ticks, f"{allocation_id}.{number}", desk.day, None, part)
        desk.book(line, part)
        desk.await_settlement(line, desk.cycle(listing))


def _decide(desk: Desk) -> Iterator[Event]:
    for fact in desk.waiting:
        yield QuarantineResolved(
            ref=fact.seq, resolution=fact.resolution, accepted_seq=fact.accepted_seq, **_TWO_PEOPLE
        )
    desk.waiting = []


def _moved(desk: Desk, account: str, asset: str, amount: str, kind: str) -> cash.CashMoved:
    return cash.CashMoved(
        movement_id=desk.name("M"), account=account, asset=asset, amount=amount, kind=kind,  # type: ignore[arg-type]
        external_ref=desk.name("wire-"), value_date=desk.day,
    )  # fmt: skip


def _cash(desk: Desk) -> Iterator[Given]:
    client = desk.pick(firm.CLIENTS)
    yield _moved(desk, client, "USD", f"{desk.below(90_000)}.25", "deposit")
    yield _moved(desk, desk.pick(firm.CLIENTS), "EUR", f"-{desk.below(50_000)}.5", "withdrawal")
    kind, sign = desk.pick((("interest", ""), ("interest", "-"), ("funding", "-"), ("tax", "-")))
    yield _moved(desk, client, "USD", f"{sign}{desk.below(400)}.17", kind)
    eur, rate = 100 * desk.below(900), desk.listings["EURUSD"].price
    converted = cash.FxConverted(
        fx_id=desk.name("FX"), account=client, sold=cash.AssetAmount(asset="EUR", amount=eur),
        bought=cash.AssetAmount(asset="USD", amount=amounts.render(eur * rate // 1000 * 10**16)),
        rate=amounts.render(rate * 10**13), spread="0.0002", value_date=desk.day,
    )  # fmt: skip
    # What was bought leaves with the conversion, or not at all.
    yield converted, _moved(desk, client, "USD", f"-{desk.below(90)}", "withdrawal")
    fee = cash.FeeCharged(
        fee_id=desk.name("F"), account=client, kind="custody", asset="USD", amount=f"{desk.below(60)}.05",
        ref=converted.fx_id,
    )  # fmt: skip
    yield fee
    yield cash.FeeCharged(fee_id=desk.name("F"), account="prime-1", kind="rebate", asset="USDT", amount="-1.250001")
    if desk.number % 3 == 1:
        yield cash.JournalReversed(
            journal_id=desk.name("J"), reverses_kind="fee", reverses=fee.fee_id, reason="charged twice", **_TWO_PEOPLE
        )
        yield cash.JournalReversed(
            journal_id=desk.name("J"), reverses_kind="fx", reverses=converted.fx_id, reason="wrong rate",
            **_TWO_PEOPLE,
        )  # fmt: skip


def _holds(desk: Desk) -> Iterator[Given]:
    account, hold_id = desk.pick(firm.CLIENTS), desk.name("H")
    legs = (
        cash.Leg(account=account, asset="USD", amount="500.5"),
        cash.Leg(account=account, asset="EUR", amount="20"),
    )
    # The hold of the evening before last has run out, if nothing else became of it.
    yield cash.HoldPlaced(hold_id=hold_id, legs=legs, expires_at=desk.now + 20 * _HOUR_NS, ref="card")
    part = (cash.Leg(account=account, asset="USD", amount="100.25"),)
    if desk.number % 3 == 0:
        fee = cash.FeeCharged(fee_id=desk.name("F"), account=account, kind="card", asset="USD", amount="100.25")
        yield cash.HoldReleased(hold_id=hold_id, amounts=part, reason="captured", ref=fee.fee_id), fee
        yield cash.HoldReleased(hold_id=hold_id, reason="void")
    else:
        desk.holds.append((desk.now + 20 * _HOUR_NS, hold_id))
    for expires_at, held in [hold for hold in desk.holds if hold[0] < desk.now]:
        desk.holds.remove((expires_at, held))
        yield cash.HoldReleased(hold_id=held, reason="expired")


def _journals(desk: Desk) -> Iterator[Event]:
    amount = f"{desk.below(900)}.33"
    journal = cash.JournalPosted(
        journal_id=desk.name("J"), memo="to be looked into", **_TWO_PEOPLE,
        postings=(
            Posting(account="house-1", asset="USD", bucket="settled", amount=f"-{amount}"),
            Posting(account=firm.SUSPENSE, asset="USD", bucket="settled", amount=amount),
        ),
    )  # fmt: skip
    yield journal
    if desk.number % 2:
        yield cash.JournalReversed(
            journal_id=desk.name("J"), reverses_kind="journal", reverses=journal.journal_id, reason="looked into",
            **_TWO_PEOPLE,
        )  # fmt: skip


def _marks(desk: Desk) -> Iterator[Event]:
    for listing in desk.everything:
        yield control.MarkRecorded(
            instrument=listing.name, price=listing.at(listing.price), kind="eod", day=desk.day, as_of=desk.now
        )
    for base, quote, price in firm.rates(desk.listings):
        yield control.MarkRecorded(base=base, quote=quote, price=price, kind="eod", day=desk.day, as_of=desk.now)


def _hash(desk: Desk, of: str) -> str:
    return blake3(f"{of} {desk.number} {desk.random.random()}".encode()).hexdigest()


def _reconciled(desk: Desk) -> Event:
    breaks: tuple[control.Difference, ...] = ()
    if desk.number % 2:
        breaks = (control.Difference(key="client-1:USD", ledger="100.25", external=f"{desk.below(99)}.5"),)
    return control.ReconciliationRecorded(
        origin="custodian", statement_hash=_hash(desk, "statement"), as_of=desk.now, matched=desk.below(400),
        breaks=breaks,
    )  # fmt: skip


def _control(desk: Desk, key: KeyPair | None) -> Iterator[Event]:
    names = list(registry.EVENT_TYPES)
    if desk.number < len(names):
        kind = registry.EVENT_TYPES[names[desk.number]]
        yield control.SchemaRegistered(
            event_type=names[desk.number], version=kind.SCHEMA_VERSION, schema_hash=schemas.schema_hash(kind),
            encoder_version=schemas.ENCODER_VERSION,
        )  # fmt: skip
    if desk.number % 10 == 3:
        yield control.KeyDestroyed(subject_key_id=desk.name("subject-"), authority="data protection office")
    if desk.number % 5 == 4:
        through = desk.date - datetime.timedelta(days=5)
        yield control.PeriodClosed(through=through.isoformat())
    if key is not None:
        yield _sealed(desk, key)


def _sealed(desk: Desk, key: KeyPair) -> control.CheckpointSealed:
    sealed: dict[str, Any] = {
        "size": desk.seq, "head_hash": _hash(desk, "head"), "root": _hash(desk, "root"),
        "state_digest": _hash(desk, "state"), "key_id": key.key_id,
    }  # fmt: skip
    unsigned = control.CheckpointSealed(**sealed, signature="-")
    signature = key.sign(CHECKPOINT_DOMAIN, checkpoint_statement(unsigned)).hex()
    return control.CheckpointSealed(**sealed, signature=signature)
