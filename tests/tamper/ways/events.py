"""
Edit, delete, copy and move events behind the triggers, with every hash left as it was.
"""

from __future__ import annotations

from typing import Final

import psycopg

from ledger.chain.entry import RecordedEvent
from tests.tamper.editing import change
from tests.tamper.scene import Scene
from tests.tamper.way import Expected, add, way
from tests.verifier.intruder import NOWHERE

EDITED: Final = tuple(name for name in RecordedEvent.__struct_fields__ if name not in ("chain_id", "seq"))
"""Every column of events but the two that say where the row belongs, which have ways of their own below."""
PAGE_BYTES: Final = 8192
_HOW: Final = "superuser: triggers off, UPDATE, triggers on again"
_COPY: Final = (
    "INSERT INTO ledger.events SELECT chain, {0}, " + ", ".join(EDITED) + " FROM ledger.events WHERE seq = {1}"
)


def trade(scene: Scene) -> int:
    """Return the seq of a trade that both checkpoints cover."""
    return int(scene.one(
        "SELECT seq FROM ledger.events WHERE event_type = 'TradeExecuted' AND group_size = 2 AND seq > "
        f"{scene.firm.sizes[0] // 2} ORDER BY seq LIMIT 1"
    ))  # fmt: skip


def _column(name: str) -> None:
    def do(scene: Scene) -> Expected:
        seq = trade(scene)
        change(scene.intruder(), "events", name, f"seq = {seq}")
        return Expected(kind="BYTES_MODIFIED", seq=seq, column=name)

    add(
        f"event column {name}", do, what=f"the {name} of an event is changed a little", where=f"events.{name}",
        threats=(4, 5, 6), mode="full", how=_HOW,
        also=("chain", "scrub") if name in ("actor", "payload", "hash") else (),
        blind=("open", "incremental") if name == "actor" else (),
    )  # fmt: skip


for _name in EDITED:
    _column(_name)


@way("an event is given another seq, past the end", "events.seq", (4, 5, 6), "full", _HOW)
def event_column_seq(scene: Scene) -> Expected:
    seq, last = trade(scene), scene.firm.head
    scene.intruder().edit("events", f"UPDATE ledger.events SET seq = {last + 1} WHERE seq = {seq}")
    return Expected(kind="BYTES_MODIFIED", seq=last + 1, column="seq")


@way("an event is put under the number of no chain", "events.chain", (4, 5, 6), "full", _HOW)
def event_column_chain(scene: Scene) -> Expected:
    seq = trade(scene)
    scene.intruder().edit("events", f"UPDATE ledger.events SET chain = {NOWHERE} WHERE seq = {seq}")
    return Expected(kind="STRAY_ROWS", table="events", key=(str(NOWHERE), str(seq)), column="chain")


@way(
    "one event is deleted",
    "events",
    (4, 5),
    "full",
    "superuser: triggers off, DELETE",
    also=("chain", "scrub", "sample"),
)
def event_deleted(scene: Scene) -> Expected:
    seq = trade(scene)
    scene.intruder().edit("events", f"DELETE FROM ledger.events WHERE seq = {seq}")
    return Expected(seq=seq)


@way("the last events are deleted, and nothing else", "events", (4, 12), "open", "superuser: triggers off, DELETE",
     also=("chain", "full"))  # fmt: skip
def events_deleted_at_the_end(scene: Scene) -> Expected:
    first = scene.firm.head - 4
    scene.intruder().edit("events", f"DELETE FROM ledger.events WHERE seq >= {first}")
    return Expected(kind="TRUNCATED", seq=first, column="seq")


@way("every event is deleted", "events", (4, 5, 15), "open", "superuser: triggers off, DELETE", also=("full",))
def every_event_deleted(scene: Scene) -> Expected:
    scene.intruder().edit("events", "DELETE FROM ledger.events")
    return Expected(kind="TRUNCATED", seq=1)


def by_the_door_of_repair(scene: Scene, seq: int, column: str, value: str) -> None:
    """Have the owner replace an event by one with another column, as a repair would."""
    with psycopg.connect(scene.region.dsn("owner"), autocommit=True) as connection:
        row = connection.execute(
            "SELECT jsonb_populate_record(e, jsonb_build_object(%s::text, %s::text))::text FROM ledger.events e "
            "WHERE seq = %s", [column, value, seq],
        ).fetchone()  # fmt: skip
        assert row is not None
        connection.execute(
            "SELECT ledger.restore_events(1::smallint, ARRAY[%s::ledger.events], '{}'::tid[], 'tidying')", [row[0]]
        )


@way("the owner changes an event by the door of repair, which keeps the old row and leaves no trigger off",
     "events.actor", (4, 5), "scrub", "owner: SELECT ledger.restore_events", also=("full", "chain"))  # fmt: skip
def an_event_changed_by_the_door_of_repair(scene: Scene) -> Expected:
    seq = trade(scene)
    by_the_door_of_repair(scene, seq, "actor", "nobody")
    return Expected(kind="BYTES_MODIFIED", seq=seq, column="actor")


@way("two events change places", "events.seq", (4, 5), "chain", _HOW)
def two_events_swapped(scene: Scene) -> Expected:
    one, two = trade(scene), trade(scene) + 4
    scene.intruder().edit(
        "events",
        f"UPDATE ledger.events SET seq = CASE seq WHEN {one} THEN {two} ELSE {one} END + 100000 "
        f"WHERE seq IN ({one}, {two});"
        "UPDATE ledger.events SET seq = seq - 100000 WHERE seq > 100000",
    )  # fmt: skip
    return Expected(kind="BYTES_MODIFIED", seq=one, column="seq")


@way("a copy of an event is appended past the head", "events", (2, 4), "open",
     "superuser: triggers and constraints off, INSERT", also=("chain",))  # fmt: skip
def an_event_copied_past_the_head(scene: Scene) -> Expected:
    intruder = scene.intruder()
    intruder.unguard("events")
    intruder.edit("events", _COPY.format(scene.firm.head + 1, trade(scene)))
    return Expected(kind="HEAD_MISMATCH", table="chain_heads", column="seq")


@way("a second event at one seq: the fork that the primary key forbids", "events", (2,), "full",
     "superuser: primary key dropped, INSERT", also=("chain",))  # fmt: skip
def two_events_at_one_seq(scene: Scene) -> Expected:
    intruder, seq = scene.intruder(), trade(scene)
    intruder.unguard("events")
    intruder.connection.execute("ALTER TABLE ledger.events DROP CONSTRAINT events_pkey")
    intruder.edit("events", _COPY.format(seq, seq))
    return Expected(kind="SEQ_DUP", seq=seq)


@way("a copy of an event is put before the first one, at seq 0", "events", (4, 5), "chain",
     "superuser: triggers off, INSERT while the table is said to have no CHECK, so that no guard differs",
     also=("full", "incremental"), blind=("open",))  # fmt: skip
def an_event_before_the_first(scene: Scene) -> Expected:
    region, seq = scene.region, trade(scene)
    checks = region.sql("SELECT relchecks FROM pg_class WHERE oid = 'ledger.events'::regclass")
    said = "UPDATE pg_class SET relchecks = {} WHERE oid = 'ledger.events'::regclass"
    scene.intruder().connection.execute(said.format(0).encode())
    # Who connects later knows of no CHECK.
    intruder = scene.intruder()
    columns = ", ".join("stream_version + 100000" if name == "stream_version" else name for name in EDITED)
    intruder.edit("events", f"INSERT INTO ledger.events (chain, seq, {', '.join(EDITED)}) SELECT chain, 0, {columns} "
                  f"FROM ledger.events WHERE seq = {seq}", least=1)  # fmt: skip
    intruder.connection.execute(said.format(checks).encode())
    return Expected(kind="SEQ_DUP", seq=0, column="seq")


@way("one bit of a payload rots", "events.payload", (3,), "scrub", "superuser: one bit of one letter",
     also=("full", "sample"))  # fmt: skip
def a_bit_of_a_payload(scene: Scene) -> Expected:
    seq = trade(scene)
    scene.intruder().edit("events", "UPDATE ledger.events SET payload = replace(payload::text, '\"venue\":\"V\"', "
                          f"'\"venue\":\"W\"')::json WHERE seq = {seq}")  # fmt: skip
    return Expected(kind="BYTES_MODIFIED", seq=seq)


@way("one bit of a hash rots", "events.hash", (3,), "scrub", "superuser: one bit", also=("chain",))
def a_bit_of_a_hash(scene: Scene) -> Expected:
    seq = trade(scene)
    scene.intruder().edit("events", "UPDATE ledger.events SET hash = set_bit(hash, 77, 1 - get_bit(hash, 77)) "
                          f"WHERE seq = {seq}")  # fmt: skip
    return Expected(kind="BYTES_MODIFIED", seq=seq)


@way("an event of a stream is hidden: its stream is another now", "events.stream", (4, 10), "stream", _HOW)
def an_event_moved_to_another_stream(scene: Scene) -> Expected:
    seq = int(scene.one("SELECT seq FROM ledger.events WHERE stream = 'account/A' AND stream_version = 2"))
    scene.intruder().edit("events", f"UPDATE ledger.events SET stream = 'account/Z' WHERE seq = {seq}")
    return Expected(kind="STREAM_GAP")


@way("one of the newest events is changed, which no earlier verification knows", "events.payload", (4, 6),
     "incremental", _HOW, also=("watch", "chain"))  # fmt: skip
def a_new_event_changed(scene: Scene) -> Expected:
    seq = scene.firm.head - 1
    scene.intruder().edit("events", f"UPDATE ledger.events SET actor = 'nobody' WHERE seq = {seq}")
    return Expected(kind="BYTES_MODIFIED", seq=seq, column="actor")


@way("an index leads past a balance that is there, so that whoever looks it up finds none", "balances_pkey, an index",
     (3, 6), "full", "superuser: the row put anew while the index is said not to be ready")  # fmt: skip
def an_index_that_hides_a_balance(scene: Scene) -> Expected:
    scene.intruder().lose("balances", "account = 'A' AND asset = 'USDT'", "balances_pkey")
    return Expected(kind="INDEX_MISMATCH", table="indexes", key=("balances.balances_pkey",), says="1/A/USDT")


@way("an index leads past an event that is there, as if it were missing", "events_pkey, an index", (3, 4), "full",
     "superuser: the row put anew while the index is said not to be ready")  # fmt: skip
def an_index_that_hides_an_event(scene: Scene) -> Expected:
    seq = trade(scene)
    scene.intruder().lose("events", f"seq = {seq}", "events_pkey")
    return Expected(kind="INDEX_MISMATCH", table="indexes", key=("events.events_pkey",), says=f"1/{seq}")


@way("a page of the events table is damaged on the disk", "events, the file", (3,), "scrub",
     "disk: one bit of a file below PostgreSQL, which has a checksum of each page", also=("full", "chain"))  # fmt: skip
def a_damaged_page(scene: Scene) -> Expected:
    region = scene.look_at(scene.copy(scene.firm.a, "FILE_COPY"))
    path = region.server.folder / "data" / region.sql("SELECT pg_relation_filepath('ledger.events')")
    with path.open("r+b") as file:
        file.seek(3 * PAGE_BYTES + 5000)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    return Expected(status=4, says="page")


@way("a payload is blanked in the database, as if it had been redacted", "events.payload", (16,), "full", _HOW,
     also=("scrub", "chain"))  # fmt: skip
def a_payload_blanked(scene: Scene) -> Expected:
    seq = trade(scene)
    blank = '{"derived":{},"given":{}}'
    scene.intruder().edit("events", f"UPDATE ledger.events SET payload = '{blank}' WHERE seq = {seq}")
    return Expected(kind="BYTES_MODIFIED", seq=seq)
