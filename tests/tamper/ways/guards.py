"""
Take guards of the database away and leave them so: nothing is edited yet, and everything could be.
"""

from __future__ import annotations

from typing import Final

from tests.tamper.scene import Scene
from tests.tamper.way import Expected, add, way

GUARDS: Final = {
    "trigger off": (
        "the trigger that refuses changes of events is off",
        "trigger events.refuse_change",
        "ALTER TABLE ledger.events DISABLE TRIGGER refuse_change",
    ),
    "trigger not always": (
        "a trigger fires no more where somebody says to be a replica",
        "trigger events.refuse_change",
        "ALTER TABLE ledger.events ENABLE TRIGGER refuse_change",
    ),
    "trigger dropped": (
        "a trigger is dropped",
        "trigger tiles.check_grown",
        "DROP TRIGGER check_grown ON ledger.tiles",
    ),
    "guard emptied": (
        "a guard's function returns at once",
        "function refuse_change()",
        "CREATE OR REPLACE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN "
        "NULL; END'",
    ),
    "constraint dropped": (
        "a constraint on balances is dropped",
        "constraint balances.balances_held_not_negative",
        "ALTER TABLE ledger.balances DROP CONSTRAINT balances_held_not_negative",
    ),
    "unique index dropped": (
        "a unique index is dropped",
        "index executions.executions_ref",
        "DROP INDEX ledger.executions_ref",
    ),
    "writer may update": (
        "the writer may update events",
        "grant ledger_writer UPDATE events",
        "GRANT UPDATE ON ledger.events TO ledger_writer",
    ),
    "owner changed": (
        "the events table belongs to the writer",
        "relation events",
        "ALTER TABLE ledger.events OWNER TO writer",
    ),
    "rows hidden": (
        "a row level policy hides an event",
        "policy events.hide",
        "ALTER TABLE ledger.events ENABLE ROW LEVEL SECURITY; CREATE POLICY hide ON ledger.events USING (seq <> 9)",
    ),
    "table unlogged": (
        "a table is no more written to the log of a crash",
        "relation commits",
        "ALTER TABLE ledger.commits SET UNLOGGED",
    ),
    "back door": (
        "a function runs with the owner's rights for everybody",
        "function public.off() with the rights of ledger_owner",
        "CREATE FUNCTION public.off() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'ALTER TABLE ledger.events "
        "DISABLE TRIGGER ALL'; ALTER FUNCTION public.off() OWNER TO ledger_owner",
    ),
    "back door of the system": (
        "a function among PostgreSQL's own runs with a superuser's rights for everybody",
        "function information_schema.off() with the rights of postgres",
        "CREATE FUNCTION information_schema.off() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'ALTER TABLE "
        "ledger.events DISABLE TRIGGER ALL'",
    ),
    "writes swallowed": (
        "a rule swallows what is written",
        "relation commits",
        "CREATE RULE quiet AS ON INSERT TO ledger.commits DO INSTEAD NOTHING",
    ),
    "triggers denied": (
        "the events table says that it has no triggers, so that none fires",
        "relation events",
        "UPDATE pg_class SET relhastriggers = false WHERE oid = 'ledger.events'::regclass",
    ),
    "indexes denied": (
        "a table says that it has no indexes, so that a key is taken twice",
        "relation idempotency_keys",
        "UPDATE pg_class SET relhasindex = false WHERE oid = 'ledger.idempotency_keys'::regclass",
    ),
    "checks denied": (
        "a table says that it has no constraints to check",
        "relation balances",
        "UPDATE pg_class SET relchecks = 0 WHERE oid = 'ledger.balances'::regclass",
    ),
    "unique later": (
        "a unique index leaves it to a check at the end, which nobody makes",
        "index idempotency_keys.idempotency_keys_pkey",
        "UPDATE pg_index SET indimmediate = false WHERE indexrelid = 'ledger.idempotency_keys_pkey'::regclass",
    ),
    "trigger hidden": (
        "a trigger that changes balances says to be the database's own",
        "trigger balances.zz",
        "CREATE FUNCTION public.more() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.settled := new.settled + 1; "
        "RETURN new; END'; CREATE TRIGGER zz BEFORE UPDATE ON ledger.balances FOR EACH ROW EXECUTE FUNCTION "
        "public.more(); UPDATE pg_trigger SET tgisinternal = true WHERE tgname = 'zz'",
    ),
    "foreign key never": (
        "the trigger of a foreign key fires at nothing that is ever done",
        "foreign key chain_heads_chain_fkey RI_FKey_check_ins on chain_heads",
        "UPDATE pg_trigger SET tgtype = 33 WHERE tgrelid = 'ledger.chain_heads'::regclass AND tgfoid = "
        "'pg_catalog.\"RI_FKey_check_ins\"'::regproc",
    ),
    "another collation": (
        "a key is compared under a collation of somebody's own",
        "column client_order_ids.cl_ord_id",
        'CREATE COLLATION public.own FROM "C"; ALTER TABLE ledger.client_order_ids ALTER COLUMN cl_ord_id TYPE text '
        "COLLATE public.own",
    ),
}
"""What each way to take a guard away does, which fact of the schema it changes, and by which statements."""


def _guard(name: str, what: str, fact: str, sql: str) -> None:
    def do(scene: Scene) -> Expected:
        scene.intruder().connection.execute(sql.encode())
        return Expected(kind="GUARD_CHANGED", table="catalogue", key=(fact,))

    add(
        f"guard {name}",
        do,
        what=what,
        where="catalogue",
        threats=(5,),
        mode="full",
        how=f"{'superuser' if 'UPDATE pg_' in sql else 'owner'}: {sql.split(';')[0][:60]}…",
    )


for _name, (_what, _fact, _sql) in GUARDS.items():
    _guard(_name, _what, _fact, _sql)


@way("commits need no more reach the disk", "settings", (5, 12), "open", "owner: ALTER DATABASE SET synchronous_commit",
     also=("full",))  # fmt: skip
def commits_not_on_disk(scene: Scene) -> Expected:
    name = scene.region.name
    scene.intruder().connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())
    return Expected(kind="GUARD_CHANGED")


@way("every trigger is passed by, for every session", "settings", (5,), "open",
     "superuser: ALTER DATABASE SET session_replication_role", also=("full",))  # fmt: skip
def triggers_passed_by(scene: Scene) -> Expected:
    name = scene.region.name
    scene.intruder().connection.execute(f"ALTER DATABASE {name} SET session_replication_role = replica".encode())
    return Expected(kind="GUARD_CHANGED")


@way("a newer program writes an old payload anew: the same JSON in other bytes", "events.payload", (19,), "scrub",
     "superuser: payload::jsonb::json of one event", also=("full", "chain"))  # fmt: skip
def a_payload_written_anew(scene: Scene) -> Expected:
    seq = scene.firm.sizes[0] // 2
    scene.intruder().edit("events", f"UPDATE ledger.events SET payload = payload::jsonb::json WHERE seq = {seq}")
    return Expected(kind="BYTES_MODIFIED", seq=seq)


@way("a column of events is of another type", "events.schema_version", (19,), "full", "owner: ALTER TABLE")
def a_column_of_another_type(scene: Scene) -> Expected:
    scene.intruder().connection.execute("ALTER TABLE ledger.events ALTER COLUMN schema_version TYPE integer")
    return Expected(kind="GUARD_CHANGED", table="catalogue", key=("column events.schema_version",))


@way("the schema says that it is of another release", "alembic_version", (19,), "full", "owner: UPDATE")
def another_release(scene: Scene) -> Expected:
    scene.intruder().edit("alembic_version", "UPDATE ledger.alembic_version SET version_num = '0999'")
    return Expected(table="catalogue", key=("revision",))
