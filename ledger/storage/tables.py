"""
Show the whole database on one page.

The chain's tables are written out; the read models are made from `ledger.domain.rows`, column for column. Each
constraint says what would go wrong without it. The guards that are no constraints (triggers, functions, grants) stand
in migrations/versions/0001_guards.sql. A test proves that migrations make exactly these tables.
"""

from __future__ import annotations

import types
import typing
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from ledger.domain.rows import TABLES, TableSpec

SCHEMA: Final = "ledger"

metadata: Final = MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "%(table_name)s_pkey", "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s", "uq": "%(table_name)s_%(constraint_name)s",
        "ix": "%(table_name)s_%(column_0_name)s",
    },
)  # fmt: skip


def _column(name: str, kind: Any, nullable: bool = False) -> Column[Any]:
    return Column(name, kind, nullable=nullable)


def _chain() -> Column[Any]:
    # No foreign key: it would cost a lookup and a lock a row. The guard of events asks for the chain's head.
    return Column("chain", SmallInteger, nullable=False)


def _width(column: str, width: int) -> CheckConstraint:
    return CheckConstraint(f"octet_length({column}) = {width}", name=f"{column}_width")


Table(
    "chains",
    metadata,
    Column("chain", SmallInteger, primary_key=True, autoincrement=False),
    _column("chain_id", Uuid),
    _column("origin", Text),
    _column("format_version", SmallInteger),
    # What the first event names as the hash before it, so that the guard of events can check that link as well.
    _column("genesis", LargeBinary),
    _width("genesis", 32),
    UniqueConstraint("chain_id", name="chain_id_key"),
    # Two chains of one origin could not be told apart by an auditor.
    UniqueConstraint("origin", name="origin_key"),
)
Table(
    "chain_heads",
    metadata,
    Column("chain", SmallInteger, ForeignKey(f"{SCHEMA}.chains.chain"), primary_key=True, autoincrement=False),
    _column("seq", BigInteger),
    _column("hash", LargeBinary),
    _column("recorded_at", BigInteger),
    _column("epoch", Integer),
    _column("mode", Text),
    # By asset, what the statements of a transaction so far leave over of the balances: none when it ends.
    _column("unbalanced", JSONB, nullable=True),
    _width("hash", 32),
    CheckConstraint("mode IN ('primary', 'replica')", name="mode_known"),
    CheckConstraint("seq >= 0", name="seq_counts"),
    # A head that moved in place stays on its page (HOT), so that the row every transaction locks stays fast.
    postgresql_with={"fillfactor": "50"},
)
Table(
    "state_digests",
    metadata,
    Column("chain", SmallInteger, ForeignKey(f"{SCHEMA}.chains.chain"), primary_key=True, autoincrement=False),
    _column("seq", BigInteger),
    _column("lanes", LargeBinary),
    _width("lanes", 2048),
    postgresql_with={"fillfactor": "30"},
)
Table(
    "commits",
    metadata,
    _chain(),
    _column("last_seq", BigInteger),
    _column("first_seq", BigInteger),
    _column("state_digest", LargeBinary),
    _column("committed_at", BigInteger),
    PrimaryKeyConstraint("chain", "last_seq"),
    _width("state_digest", 32),
    CheckConstraint("first_seq > 0 AND first_seq <= last_seq", name="seqs_ordered"),
)
Table(
    "events",
    metadata,
    _chain(),
    _column("seq", BigInteger),
    _column("epoch", Integer),
    _column("prev_hash", LargeBinary),
    _column("hash", LargeBinary),
    _column("event_id", Uuid),
    _column("event_type", Text),
    _column("schema_version", SmallInteger),
    _column("stream", Text),
    _column("stream_version", BigInteger),
    _column("group_id", Uuid),
    _column("group_index", SmallInteger),
    _column("group_size", SmallInteger),
    _column("idempotency_key", Text),
    _column("request_hash", LargeBinary),
    _column("occurred_at", BigInteger),
    _column("recorded_at", BigInteger),
    _column("effective_on", Date),
    _column("actor", Text),
    _column("source", Text),
    _column("correlation_id", Uuid, nullable=True),
    _column("causation_id", Uuid, nullable=True),
    _column("salt", LargeBinary),
    _column("payload", JSON),
    # Two events at one seq would be a fork.
    PrimaryKeyConstraint("chain", "seq"),
    CheckConstraint("seq > 0", name="seq_from_one"),
    _width("prev_hash", 32),
    _width("hash", 32),
    _width("request_hash", 32),
    _width("salt", 16),
    CheckConstraint("group_index >= 0 AND group_index < group_size", name="group_place"),
    CheckConstraint("stream_version > 0", name="stream_version_from_one"),
    # The entry writes an absent id as zeros; a stored zero id would hash like none.
    CheckConstraint("correlation_id <> '00000000-0000-0000-0000-000000000000'", name="correlation_id_not_zero"),
    CheckConstraint("causation_id <> '00000000-0000-0000-0000-000000000000'", name="causation_id_not_zero"),
    # The chain comes last: an index that began with it would seem as good as the primary key to who asks by seq, until
    # statistics say otherwise, and every append to a new chain would read the whole of it.
    Index("events_stream_version", "stream", "stream_version", "chain", unique=True),
)
Table(
    "idempotency_keys",
    metadata,
    _chain(),
    _column("source", Text),
    _column("key", Text),
    _column("first_seq", BigInteger),
    # The same request twice must not be recorded twice, whichever process asks.
    PrimaryKeyConstraint("chain", "source", "key"),
    CheckConstraint("first_seq > 0", name="first_seq_from_one"),
)
Table(
    "source_logins",
    metadata,
    _column("login", Text),
    _column("source", Text),
    PrimaryKeyConstraint("login", "source"),
)
Table(
    "acknowledgements",
    metadata,
    _chain(),
    _column("replica", Text),
    _column("epoch", Integer),
    _column("seq", BigInteger),
    _column("hash", LargeBinary),
    _column("state_digest", LargeBinary),
    _column("applied_at", BigInteger),
    _column("received_at", BigInteger),
    _column("signature", LargeBinary),
    PrimaryKeyConstraint("chain", "replica"),
    _width("hash", 32),
    _width("state_digest", 32),
    _width("signature", 64),
)
Table(
    "replica_state",
    metadata,
    Column("chain", SmallInteger, ForeignKey(f"{SCHEMA}.chains.chain"), primary_key=True, autoincrement=False),
    _column("topic", Text),
    _column("topic_id", Text),
    _column("next_offset", BigInteger),
    CheckConstraint("next_offset >= 0", name="next_offset_counts"),
)
Table(
    "history_changes",
    metadata,
    Column("change", BigInteger, primary_key=True, autoincrement=True),
    _column("changed_at", BigInteger),
    _column("changed_by", Text),
    _column("reason", Text),
    _column("old_row", Text),
)

# The tree over the events, as other people's programs read it, and what was signed of it.
Table(
    "tiles",
    metadata,
    _chain(),
    _column("level", SmallInteger),
    _column("number", BigInteger),
    _column("hashes", LargeBinary),
    PrimaryKeyConstraint("chain", "level", "number"),
    CheckConstraint("level BETWEEN 0 AND 7 AND number >= 0", name="place_in_tree"),
    CheckConstraint("octet_length(hashes) BETWEEN 32 AND 8192 AND octet_length(hashes) % 32 = 0", name="whole_hashes"),
)
Table(
    "checkpoints",
    metadata,
    _chain(),
    _column("size", BigInteger),
    _column("root", LargeBinary),
    _column("note", Text),
    _column("sealed_at", BigInteger),
    # Two checkpoints of one size would be a fork, or the same one twice.
    PrimaryKeyConstraint("chain", "size"),
    CheckConstraint("size > 0", name="size_from_one"),
    _width("root", 32),
)

_BALANCE_AVAILABLE = "settled + least(unsettled, 0) + CASE WHEN credit_unsettled THEN greatest(unsettled, 0) ELSE 0 END"
_BACKSTOPS: Final[dict[str, tuple[Any, ...]]] = {
    # An order that filled more than it asked for is an overfill, which is quarantined and never booked.
    "orders": (
        CheckConstraint("cum_qty >= 0 AND cum_qty <= qty", name="cum_qty_in_range"),
        CheckConstraint("hold_amount >= 0", name="hold_amount_not_negative"),
        # What a request needs beyond that cannot be less than nothing, or it would be spent.
        CheckConstraint("asked_hold >= 0", name="asked_hold_not_negative"),
        CheckConstraint("qty > 0", name="qty_positive"),
    ),
    "executions": (
        CheckConstraint("qty > 0", name="qty_positive"),
        CheckConstraint("settled_qty >= 0 AND settled_qty <= qty", name="settled_qty_in_range"),
        # Cash settles with the quantity: all of it with all, none without.
        CheckConstraint("(settled_qty > 0 OR settled_gross = 0) AND (settled_qty < qty OR settled_gross = gross)",
                        name="settled_gross_in_step"),
        # A reference without its day would escape the index below.
        CheckConstraint("(ref_exec_id IS NULL) = (ref_trade_date IS NULL)", name="ref_has_its_day"),
        # A correction or bust names an execution that is there; most rows name none and cost no lookup.
        ForeignKeyConstraint(
            ("chain", "venue", "ref_trade_date", "ref_exec_id"),
            [f"{SCHEMA}.executions.{name}" for name in ("chain", "venue", "trade_date", "exec_id")],
            name="executions_ref_fkey",
        ),
        # Each version of a trade has at most one successor, whatever day that is of.
        Index("executions_ref", "chain", "venue", "ref_trade_date", "ref_exec_id", unique=True,
              postgresql_where=text("ref_exec_id IS NOT NULL")),
    ),
    "balances": (
        CheckConstraint("held >= 0", name="held_not_negative"),
        # A balance below its floor must carry the flag that says a venue fact put it there.
        CheckConstraint(f"breached = coalesce({_BALANCE_AVAILABLE} < floor, false)", name="breach_flagged"),
    ),
    "positions": (CheckConstraint("qty <> 0 OR cost = 0", name="flat_costs_nothing"),),
    # As a position that is flat: what is closed of a trade costs nothing, and no more is open than was traded.
    "lots": (
        CheckConstraint("open_qty <> 0 OR open_cost = 0", name="closed_costs_nothing"),
        CheckConstraint("abs(open_qty) <= abs(qty)", name="open_within_traded"),
    ),
    # More dividend than was due would be money that the books do not owe.
    "entitlements": (
        CheckConstraint("abs(paid_gross) <= abs(gross) AND abs(paid_tax) <= abs(tax)", name="paid_within_due"),
    ),
    # One event disposed of twice, or one too many, would let an incident close over what is lost.
    "divergent_tails": (
        CheckConstraint("disposed >= 0 AND disposed <= to_seq - from_seq + 1", name="disposed_in_range"),
    ),
    "account_limits": (CheckConstraint("floor <= 0", name="floor_not_positive"),),
    "assets": (CheckConstraint("scale BETWEEN 0 AND 18", name="scale_in_range"),),
}  # fmt: skip


def _kind(spec: TableSpec, name: str, hint: Any) -> tuple[Any, bool]:
    nullable = isinstance(hint, types.UnionType)
    if nullable:
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if name in spec.amounts:
        return Numeric, nullable
    if name in spec.dates:
        return Date, nullable
    if typing.get_origin(hint) is tuple:
        return ARRAY(Text), nullable
    return {str: Text, int: BigInteger, bool: Boolean}[hint], nullable


def _finite(spec: TableSpec) -> list[CheckConstraint]:
    """Return the check that no amount is NaN or infinite: those pass every range, and a sum with one is one too."""
    hints = typing.get_type_hints(spec.row_type)
    parts = [
        f"coalesce({name}, 0)" if isinstance(hints[name], types.UnionType) else name
        for name in spec.columns
        if name in spec.amounts
    ]
    total = " + ".join(parts)
    return [CheckConstraint(f"abs({total}) < 'Infinity'", name="amounts_finite")] if parts else []


def _read_model(spec: TableSpec) -> Table:
    hints = typing.get_type_hints(spec.row_type)
    columns = [_column(name, *_kind(spec, name, hints[name])) for name in spec.columns]
    # Rows are changed in place all day: room on their page keeps the updates HOT.
    return Table(
        spec.name,
        metadata,
        _chain(),
        *columns,
        PrimaryKeyConstraint("chain", *spec.key),
        *_BACKSTOPS.get(spec.name, ()),
        *_finite(spec),
        postgresql_with={"fillfactor": "80"},
    )


for _spec in TABLES.values():
    _read_model(_spec)

# What is read of the past, kept beside the books and never trusted over them: all of it can be made anew.
Table(
    "snapshots",
    metadata,
    _chain(),
    _column("seq", BigInteger),
    _column("state_digest", LargeBinary),
    _column("made_at", BigInteger),
    _column("rows", LargeBinary),
    PrimaryKeyConstraint("chain", "seq"),
    _width("state_digest", 32),
)
Table(
    "read_model_watermarks",
    metadata,
    _chain(),
    _column("name", Text),
    _column("seq", BigInteger),
    _column("hash", LargeBinary),
    PrimaryKeyConstraint("chain", "name"),
    _width("hash", 32),
)


def _history(name: str, spec: TableSpec) -> Table:
    """Make the table of every version of the rows of a read model, by the seq of the event that made it."""
    hints = typing.get_type_hints(spec.row_type)
    columns = [_column(column, *_kind(spec, column, hints[column])) for column in spec.columns]
    return Table(
        name, metadata, _chain(), _column("seq", BigInteger), *columns, PrimaryKeyConstraint("chain", *spec.key, "seq")
    )


_history("balance_history", TABLES["balances"])
_history("position_history", TABLES["positions"])
