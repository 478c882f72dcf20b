"""
Record what became of trades after the market closed: settled, failed to settle, given to the accounts they are for.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from ledger.domain.events.executions import Fee
from ledger.domain.events.fields import Amount, Date, Event, Fields, Identifier, Text


class ExecutionRef(Fields, frozen=True, kw_only=True):
    """
    One execution of a venue, in its newest version.
    """

    trade_date: Date
    exec_id: Identifier


class TradeSettled(Event, frozen=True, kw_only=True):
    """
    Securities and cash changed hands, both at once (delivery versus payment).

    Of one execution (`trade_date`, `exec_id`), `qty` and `amount` are what settled of its quantity and gross; `partial`
    says that more is to come. Of several (`net`, of one account and instrument), everything left of them settles, and
    `qty` and `amount` are what the account received and paid, net: negative where it delivered and was paid. Without
    an `amount` it is the share of the gross that goes with the quantity. Fees settle in proportion. A `settlement_id`
    is used once in the chain, whatever the venue.
    """

    KIND: ClassVar = "fact"
    settlement_id: Identifier
    venue: Identifier
    trade_date: Date | None = None
    exec_id: Identifier | None = None
    net: tuple[ExecutionRef, ...] = ()
    qty: Amount
    amount: Amount | None = None
    partial: bool = False
    date: Date


class SettlementFailed(Event, frozen=True, kw_only=True):
    """
    What was to settle on `date` did not; it is tried again on `new_intended_date`, under the same settlement id or not.

    `leg` says which side was missing. Delivery is versus payment, so nothing moves. What failed is all that is left to
    settle. Where some or all of that has settled on a later day before it is told, `qty` has to say how much of one
    execution was left on `date`: that failed on this day, and what has settled stays so. It is at most what had not
    settled on days before, and at least what had not by the end of `date`. Of several (`net`) that is told of each, of
    the first under this settlement id.
    """

    KIND: ClassVar = "fact"
    settlement_id: Identifier
    venue: Identifier
    trade_date: Date | None = None
    exec_id: Identifier | None = None
    net: tuple[ExecutionRef, ...] = ()
    qty: Amount | None = None
    leg: Literal["securities", "cash", "both"]
    reason: Text
    date: Date
    new_intended_date: Date


class AllocationLine(Fields, frozen=True, kw_only=True):
    """
    What one account takes of a block, at its price and with its fees.
    """

    account: Identifier
    qty: Amount
    price: Amount
    fees: tuple[Fee, ...] = ()


class TradeAllocated(Event, frozen=True, kw_only=True):
    """
    Executions of a block account are taken out of it and become trades of the accounts they are for.

    The executions are of one venue, trade date, account, instrument, side and multiplier. Line n is from then on the
    execution `<allocation_id>.<n>` of that venue and day, from 1, and settles under that name. Quantities of lines add
    up to the executions', and so do quantities times prices: give an average price to 18 decimals. What rounding each
    line's cost then leaves is posted to `~rounding`. A block of a closed day becomes the accounts' on an open one.
    """

    KIND: ClassVar = "command"
    allocation_id: Identifier
    venue: Identifier
    trade_date: Date
    exec_ids: tuple[Identifier, ...]
    lines: tuple[AllocationLine, ...]


class AllocationReversed(Event, frozen=True, kw_only=True):
    """
    An allocation is undone: its executions are the block account's again.

    So it is taken back from whoever it was given to by mistake, and so the venue's bust or correction of what was
    allocated gets in: reverse, record that, allocate what stands. An account that has spent what it is to give back is
    not asked: it falls below its floor and is flagged (`breached`), as by a fact.
    """

    KIND: ClassVar = "command"
    allocation_id: Identifier
    reason: Text
    proposed_by: Identifier | None = None
    approved_by: Identifier | None = None
