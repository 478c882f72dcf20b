"""
Ask for what must not be: by the ledger's own door, and with SQL by the logins that there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import psycopg

from ledger import Ledger
from ledger.domain.events.cash import JournalPosted, Posting
from ledger.domain.events.fields import Event
from ledger.storage import database as db
from tests.journal.test_ledger import fee
from tests.tamper.scene import Scene
from tests.tamper.way import Caught, Unexpected, add, refused, way
from tests.tamper.ways.events import EDITED, by_the_door_of_repair

_ENGINE: Final = "engine: an append"


def _appended(scene: Scene, event: Callable[[], Event], key: str) -> Caught:
    with Ledger.open(scene.region.dsn("writer")) as ledger:
        return refused(lambda: ledger.append(event(), key=key))


@way("an event whose postings do not balance is to be recorded", "events", (1,), "append", _ENGINE)
def an_unbalanced_event(scene: Scene) -> Caught:
    legs = (("A", "-2"), ("B", "3"))
    return _appended(scene, lambda: JournalPosted(journal_id="U", memo="m", postings=tuple(
        Posting(account=account, asset="USDT", bucket="settled", amount=amount) for account, amount in legs
    )), "unbalanced")  # fmt: skip


@way("a key is given again for another request", "events", (1,), "append", _ENGINE)
def a_key_given_again(scene: Scene) -> Caught:
    return _appended(scene, lambda: fee("again", "7"), "t0-fee")


@way("a replica is asked to append", "events", (2, 14), "append", "engine: an append in region B")
def a_replica_that_appends(scene: Scene) -> Caught:
    region = scene.look_at(scene.copy(scene.firm.b))

    def appended() -> None:
        with Ledger.open(region.dsn("writer")) as ledger:
            ledger.append(fee("b"), key="b")

    return refused(appended)


def _sql(name: str, what: str, login: str, sql: str, threats: tuple[int, ...], where: str = "events") -> None:
    def do(scene: Scene) -> Caught:
        with psycopg.connect(scene.region.dsn(login), autocommit=True) as connection:
            try:
                connection.execute(sql.format(head=scene.firm.head).encode())
            except psycopg.Error as error:
                said = str(error).splitlines()[0]
                return Caught(kind=error.sqlstate or "refused", said=said)
        raise Unexpected(f"{login} could do: {sql}")

    add(name, do, what=what, where=where, threats=threats, mode="database", how=f"{login}: {sql.split(' ledger')[0]}")


_AN_EVENT: Final = """UPDATE ledger.chain_heads SET seq = seq + 1, recorded_at = recorded_at + 1, hash = sha256('x');
INSERT INTO ledger.events SELECT (jsonb_populate_record(e, jsonb_build_object('seq', e.seq + 1, 'prev_hash', e.hash,
'hash', sha256('x'), 'recorded_at', e.recorded_at + 1, 'stream_version', e.stream_version + 1, 'group_index', 0,
'group_size', 1))).* FROM ledger.events e ORDER BY e.seq DESC LIMIT 1; """
_RAISED: Final = "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A' AND asset = 'USDT'"

_sql("writer updates", "the engine's login changes an event", "writer",
     "UPDATE ledger.events SET actor = 'nobody' WHERE seq = 9", (4,))  # fmt: skip
_sql("owner updates", "the owner's login changes an event", "owner",
     "UPDATE ledger.events SET actor = 'nobody' WHERE seq = 9", (4,))  # fmt: skip
_sql("owner deletes", "the owner's login deletes the last event", "owner",
     "DELETE FROM ledger.events WHERE seq = {head}", (4, 12))  # fmt: skip
_sql("owner truncates", "the owner's login empties the events table", "owner", "TRUNCATE ledger.events", (4, 15))
_sql("writer forks", "the engine's login records a second event at the head's seq", "writer",
     f"INSERT INTO ledger.events SELECT chain, seq, {', '.join(EDITED)} FROM ledger.events WHERE seq = {{head}}",
     (2,))  # fmt: skip
_sql("writer moves the head", "the engine's login sets the head back", "writer",
     "UPDATE ledger.chain_heads SET seq = seq - 1", (2, 12))  # fmt: skip
_sql("writer pays", "the engine's login raises a balance beside no event", "writer",
     "UPDATE ledger.balances SET settled = settled + 1 WHERE account = 'A'", (6,), "balances")  # fmt: skip
_sql("writer moves money", "the engine's login writes the head's row as it was, and moves money beside no event",
     "writer", "UPDATE ledger.chain_heads SET seq = seq; UPDATE ledger.balances SET settled = settled + CASE account "
     "WHEN 'A' THEN 1 ELSE -1 END WHERE asset = 'USDT' AND account IN ('A', '~external')", (6,),
     "balances")  # fmt: skip
_sql("writer makes money", "the engine's login raises a balance beside an event that says nothing of it", "writer",
     _AN_EVENT + _RAISED, (6,), "balances")  # fmt: skip
_sql("writer clears the sum", "the engine's login raises a balance beside an event, and clears the sum that is carried",
     "writer", _AN_EVENT + _RAISED + "; UPDATE ledger.chain_heads SET unbalanced = NULL", (6,),
     "balances")  # fmt: skip


@way("the owner puts an event of another hash in place, by the door of repair", "events.hash", (5,), "database",
     "owner: SELECT ledger.restore_events")  # fmt: skip
def a_forged_link_by_the_door_of_repair(scene: Scene) -> Caught:
    try:
        by_the_door_of_repair(scene, scene.firm.head, "hash", "\\x" + "00" * 32)
    except psycopg.Error as error:
        return Caught(kind=error.sqlstate or "refused", said=str(error).splitlines()[0])
    raise Unexpected("the door of repair took an event that does not link")


@way("somebody else's checkpoint is put into the table by the sealer's login, behind one that is there", "checkpoints",
     (9,), "database", "sealer: INSERT")  # fmt: skip
def a_checkpoint_put_back(scene: Scene) -> Caught:
    with db.connect(scene.region.dsn("sealer"), "tamper") as connection:
        try:
            connection.execute("INSERT INTO ledger.checkpoints VALUES (1, 5, sha256('x'), 'x', 1)")
            connection.commit()
        except psycopg.Error as error:
            return Caught(kind=error.sqlstate or "refused", said=str(error).splitlines()[0])
    raise Unexpected("the sealer could put a checkpoint behind one that is there")
