"""
Describe the rows of the inline read models, one struct a table.

These tables guard an invariant, so they are written in the transaction that appends the event: what an order
still may fill, what an account may spend, which execution ids are taken. A row here has the columns of its
table in PostgreSQL, in the same order and by the same names (`chain` apart), and the state digest is taken over
these columns and no others; docs/FORMAT.md states the bytes.

Amounts are integers in units of 10^-18 (`numeric` in the database), times are nanoseconds since 1970, dates are
ISO text. Structured values are canonical JSON text. Rows are never deleted.
"""

from __future__ import annotations

from typing import Final

import msgspec


class Row(msgspec.Struct, frozen=True, gc=False):
    """
    One row of a read model.
    """


class Asset(Row, frozen=True, gc=False):
    """
    What is owned or owed: a currency, a security, a crypto asset, a contract. Stream `asset/…`.
    """

    asset: str
    kind: str
    scale: int
    name: str
    version: int


class Instrument(Row, frozen=True, gc=False):
    """
    What can be traded. Stream `instrument/…`.

    `settlement_cycle` counts business days; 0 settles with the trade. `calendar` may be absent then. It is what counts
    where the calendar has no cycle for `product`. Trades of days before `split_on` are of other shares. What is said of
    an instrument that was renamed counts for the new one.
    """

    instrument: str
    asset: str
    quote_asset: str
    settle_asset: str
    tick: int
    lot: int
    multiplier: int
    settlement_cycle: int
    calendar: str | None
    product: str | None
    venue: str
    symbol: str | None
    isin: str | None
    version: int
    split_on: str | None = None
    renamed_to: str | None = None


class Calendar(Row, frozen=True, gc=False):
    """
    The days on which nothing settles, and the cycles by product. Stream `calendar/…`.
    """

    calendar: str
    calendar_version: int
    holidays: tuple[str, ...]
    cycles: str
    version: int


class Account(Row, frozen=True, gc=False):
    """
    Who owns. Stream `account/…`.
    """

    account: str
    owner: str
    kind: str
    base_asset: str
    cost_method: str
    parent: str | None
    status: str
    version: int


class AccountLimits(Row, frozen=True, gc=False):
    """
    How far an account may go in one asset.
    """

    account: str
    asset: str
    floor: int
    hold_policy: str
    max_position: int | None


class Order(Row, frozen=True, gc=False):
    """
    The facts about one order, and the status they add up to. Stream `order/…`.

    `hold_amount` is what is still held for it, in `hold_asset`; `hold_given` is what the caller set for the whole of
    `qty`, in place of the ledger's own reckoning.
    """

    order_id: str
    cl_ord_id: str
    account: str
    instrument: str
    side: str
    qty: int
    ord_type: str
    price: int | None
    stop_price: int | None
    tif: str
    expire_at: int | None
    strategy: str | None
    parent_order: str | None
    venue: str | None
    venue_order_id: str | None
    status: str
    accepted: bool
    triggered: bool
    terminal: str | None
    done_for_day: bool
    pending_cancel: tuple[str, ...]
    pending_replace: tuple[str, ...]
    cum_qty: int
    cum_notional: int
    hold_asset: str | None
    hold_amount: int
    hold_given: int | None
    version: int


class ClientOrderId(Row, frozen=True, gc=False):
    """
    Which order a client order id belongs to; an id is used once an account.
    """

    account: str
    cl_ord_id: str
    order_id: str


class Execution(Row, frozen=True, gc=False):
    """
    One execution report that moved value: a trade, the correction of one, its bust, or an account's line of a block.

    `live` is the version that counts. Executions that were allocated do not count while `allocation_id` is in force;
    the accounts' lines, of kind `allocation`, do in their place. `settled_qty` and `settled_gross` are how much of the
    trade has moved from unsettled to settled. `cost_change` and `realised_change` are what it did to the position, so
    that a bust negates exactly that. `content` is the hash of what the venue gave, to tell a duplicate.
    An execution id is unique a venue and trade date, so each reference is a pair: `ref_…` names the version that this
    one takes the place of, `root_…` the trade that all versions are of.
    """

    venue: str
    trade_date: str
    exec_id: str
    kind: str
    event_seq: int
    order_id: str | None
    account: str
    instrument: str
    side: str
    qty: int
    price: int
    asset: str
    gross: int
    gross_asset: str
    fees: str
    bucket: str
    settle_date: str
    live: bool
    ref_trade_date: str | None
    ref_exec_id: str | None
    root_trade_date: str
    root_exec_id: str
    settled_qty: int
    settled_gross: int
    cost_change: int
    realised_change: int
    late: bool
    allocation_id: str | None
    content: str


class Balance(Row, frozen=True, gc=False):
    """
    One account's amounts of one asset, by bucket.

    available = settled + min(unsettled, 0), and max(unsettled, 0) besides where `credit_unsettled`; it may not
    fall below `floor` (absent: no floor, as for system accounts) unless a venue fact forced it: then `breached`.
    """

    account: str
    asset: str
    settled: int
    unsettled: int
    held: int
    floor: int | None
    credit_unsettled: bool
    breached: bool

    @property
    def total(self) -> int:
        """
        Return all that the account owns of the asset.
        """
        return self.settled + self.unsettled + self.held

    @property
    def available(self) -> int:
        """
        Return what may be spent now.
        """
        return self.settled + (self.unsettled if self.unsettled < 0 or self.credit_unsettled else 0)


class Position(Row, frozen=True, gc=False):
    """
    One account's net holding of one instrument, by trade date.

    `cost` is the total, exact cost of `qty` (negative for a short); cost - realised is the net cash paid.
    `fees` sums the fees that were charged in the instrument's settle asset. `day` is the newest trade date in it and
    `opening` the quantity before the trades of that day: who held what when an instrument went ex.
    """

    account: str
    instrument: str
    qty: int
    cost: int
    realised: int
    fees: int
    day: str | None = None
    opening: int = 0


class Lot(Row, frozen=True, gc=False):
    """
    One trade of an account that reckons its cost first in, first out, and what of it is still open.

    `qty` and `value` are those of the trade, negative for a sale; of a lot that a split changed, what it stood at then.
    """

    account: str
    instrument: str
    number: int
    venue: str
    trade_date: str
    exec_id: str
    qty: int
    value: int
    open_qty: int
    open_cost: int
    live: bool


class LotQueue(Row, frozen=True, gc=False):
    """
    Where the lots of one position begin and end.

    Lots before `first_open` are closed. A trade that is undone has the lots from `base` on matched anew, with
    `base_realised` as the result of what came before.
    """

    account: str
    instrument: str
    first_open: int
    last: int
    base: int
    base_realised: int


class CorporateAction(Row, frozen=True, gc=False):
    """
    A dividend, split or renaming that was recorded, so that its id is used once. Stream `corporate-action/…`.
    """

    ca_id: str
    kind: str
    instrument: str
    asset: str | None
    ex_date: str
    event_seq: int
    content: str
    version: int


class Entitlement(Row, frozen=True, gc=False):
    """
    What a corporate action gives one account: cash that is due and paid, or a quantity in the place of another.

    `cost_change` and `realised_change` are what a fraction paid in cash did to the position.
    """

    ca_id: str
    account: str
    instrument: str
    qty: int
    new_qty: int
    gross: int
    tax: int
    paid_gross: int
    paid_tax: int
    cost_change: int
    realised_change: int


class Mark(Row, frozen=True, gc=False):
    """
    The price of an instrument, or of a currency (`base/quote`), that counts for a day.
    """

    subject: str
    day: str
    kind: str
    price: int
    as_of: int
    event_seq: int


class ClosedPeriod(Row, frozen=True, gc=False):
    """
    One closing of the books, numbered from 1; the last one says how far they are closed. Stream `period/ledger`.
    """

    number: int
    through: str
    event_seq: int
    trial_balance: str


class Hold(Row, frozen=True, gc=False):
    """
    Amounts set aside on request. Stream `hold/…`. `legs` and `remaining` are lists of (account, asset, amount).
    """

    hold_id: str
    legs: str
    remaining: str
    expires_at: int | None
    ref: str | None
    status: str
    version: int


class Movement(Row, frozen=True, gc=False):
    """
    Value moved other than by an execution: a cash movement, a fee, a journal, a reversal.

    Kept so that an id is used once, a duplicate is known (`content`) and a reversal negates exactly `postings`.
    """

    kind: str
    movement_id: str
    event_seq: int
    effective_on: str
    postings: str
    content: str
    reversed_by: int | None


class Quarantined(Row, frozen=True, gc=False):
    """
    A venue fact that fits no rule, waiting for someone to decide. `seq` is that of its FactQuarantined.

    `subject` is what the fact is about: its type and ids, or nothing where it could not be read. `answered_seq` is the
    newest event of that subject that was recorded while the fact waited.
    """

    seq: int
    original_type: str
    subject: str | None
    rule: str
    status: str
    answered_seq: int | None
    resolution: str | None
    proposed_by: str | None
    approved_by: str | None


class Break(Row, frozen=True, gc=False):
    """
    A difference between the ledger and an outside source, from when it appeared to when it ended.
    """

    source: str
    key: str
    ledger_value: str
    external_value: str
    as_of: int
    opened_seq: int
    closed_seq: int | None


class SettlementFail(Row, frozen=True, gc=False):
    """
    One execution that did not settle as intended on a day, and when it is tried again.

    `qty` and `amount` are what was left to settle, as the account sees it: positive where it should have received; the
    amount with the fees on it.
    `number` counts the executions that one settlement was of.
    """

    settlement_id: str
    failed_on: str
    number: int
    event_seq: int
    venue: str
    trade_date: str
    exec_id: str
    account: str
    asset: str
    qty: int
    amount_asset: str
    amount: int
    leg: str
    reason: str
    new_intended_date: str
    content: str


class Allocation(Row, frozen=True, gc=False):
    """
    Which executions of a block account were given to others, and how many lines they became.

    `rounding` is what the lines cost more than the executions (less: negative), for want of decimals.
    """

    allocation_id: str
    event_seq: int
    account: str
    venue: str
    trade_date: str
    exec_ids: tuple[str, ...]
    lines: int
    rounding: int
    reversed_by: int | None


class Control(Row, frozen=True, gc=False):
    """
    Whether an action needs a second person, since the event at `event_seq`.
    """

    action: str
    second_person: bool
    event_seq: int


class Stream(Row, frozen=True, gc=False):
    """
    The version of a stream whose entity has no row of its own.
    """

    stream: str
    version: int


class ChainKey(Row, frozen=True, gc=False):
    """
    A public key that the chain names, for one purpose, valid for events and statements in a range of seqs.
    """

    key_id: str
    purpose: str
    name: str
    public_key: str
    valid_from_seq: int
    valid_to_seq: int | None
    revoked: bool


class Incident(Row, frozen=True, gc=False):
    """
    Something that went wrong with the service, and how far it was dealt with. Stream `incident/…`. Times are in ns.
    """

    incident_id: str
    severity: str
    cause: str
    status: str
    opened_at: int
    acknowledged_at: int | None
    mitigated_at: int | None
    closed_at: int | None
    version: int


class DivergentTail(Row, frozen=True, gc=False):
    """
    What an old primary had beyond the base of epoch `epoch`, and how many events of it were disposed of.
    """

    epoch: int
    from_seq: int
    to_seq: int
    head_hash: str
    bundle_hash: str
    disposed: int


class DivergentEvent(Row, frozen=True, gc=False):
    """
    What became of one event of a divergent tail.
    """

    epoch: int
    seq: int
    disposition: str
    new_seq: int | None


class Schema(Row, frozen=True, gc=False):
    """
    The hash of an event type's fields in one version.
    """

    event_type: str
    schema_version: int
    schema_hash: str
    encoder_version: str
    event_seq: int


class TableSpec(msgspec.Struct, frozen=True):
    """
    How rows of one table are keyed, and which of their columns are not what their Python type says.
    """

    name: str
    row_type: type[Row]
    key: tuple[str, ...]
    amounts: frozenset[str] = frozenset()
    dates: frozenset[str] = frozenset()

    @property
    def columns(self) -> tuple[str, ...]:
        """
        Return the column names, in order.
        """
        return self.row_type.__struct_fields__


def _spec(name: str, row_type: type[Row], key: str, amounts: str = "", dates: str = "") -> TableSpec:
    return TableSpec(name, row_type, tuple(key.split()), frozenset(amounts.split()), frozenset(dates.split()))


TABLES: Final[dict[str, TableSpec]] = {
    spec.name: spec
    for spec in (
        _spec("assets", Asset, "asset"),
        _spec("instruments", Instrument, "instrument", "tick lot multiplier", "split_on"),
        _spec("calendars", Calendar, "calendar"),
        _spec("accounts", Account, "account"),
        _spec("account_limits", AccountLimits, "account asset", "floor max_position"),
        _spec("orders", Order, "order_id", "qty price stop_price cum_qty cum_notional hold_amount hold_given"),
        _spec("client_order_ids", ClientOrderId, "account cl_ord_id"),
        _spec(
            "executions", Execution, "venue trade_date exec_id",
            "qty price gross settled_qty settled_gross cost_change realised_change",
            "trade_date settle_date ref_trade_date root_trade_date",
        ),
        _spec("balances", Balance, "account asset", "settled unsettled held floor"),
        _spec("positions", Position, "account instrument", "qty cost realised fees opening", "day"),
        _spec("lots", Lot, "account instrument number", "qty value open_qty open_cost", "trade_date"),
        _spec("lot_queues", LotQueue, "account instrument", "base_realised"),
        _spec("corporate_actions", CorporateAction, "ca_id", dates="ex_date"),
        _spec(
            "entitlements", Entitlement, "ca_id account",
            "qty new_qty gross tax paid_gross paid_tax cost_change realised_change",
        ),
        _spec("marks", Mark, "subject day kind", "price", "day"),
        _spec("closed_periods", ClosedPeriod, "number", dates="through"),
        _spec("holds", Hold, "hold_id"),
        _spec("movements", Movement, "kind movement_id", dates="effective_on"),
        _spec("quarantine", Quarantined, "seq"),
        _spec("breaks", Break, "source key"),
        _spec(
            "settlement_fails", SettlementFail, "settlement_id failed_on number", "qty amount",
            "failed_on trade_date new_intended_date",
        ),
        _spec("allocations", Allocation, "allocation_id", "rounding", "trade_date"),
        _spec("controls", Control, "action"),
        _spec("streams", Stream, "stream"),
        _spec("chain_keys", ChainKey, "key_id"),
        _spec("incidents", Incident, "incident_id"),
        _spec("divergent_tails", DivergentTail, "epoch"),
        _spec("divergent_events", DivergentEvent, "epoch seq"),
        _spec("schemas", Schema, "event_type schema_version"),
    )
}  # fmt: skip
"""Every inline read model, by table name, in the order in which they are written."""
