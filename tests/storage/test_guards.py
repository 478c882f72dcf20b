"""
Attack the database as each role could, without the ledger's code: what does not follow is refused by PostgreSQL itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg
import pytest

from ledger.chain.link import genesis
from ledger.domain.amounts import UNIT
from ledger.domain.rows import TABLES, Balance
from ledger.errors import Corrupt, InvalidEvent, PeriodIsClosed, SequenceGap, StateMismatch
from ledger.storage import chains, events, read_models
from ledger.storage import database as db
from tests.conftest import Database
from tests.storage.test_storage import CHAIN_ID, closing, linked, prepared, put, sample

Connection = psycopg.Connection[Any]


@pytest.fixture
def owner(database: Database) -> Iterator[Connection]:
    with psycopg.connect(database.dsn("owner")) as connection:
        connection.execute("SET ROLE ledger_owner")
        yield connection


@pytest.fixture
def five(database: Database) -> Iterator[tuple[Connection, int]]:
    """A writer's connection to a chain of five committed events."""
    connection, chain = prepared(database)
    with connection:
        append(connection, chain, 5)
        yield connection, chain


def append(connection: Connection, chain: int, count: int) -> None:
    put(connection, chain, linked(count))
    connection.commit()


def test_no_function_is_open_to_the_public_or_trusts_a_search_path(database: Database) -> None:
    """
    Each names its schemas and may be called by nobody it was not made for; one alone, which carries a sum that no
    writer may set, runs with more than its caller's rights.
    """
    found = database.sql(
        "SELECT proname, prosecdef, proconfig, has_function_privilege('writer', p.oid, 'EXECUTE') "
        "FROM pg_proc p WHERE pronamespace = 'ledger'::regnamespace ORDER BY 1"
    ).splitlines()
    assert [line.split("|", 1) for line in found] == [
        [name, f'{"t" if name == "check_balanced" else "f"}|{{"search_path=pg_catalog, pg_temp"{more}}}|{writer}']
        for name, more, writer in sorted((
            ("append", ",enable_seqscan=off,enable_hashjoin=off,enable_mergejoin=off", "t"),
            ("check_appended", "", "f"), ("check_balanced", "", "f"), ("check_closed", "", "f"),
            ("check_committed", "", "f"), ("check_grown", "", "f"), ("check_head", "", "f"),
            ("check_sealed", "", "f"),
            ("check_keys", ",enable_nestloop=off,enable_hashjoin=on", "f"),
            ("refuse_change", "", "f"), ("restore_events", "", "f"),
            ("put_rows", "", "t"), *((f"put_{table}", "", "t") for table in TABLES),
        ))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seq", "recorded_at", "epoch", "why"),
    [(4, 1004, 1, "it would hide the last event"), (0, 0, 1, "it would hide them all"),
     (6, 1006, 1, "there is no such event"), (5, 1, 1, "the next event could be backdated"),
     (5, 9999, 1, "the next event could not be recorded"), (5, 1005, 0, "an ended reign would come back"),
     (5, 1005, 2, "the reign that holds would be shut out")],
)  # fmt: skip
def test_a_head_can_only_be_the_last_event(
    five: tuple[Connection, int], seq: int, recorded_at: int, epoch: int, why: str
) -> None:
    """A writer cannot move the head back, ahead, in time, or to another reign."""
    connection, chain = five
    named = {made.seq: made.hash for made in linked(6)}
    chains.advance(connection, chain, seq, named.get(seq, bytes(32)), recorded_at, epoch)
    with pytest.raises(psycopg.Error, match="would not be the last event"):
        connection.commit()
    connection.rollback()
    assert chains.head(connection, chain).seq == 5, why


def test_a_new_chain_begins_without_events(database: Database) -> None:
    """An applier cannot make a chain whose head stands where it has no event."""
    with psycopg.connect(database.dsn("applier")) as connection:
        for seq, start in ((3, bytes(32)), (0, b"x" * 32)):
            connection.execute("INSERT INTO ledger.chains VALUES (7, gen_random_uuid(), 'e.com/x', 1, %s)", [bytes(32)])
            connection.execute("INSERT INTO ledger.chain_heads VALUES (7, %s, %s, 0, 1, 'replica')", [seq, start])
            with pytest.raises(psycopg.Error, match="would not be the last event"):
                connection.commit()
            connection.rollback()


@pytest.mark.parametrize("table", ["orders", "balances", "chain_heads", "state_digests", "replica_state"])
@pytest.mark.parametrize("statement", ["DELETE FROM ledger.{}", "TRUNCATE ledger.{}"])
def test_state_cannot_be_deleted_even_by_its_owner(owner: Connection, table: str, statement: str) -> None:
    """Read models and heads change in place and never lose a row, also in a session that pretends to replicate."""
    with pytest.raises(psycopg.Error, match="append-only"):
        owner.execute(statement.format(table))


def test_triggers_fire_for_a_superuser_that_pretends_to_replicate(database: Database) -> None:
    """ALWAYS triggers do not heed session_replication_role, which silences ordinary ones."""
    connection, chain = prepared(database)
    with connection:
        append(connection, chain, 2)
    with pytest.raises(Exception, match="append-only"):
        database.sql("SET session_replication_role = replica; UPDATE ledger.events SET actor = 'x'")


def test_neither_events_without_the_head_nor_the_head_without_events_are_committed(database: Database) -> None:
    """Whoever writes past the journal cannot leave a head that is not the last event, stopping all who follow."""
    connection, chain = prepared(database)
    made = linked(3)
    with connection:
        with pytest.raises(psycopg.Error, match="do not go up to the head") as refused:
            events.insert(connection, chain, made[:2])
        assert isinstance(db.translated(refused.value), Corrupt)
        connection.rollback()
        for present in (made[:2], []):
            chains.advance(connection, chain, 3, made[2].hash, made[2].recorded_at, 1)
            if present:
                events.insert(connection, chain, present)
            with pytest.raises(psycopg.Error, match="would not be the last event"):
                connection.commit()
            connection.rollback()
        chains.advance(connection, chain, 3, made[2].hash, made[2].recorded_at, 1)
        with pytest.raises(psycopg.Error, match="no event 2 for event 3"):
            events.insert(connection, chain, made[2:])
        connection.rollback()
        assert chains.head(connection, chain).seq == 0


def test_events_may_come_in_several_runs_under_one_head(database: Database) -> None:
    """A transaction may insert more than once, as long as what there is in the end goes up to the head."""
    connection, chain = prepared(database)
    made = linked(3)
    with connection:
        chains.advance(connection, chain, 3, made[2].hash, made[2].recorded_at, 1)
        events.insert(connection, chain, made[:2])
        events.insert(connection, chain, made[2:])
        connection.commit()
        assert list(events.read(connection, chain, CHAIN_ID)) == made


def test_two_writers_at_one_seq_cannot_fork(database: Database) -> None:
    """The head's row makes the second wait; the primary key refuses what it would put at the same seq."""
    first, chain = prepared(database)
    with first, db.connect(database.dsn("writer"), "second") as second:
        second.execute("SET lock_timeout = '300ms'")
        put(first, chain, linked(1))
        with pytest.raises(psycopg.errors.LockNotAvailable):
            put(second, chain, linked(1))
        second.rollback()
        first.commit()
        with pytest.raises(psycopg.errors.UniqueViolation):
            put(second, chain, linked(1))


@pytest.mark.parametrize(
    "change",
    [{"hash": bytes(31)}, {"prev_hash": bytes(33)}, {"salt": bytes(15)}, {"event_id": b""}, {"group_id": bytes(17)},
     {"causation_id": bytes(15)}, {"seq": 2**63}, {"group_index": 2**15}, {"schema_version": -(2**15) - 1}],
)  # fmt: skip
def test_a_value_of_another_width_is_never_padded_or_cut(database: Database, change: dict[str, Any]) -> None:
    """What is stored is what was hashed, or nothing: the bytes on the wire are laid out by hand."""
    connection, chain = prepared(database)
    with connection, pytest.raises(InvalidEvent, match=r"found|fit"):
        events.insert(connection, chain, [msgspec.structs.replace(linked(1)[0], **change)])


@pytest.mark.parametrize("name", ["correlation_id", "causation_id"])
def test_a_zero_id_is_not_the_same_as_none(database: Database, name: str) -> None:
    """The entry writes none as zeros, so a stored zero id would be a second way to write one entry."""
    connection, chain = prepared(database)
    with connection:
        append(connection, chain, 1)
    with pytest.raises(Exception, match=f"{name}_not_zero"):
        database.sql(
            "ALTER TABLE ledger.events DISABLE TRIGGER ALL; "
            f"UPDATE ledger.events SET {name} = '00000000-0000-0000-0000-000000000000'"
        )


BACKSTOPS = [
    ("orders", {"cum_qty": 2 * 10**60}, "cum_qty_in_range"), ("orders", {"cum_qty": -1}, "cum_qty_in_range"),
    ("orders", {"qty": 0}, "qty_positive"), ("orders", {"hold_amount": -1}, "hold_amount_not_negative"),
    ("orders", {"asked_hold": -1}, "asked_hold_not_negative"),
    ("executions", {"qty": 0}, "qty_positive"), ("executions", {"settled_qty": -1}, "settled_qty_in_range"),
    ("executions", {"ref_trade_date": "2024-08-01"}, "ref_has_its_day"),
    ("balances", {"held": -1}, "held_not_negative"), ("balances", {"breached": True}, "breach_flagged"),
    ("balances", {"settled": -(10**18), "unsettled": 0}, "breach_flagged"),
    ("balances", {"floor": None, "breached": True}, "breach_flagged"),
    ("positions", {"qty": 0}, "flat_costs_nothing"), ("account_limits", {"floor": 1}, "floor_not_positive"),
    ("assets", {"scale": 19}, "scale_in_range"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "change", "constraint"), BACKSTOPS)
def test_the_database_refuses_a_row_that_breaks_an_invariant(
    database: Database, table: str, change: dict[str, Any], constraint: str
) -> None:
    """Each backstop names itself, and a row that keeps the invariant goes in."""
    connection, chain = prepared(database)
    good = sample(table, 0)
    with connection:
        key = tuple(getattr(good, name) for name in read_models.TABLES[table].key)
        put(connection, chain, linked(1))
        read_models.write(connection, chain, [read_models.Change(table, key, None, good)])
        bad = msgspec.structs.replace(good, **change)
        with pytest.raises(psycopg.Error, match=f"{table}_{constraint}") as refused:
            read_models.write(connection, chain, [read_models.Change(table, key, good, bad)])
        assert isinstance(db.translated(refused.value), StateMismatch)


def test_an_execution_has_at_most_one_successor_and_it_is_of_one_that_is_there(database: Database) -> None:
    """Two corrections of one execution would both count, whatever their days; one of none for nothing."""
    connection, chain = prepared(database)
    root = sample("executions", 0)
    one = msgspec.structs.replace(root, exec_id="one", ref_trade_date=root.trade_date, ref_exec_id=root.exec_id)
    two = msgspec.structs.replace(one, exec_id="two", trade_date="2024-09-01")

    def write(*made: Any) -> None:
        changes = [read_models.Change("executions", (x.venue, x.trade_date, x.exec_id), None, x) for x in made]
        read_models.write(connection, chain, changes)

    with connection:
        with pytest.raises(psycopg.errors.ForeignKeyViolation, match="executions_ref_fkey"):
            write(one)
        connection.rollback()
        write(root, one)
        with pytest.raises(psycopg.errors.UniqueViolation, match="executions_ref"):
            write(two)


@pytest.mark.parametrize(
    ("at", "change", "words"),
    [
        (1, {"group_index": 1, "group_size": 2}, "tears a group"),
        (0, {"group_size": 2}, "tears a group|end its group"),
        (2, {"group_size": 2}, "would not end its group"),
    ],
)  # fmt: skip
def test_a_torn_group_is_refused(database: Database, at: int, change: dict[str, Any], words: str) -> None:
    """A part of a group cannot be committed, nor followed by another, in one run or in a later one."""
    connection, chain = prepared(database)
    made = linked(4)
    made[at] = msgspec.structs.replace(made[at], **change)

    def write(*runs: Any) -> None:
        for run in runs:
            put(connection, chain, run)
            connection.commit()

    with connection:
        for runs in ([made[:3]], [made[:1], made[1:3]]):
            with pytest.raises(psycopg.Error, match=words) as refused:
                write(*runs)
            assert isinstance(db.translated(refused.value), SequenceGap)
            connection.rollback()


def test_a_whole_group_is_taken(database: Database) -> None:
    """The same checks let through what is right: a group of two between others."""
    connection, chain = prepared(database)
    made = linked(4)
    made[1] = msgspec.structs.replace(made[1], group_size=2)
    made[2] = msgspec.structs.replace(made[2], group_index=1, group_size=2)
    with connection:
        for run in (made[:1], made[1:3], made[3:]):
            put(connection, chain, run)
            connection.commit()
        assert chains.head(connection, chain).seq == 4


def test_no_transaction_is_said_to_end_inside_a_group(database: Database) -> None:
    """The head stands there for a while, where a group is appended in two runs, or before its events are."""
    connection, chain = prepared(database)
    made = linked(3)
    made[1] = msgspec.structs.replace(made[1], group_size=2)
    made[2] = msgspec.structs.replace(made[2], group_index=1, group_size=2)
    with connection:
        put(connection, chain, made[:2])
        with pytest.raises(psycopg.Error, match="ends at event 2, which is not there or does not") as refused:
            chains.insert_commit(connection, chain, 1, 2, bytes(32), made[1].recorded_at)
        assert isinstance(db.translated(refused.value), SequenceGap)
        connection.rollback()
        connection.execute("UPDATE ledger.chain_heads SET seq = 3, recorded_at = %s", [made[2].recorded_at])
        with pytest.raises(psycopg.Error, match="ends at event 3, which is not there"):
            chains.insert_commit(connection, chain, 1, 3, bytes(32), made[2].recorded_at)
        connection.rollback()
        put(connection, chain, made[:2])
        put(connection, chain, made[2:])
        chains.insert_commit(connection, chain, 1, 3, bytes(32), made[2].recorded_at)
        connection.commit()


def test_a_key_of_no_group_and_a_commit_that_does_not_follow_are_refused(five: tuple[Connection, int]) -> None:
    """A key must name the first event of a group that used it; a boundary follows the last and ends at the head."""
    connection, chain = five
    made = linked(5)
    key = made[0].idempotency_key
    for claimed in (("engine", "other", 2), ("gateway", key, 2), ("engine", key, 6)):
        with pytest.raises(psycopg.Error, match="of no group that begins"):
            events.insert_keys(connection, chain, [claimed])
        connection.rollback()
    events.insert_keys(connection, chain, [("engine", key, 2)])
    for first, last, at in ((2, 5, 1005), (1, 4, 1004), (1, 5, 1004), (0, 5, 1005)):
        with pytest.raises(psycopg.Error, match=r"not what follows|seqs_ordered"):
            chains.insert_commit(connection, chain, first, last, bytes(32), at)
        connection.rollback()
    chains.insert_commit(connection, chain, 1, 5, bytes(32), 1005)
    connection.commit()


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ({2: 2}, "events_stream_version"),
        ({2: 4, 3: 5, 4: 6}, "stream .* after version 0 do not follow"),
        ({3: 5, 4: 6}, "stream .* after version 4 do not follow"),
    ],
)
def test_a_stream_has_each_version_once_and_in_turn(database: Database, versions: dict[int, int], words: str) -> None:
    """A version twice, a gap in one run, and a gap between runs are refused; what goes on is taken."""
    connection, chain = prepared(database)
    made = linked(5)
    wrong = [msgspec.structs.replace(x, stream_version=versions.get(n, x.stream_version)) for n, x in enumerate(made)]
    cut = min(versions) if "version 4" in words else 0
    with connection:
        if cut:
            put(connection, chain, wrong[:cut])
            connection.commit()
        with pytest.raises(psycopg.Error, match=words):
            put(connection, chain, wrong[cut:])
        connection.rollback()
        put(connection, chain, made[cut:])
        connection.commit()


@pytest.mark.parametrize("streams", ["one", "many"])
def test_the_guards_of_a_new_chain_read_no_more_of_it_the_longer_it_is(database: Database, streams: str) -> None:
    """No statistics tell the planner how long the chain is by now: the way to the event before is found without."""
    connection, chain = prepared(database)
    made = linked(250)
    # The server may come by to gather them, now or never; this is about a chain that it has not come to yet.
    database.sql("ALTER TABLE ledger.events SET (autovacuum_enabled = off)")
    if streams == "many":
        made = [msgspec.structs.replace(x, stream=f"order/{x.seq}", stream_version=1) for x in made]
    with connection:
        for one in made:
            put(connection, chain, [one])
            connection.commit()
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.commit()
        found = connection.execute(
            "SELECT seq_tup_read + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes i WHERE i.relid = t.relid)"
            " FROM pg_stat_user_tables t WHERE t.relid = 'ledger.events'::regclass"
        ).fetchone()
    assert found is not None
    assert len(made) <= found[0] <= 10 * len(made)


def balance(account: str, settled: int) -> read_models.Change:
    row = Balance(account, "USD", settled, 0, 0, None, False, False)
    return read_models.Change("balances", (account, "USD"), None, row)


def test_balances_change_only_with_events_and_by_sums_of_zero(database: Database) -> None:
    """What one statement inserts another may offset; whatever is left when the transaction ends is named."""
    connection, chain = prepared(database)
    with connection:
        with pytest.raises(psycopg.Error, match="only with its events") as refused:
            read_models.write(connection, chain, [balance("A", 5), balance("B", -5)])
        assert isinstance(db.translated(refused.value), StateMismatch)
        connection.rollback()
        put(connection, chain, linked(1))
        read_models.write(connection, chain, [balance("A", 5 * UNIT), balance("B", -3 * UNIT)])
        with pytest.raises(psycopg.Error, match=r'chain 1 would not sum to zero, by asset: \{"USD": 2') as refused:
            connection.commit()
        assert isinstance(db.translated(refused.value), StateMismatch)
        put(connection, chain, linked(1))
        read_models.write(connection, chain, [balance("A", 5 * UNIT), balance("B", -3 * UNIT)])
        read_models.write(connection, chain, [balance("C", -2 * UNIT)])
        connection.commit()
        put(connection, chain, linked(2)[1:])
        old, taken = balance("A", 5 * UNIT).new, balance("A", 4 * UNIT).new
        read_models.write(connection, chain, [read_models.Change("balances", ("A", "USD"), old, taken)])
        with pytest.raises(psycopg.Error, match=r'chain 1 would not sum to zero, by asset: \{"USD": -1'):
            connection.commit()
        put(connection, chain, linked(2)[1:])
        read_models.write(connection, chain, [read_models.Change("balances", ("A", "USD"), old, taken)])
        read_models.write(connection, chain, [balance("D", UNIT)])
        connection.commit()


def test_no_setting_of_constraints_lets_money_be_made(database: Database) -> None:
    """A writer that has its constraints checked at once is refused at once."""
    connection, chain = prepared(database)
    with connection:
        put(connection, chain, linked(1))
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises(psycopg.Error, match="would not sum to zero"):
            read_models.write(connection, chain, [balance("A", 5)])


def test_a_head_that_moved_over_no_event_lets_no_balance_change(five: tuple[Connection, int]) -> None:
    """Whoever writes the head's row as it was has appended nothing: money is not even moved from one to another."""
    connection, chain = five
    for statement in ("SET seq = seq", "SET recorded_at = recorded_at, hash = hash, epoch = epoch"):
        connection.execute(f"UPDATE ledger.chain_heads {statement}".encode())
        with pytest.raises(psycopg.Error, match="this transaction has appended none") as refused:
            read_models.write(connection, chain, [balance("A", 5), balance("B", -5)])
        assert refused.value.sqlstate == "TL006"
        connection.rollback()


def test_no_balance_is_taken_from_a_chain_beside_an_event_of_another(database: Database) -> None:
    """All rows of an asset sum to zero in each chain, so that their sums tell nothing where they move together."""
    connection, chain = prepared(database)
    with psycopg.connect(database.dsn("owner")) as owner:
        owner.execute("SET ROLE ledger_owner")
        other = chains.create(owner, bytes(16), "example.com/b", genesis(CHAIN_ID, "example.com/a"), "primary").chain
    with connection:
        put(connection, chain, linked(1))
        read_models.write(connection, chain, [balance("A", 5), balance("B", -5)])
        connection.commit()
        put(connection, other, linked(1))
        with pytest.raises(psycopg.Error, match="chain 1 change only with its events") as refused:
            connection.execute("UPDATE ledger.balances SET chain = %s WHERE chain = %s", [other, chain])
        assert refused.value.sqlstate == "TL006"


@pytest.mark.parametrize(
    "cleared",
    ["SELECT set_config('ledger.unbalanced', '', true)", "UPDATE ledger.chain_heads SET unbalanced = NULL",
     "UPDATE ledger.chain_heads SET seq = seq", "INSERT INTO ledger.chain_heads (chain, unbalanced) VALUES (2, NULL)",
     "SELECT ledger.check_balanced()",
     "CREATE TEMP TABLE balances AS TABLE ledger.balances; CREATE TRIGGER t AFTER INSERT ON balances REFERENCING NEW "
     "TABLE AS put FOR EACH STATEMENT EXECUTE FUNCTION ledger.check_balanced()"],
)  # fmt: skip
@pytest.mark.parametrize("login", ["writer", "applier"])
def test_who_appends_cannot_clear_the_sum_that_is_carried(database: Database, login: str, cleared: str) -> None:
    """An event with money from nothing beside it is refused, whatever is tried on the sum between two statements."""
    prepared(database)[0].close()
    database.sql("INSERT INTO ledger.source_logins VALUES ('applier', 'engine')")
    with psycopg.connect(database.dsn(login)) as connection:
        put(connection, 1, linked(1))
        read_models.write(connection, 1, [balance("A", 5)])
        try:
            connection.execute(cleared.encode())
        except psycopg.errors.InsufficientPrivilege:
            return
        with pytest.raises(psycopg.Error, match="would not sum to zero"):
            connection.commit()


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize(("table", "column"), [(x, y) for x in TABLES for y in sorted(TABLES[x].amounts)])
def test_no_amount_is_other_than_a_finite_number(owner: Connection, table: str, column: str, value: str) -> None:
    """NaN is above every bound for PostgreSQL, so that a range alone would let it through."""
    constraint = owner.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", [f"{table}_amounts_finite"]
    ).fetchone()
    assert constraint is not None
    condition = str(constraint[0]).removeprefix("CHECK ")
    given = ", ".join(
        f"{number}::numeric AS {name}" for name in sorted(TABLES[table].amounts)
        for number in [f"'{value}'" if name == column else "1"]
    )  # fmt: skip
    assert owner.execute(f"SELECT {condition} FROM (SELECT {given}) t").fetchone() == (False,)


def restore(
    connection: Connection, chain: int, *made: Any, reason: str = "bit rot, copy of region B", misplaced: str = "{}"
) -> None:
    row = (
        "ROW(%s, %s, %s, %s, %s, %s::uuid, %s, %s, %s, %s, %s::uuid, %s, %s, %s, %s, %s, %s, "
        "date '1970-01-01' + %s::int, %s, %s, %s::uuid, NULL, %s, %s)::ledger.events"
    )
    given = [
        value for one in made for value in (
            chain, one.seq, one.epoch, one.prev_hash, one.hash, one.event_id.hex(), one.event_type,
            one.schema_version, one.stream, one.stream_version, one.group_id.hex(), one.group_index,
            one.group_size, one.idempotency_key, one.request_hash, one.occurred_at, one.recorded_at,
            one.effective_on, one.actor, one.source, one.correlation_id.hex(), one.salt, one.payload.decode(),
        )
    ]  # fmt: skip
    rows = ", ".join([row] * len(made))
    connection.execute(
        f"SELECT ledger.restore_events(%s::smallint, ARRAY[{rows}]::ledger.events[], %s::tid[], %s)",
        [chain, *given, misplaced, reason],
    )


def always_on(connection: Connection) -> bool:
    enabled = connection.execute("SELECT DISTINCT tgenabled FROM pg_trigger WHERE tgrelid = 'ledger.events'::regclass "
                                 "AND NOT tgisinternal").fetchall()  # fmt: skip
    return len(enabled) == 1 and enabled[0][0] in ("A", b"A")


def test_a_repair_keeps_what_was_there_and_closes_its_door(
    database: Database, five: tuple[Connection, int], owner: Connection
) -> None:
    """The owner puts back a damaged and a lost event; the old row and the reason stay, and the guards stand again."""
    connection, chain = five
    database.sql(
        "ALTER TABLE ledger.events DISABLE TRIGGER ALL; UPDATE ledger.events SET actor = 'mallory' WHERE seq = 3; "
        "DELETE FROM ledger.events WHERE seq = 5; ALTER TABLE ledger.events ENABLE ALWAYS TRIGGER refuse_change; "
        "ALTER TABLE ledger.events ENABLE ALWAYS TRIGGER check_appended"
    )
    made = [msgspec.structs.replace(one, causation_id=bytes(16)) for one in linked(5)]
    restore(owner, chain, made[2])
    restore(owner, chain, made[4])
    owner.commit()
    assert list(events.read(connection, chain, CHAIN_ID)) == made
    connection.rollback()
    kept = owner.execute("SELECT changed_by, reason, old_row FROM ledger.history_changes ORDER BY change").fetchall()
    assert [row[:2] for row in kept] == [("owner", "bit rot, copy of region B")] * 2
    assert json.loads(kept[0][2])["actor"] == "mallory"
    assert kept[1][2] == "null"
    with pytest.raises(psycopg.Error, match="append-only"):
        owner.execute("DELETE FROM ledger.events")
    owner.rollback()
    assert always_on(owner)


def test_neighbours_that_were_damaged_together_are_put_back_together(
    database: Database, five: tuple[Connection, int], owner: Connection
) -> None:
    """Each alone would not link with the other; and a row where no event can stand goes, and is kept."""
    connection, chain = five
    database.sql(
        "ALTER TABLE ledger.events DISABLE TRIGGER ALL; "
        "UPDATE ledger.events SET hash = sha256('x') WHERE seq = 2; "
        "UPDATE ledger.events SET prev_hash = sha256('x') WHERE seq = 3; "
        "UPDATE ledger.events SET seq = 900 WHERE seq = 4; ALTER TABLE ledger.events ENABLE ALWAYS TRIGGER "
        "refuse_change; ALTER TABLE ledger.events ENABLE ALWAYS TRIGGER check_appended"
    )
    made = [msgspec.structs.replace(one, causation_id=bytes(16)) for one in linked(5)]
    for one in made[1:3]:
        with pytest.raises(psycopg.Error, match="does not link"):
            restore(owner, chain, one)
        owner.rollback()
        owner.execute("SET ROLE ledger_owner")
    place = database.sql("SELECT ctid FROM ledger.events WHERE seq = 900")
    restore(owner, chain, *made[1:4], misplaced=f'{{"{place}"}}')
    owner.commit()
    assert list(events.read(connection, chain, CHAIN_ID)) == made
    connection.rollback()
    kept = [json.loads(row[0]) for row in owner.execute("SELECT old_row FROM ledger.history_changes ORDER BY change")]
    assert [row and row["seq"] for row in kept] == [2, 3, None, 900]
    assert always_on(owner)


def test_a_repair_that_is_none_is_refused(database: Database, five: tuple[Connection, int], owner: Connection) -> None:
    """Without a reason, with an event that does not link, past the head, or by another role: nothing changes."""
    _, chain = five
    made = linked(6)
    owner.commit()
    for one, reason, words in (
        (made[2], " ", "needs a reason"), (made[5], "more", "not one of the chain"),
        (msgspec.structs.replace(made[2], hash=bytes(32)), "edit", "does not link"),
        (msgspec.structs.replace(made[2], prev_hash=bytes(32)), "edit", "does not link"),
        (msgspec.structs.replace(made[4], hash=bytes(32)), "edit", "does not link"),
    ):  # fmt: skip
        owner.execute("SET ROLE ledger_owner")
        with pytest.raises(psycopg.Error, match=words):
            restore(owner, chain, one, reason=reason)
        owner.rollback()
    owner.execute("SET ROLE ledger_owner")
    place = database.sql("SELECT ctid FROM ledger.events WHERE seq = 4")
    with pytest.raises(psycopg.Error, match="a place of its chain, and is not emptied"):
        restore(owner, chain, misplaced=f'{{"{place}"}}')
    owner.rollback()
    for login in ("writer", "applier"):
        with psycopg.connect(database.dsn(login)) as other, pytest.raises(psycopg.errors.InsufficientPrivilege):
            restore(other, chain, made[2])
    assert database.sql("SELECT count(*) FROM ledger.history_changes") == "0"


@pytest.fixture
def closings(database: Database) -> Iterator[tuple[Connection, int]]:
    """A writer's connection to a chain of five committed events, each of which may close a period."""
    connection, chain = prepared(database)
    with connection:
        put(connection, chain, closing(5))
        connection.commit()
        yield connection, chain


def close_through(connection: Connection, chain: int, day: str, seq: int, number: int = 1) -> None:
    connection.execute(
        "INSERT INTO ledger.closed_periods VALUES (%s, %s, %s, %s, '')", [chain, number, day, seq]
    )  # fmt: skip
    connection.commit()


@pytest.mark.parametrize(("through", "refused"), [("1969-12-25", True), ("1969-12-24", False)])
def test_an_event_for_a_closed_day_is_refused_whoever_writes_it(
    closings: tuple[Connection, int], through: str, refused: bool
) -> None:
    """The seventh event counts for 1969-12-25: once that day is closed it is refused, and the sixth is not."""
    connection, chain = closings
    close_through(connection, chain, through, 5)
    made = closing(7)[5:]
    if not refused:
        put(connection, chain, made)
        connection.commit()
        return
    with pytest.raises(psycopg.Error, match="through which the books are closed") as found:
        put(connection, chain, made)
    assert isinstance(db.translated(found.value), PeriodIsClosed)
    connection.rollback()
    put(connection, chain, made[:1])
    connection.commit()


def test_what_came_before_the_closing_may_come_with_it(database: Database) -> None:
    """A replica takes the closing and what it closed in one transaction."""
    connection, chain = prepared(database)
    with connection:
        put(connection, chain, closing(5))
        close_through(connection, chain, "2024-01-01", 5)
        with pytest.raises(psycopg.Error, match="books are closed"):
            put(connection, chain, closing(6)[5:])


@pytest.mark.parametrize(
    ("number", "through", "seq"),
    [(2, "1970-01-01", 5), (2, "2024-01-01", 5), (2, "2024-01-02", 4), (0, "2024-01-02", 3)],
)
def test_no_other_closing_can_open_what_is_closed(
    closings: tuple[Connection, int], number: int, through: str, seq: int
) -> None:
    """The wall looks at the last closing, so each is later than the one before."""
    connection, chain = closings
    close_through(connection, chain, "2024-01-01", 4)
    with pytest.raises(psycopg.Error, match="does not follow the one before") as found:
        close_through(connection, chain, through, seq, number)
    assert isinstance(db.translated(found.value), PeriodIsClosed)
    connection.rollback()
    close_through(connection, chain, "2024-01-02", 5, 2)


@pytest.mark.parametrize(
    ("columns", "through", "refused"),
    [
        ({}, "2024-08-31", False),
        ({}, "2024-09-01", True),
        ({}, "9999-12-31", True),
        ({}, "infinity", True),
        ({"occurred_at": 2**63 - 1}, "2024-09-01", True),
        ({"occurred_at": 0}, "1969-12-31", False),
        ({"occurred_at": 0}, "1970-01-01", True),
        ({"occurred_at": -1}, "1969-12-30", False),
        ({"occurred_at": -1}, "1969-12-31", True),
        ({"event_type": "FeeCharged"}, "2024-08-31", True),
    ],
)
def test_a_period_is_closed_by_an_event_that_does_so_through_a_day_that_was_over(
    database: Database, columns: dict[str, object], through: str, refused: bool
) -> None:
    """Else whoever inserts a row could shut out every command until a day of their choice."""
    connection, chain = prepared(database)
    with connection:
        put(connection, chain, closing(5, **columns))
        if not refused:
            close_through(connection, chain, through, 5)
            return
        with pytest.raises(psycopg.Error, match="expected one of type PeriodClosed") as found:
            close_through(connection, chain, through, 5)
        assert isinstance(db.translated(found.value), PeriodIsClosed)


def test_a_period_is_closed_by_an_event_of_its_chain(closings: tuple[Connection, int], owner: Connection) -> None:
    """One that is not there yet closes none, nor does one that another chain has."""
    connection, chain = closings
    with pytest.raises(psycopg.Error, match="at event 6, which is not there"):
        close_through(connection, chain, "2024-01-01", 6)
    connection.rollback()
    other = chains.create(owner, bytes(16), "example.com/b", genesis(bytes(16), "example.com/b"), "primary").chain
    owner.commit()
    with pytest.raises(psycopg.Error, match="at event 5, which is not there"):
        close_through(connection, other, "2024-01-01", 5)
