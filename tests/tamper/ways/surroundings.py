"""
Edit what stands beside the events: the chain's row, the head, digests, boundaries, keys, acknowledgements.
"""

from __future__ import annotations

from typing import Final

from ledger.spill.spill import Spill
from tests.conftest import ORIGIN
from tests.tamper.scene import Scene
from tests.tamper.way import Expected, add, way
from verifier.report import Findings
from verifier.state import Replay

_HOW: Final = "superuser: triggers off, UPDATE, triggers on again"
_A_COMMIT: Final = "last_seq IN (SELECT last_seq FROM ledger.commits ORDER BY last_seq OFFSET 3 LIMIT 1)"
_A_KEY: Final = "key = 't3-placed'"

EDITS: Final[dict[str, tuple[str, str, tuple[int, ...], str, str]]] = {
    # name: what, place, threats, mode, SQL
    "head seq": ("the head says that one event less was recorded", "chain_heads.seq", (6, 12), "open",
                 "UPDATE ledger.chain_heads SET seq = seq - 1"),
    "head hash": ("the head has another hash", "chain_heads.hash", (6, 7), "open",
                  "UPDATE ledger.chain_heads SET hash = sha256('x')"),
    "head time": ("the head is of another time", "chain_heads.recorded_at", (6, 17), "open",
                  "UPDATE ledger.chain_heads SET recorded_at = recorded_at - 1"),
    "head epoch": ("the head is of another epoch", "chain_heads.epoch", (6,), "open",
                   "UPDATE ledger.chain_heads SET epoch = epoch + 1"),
    "head mode": ("a primary says that it is a replica", "chain_heads.mode", (6,), "full",
                  "UPDATE ledger.chain_heads SET mode = 'replica'"),
    "head deleted": ("the head's row is deleted", "chain_heads", (6, 15), "open", "DELETE FROM ledger.chain_heads"),
    "digest": ("the running digest of all read models is another", "state_digests.lanes", (6,), "full",
               "UPDATE ledger.state_digests SET lanes = set_byte(lanes, 5, get_byte(lanes, 5) # 1)"),
    "commit digest": ("the digest at the end of a transaction is another", "commits.state_digest", (6, 18), "full",
                      f"UPDATE ledger.commits SET state_digest = sha256('x') WHERE {_A_COMMIT}"),
    "commit deleted": ("the boundary of a transaction is deleted", "commits", (6, 18), "full",
                       f"DELETE FROM ledger.commits WHERE {_A_COMMIT}"),
    "commit time": ("a transaction is said to be of another time", "commits.committed_at", (6, 17), "full",
                    f"UPDATE ledger.commits SET committed_at = 1 WHERE {_A_COMMIT}"),
    "key moved": ("an idempotency key leads to another group", "idempotency_keys.first_seq", (1, 6), "full",
                  f"UPDATE ledger.idempotency_keys SET first_seq = 1 WHERE {_A_KEY}"),
    "key deleted": ("an idempotency key is deleted, so that its request could be recorded twice", "idempotency_keys",
                    (1, 6), "full", f"DELETE FROM ledger.idempotency_keys WHERE {_A_KEY}"),
    "acknowledgement hash": ("what a replica acknowledged is another hash", "acknowledgements.hash", (10, 11), "full",
                             "UPDATE ledger.acknowledgements SET hash = sha256('x')"),
    "acknowledgement seq": ("a replica is said to have acknowledged more than it did", "acknowledgements.seq",
                            (10, 11), "full", "UPDATE ledger.acknowledgements SET seq = seq - 1"),
    "acknowledgement invented": (
        "an acknowledgement of a replica that there is not is invented", "acknowledgements", (10, 11), "full",
        "INSERT INTO ledger.acknowledgements SELECT chain, 'forged', epoch, seq, hash, state_digest, applied_at, "
        "received_at, signature FROM ledger.acknowledgements"),
    "genesis": ("the chain begins with another hash", "chains.genesis", (6, 15), "full",
                "UPDATE ledger.chains SET genesis = sha256('x')"),
    "chain id": ("the chain says that it is another", "chains.chain_id", (6, 15), "full",
                 "UPDATE ledger.chains SET chain_id = gen_random_uuid()"),
    "second chain row": ("a second chain of the same id is invented", "chains", (15,), "full",
                         "INSERT INTO ledger.chains SELECT 2, gen_random_uuid(), origin || '/2', 1, genesis FROM "
                         "ledger.chains"),
    "second head": ("the chain has a second head, which says another event", "chain_heads", (4, 12), "full",
                    "ALTER TABLE ledger.chain_heads DROP CONSTRAINT chain_heads_pkey; INSERT INTO ledger.chain_heads "
                    "SELECT chain, 1, hash, recorded_at, epoch, mode FROM ledger.chain_heads"),
    "snapshot": ("a snapshot says to be of another digest", "snapshots", (6,), "full",
                 "UPDATE ledger.snapshots SET state_digest = sha256('x')"),
}  # fmt: skip


def _edit(name: str, what: str, place: str, threats: tuple[int, ...], mode: str, sql: str) -> None:
    table, _, column = place.partition(".")

    def do(scene: Scene) -> Expected:
        scene.intruder().edit(table, sql)
        if name == "second chain row":
            scene.words["origin"] = ORIGIN
        if name == "head mode":
            return Expected(kind="POSITION_MISMATCH", table="replica_state")
        if name.startswith("commit deleted"):
            return Expected(table=table)
        return Expected(table=table, column=column or None)

    also = ("full",) if mode == "open" and name != "head deleted" else ()
    add(name, do, what=what, where=place, threats=threats, mode=mode, how=_HOW, also=also)


for _name, (_what, _place, _threats, _mode, _sql) in EDITS.items():
    _edit(_name, _what, _place, _threats, _mode, _sql)


@way("a replica says that it read another topic", "replica_state.topic", (10, 11), "full", _HOW)
def replica_topic(scene: Scene) -> Expected:
    region = scene.look_at(scene.copy(scene.firm.b))
    scene.intruder(region).edit("replica_state", "UPDATE ledger.replica_state SET topic = 'another'")
    return Expected(table="replica_state", key=(ORIGIN,), column="topic")


@way("a transaction is said to have ended inside a group, with the digest and time that were true there", "commits",
     (6, 18), "full", _HOW, also=("full --policy",))  # fmt: skip
def a_boundary_inside_a_group(scene: Scene) -> Expected:
    history, intruder = scene.firm.events(), scene.intruder()
    rows = intruder.connection.execute("SELECT first_seq, last_seq FROM ledger.commits ORDER BY last_seq").fetchall()
    first, last, seq = next((first, last, x.seq) for first, last in rows for x in history[first - 1 : last]
                            if x.group_index + 1 < x.group_size)  # fmt: skip
    with Spill() as spill:
        replay = Replay(spill, Findings())
        for event in history[:seq]:
            replay.apply(event)
        digest = replay.digest.digest()
    intruder.edit("commits", "UPDATE ledger.commits SET first_seq = %s WHERE last_seq = %s", seq + 1, last)
    intruder.edit("commits", "INSERT INTO ledger.commits VALUES (1, %s, %s, %s, %s)", seq, first, digest,
                  history[seq - 1].recorded_at)  # fmt: skip
    return Expected(kind="COMMIT_MISMATCH", table="commits", key=(str(seq),), column="last_seq")


@way("the elements of an array are numbered from 5 on: the same ones, and none for who asks for the first",
     "allocations.exec_ids", (6,), "full", _HOW, also=("full --policy",))  # fmt: skip
def an_array_from_elsewhere(scene: Scene) -> Expected:
    scene.intruder().edit(
        "allocations", "UPDATE ledger.allocations SET exec_ids = ('[5:' || 4 + cardinality(exec_ids) || ']=' || "
        "exec_ids::text)::text[] WHERE cardinality(exec_ids) > 0"
    )  # fmt: skip
    return Expected(kind="PROJECTION_MISMATCH", table="allocations", column="exec_ids")


@way("a replica says that it is the primary, and would append", "chain_heads.mode, replica_state", (14,), "diff",
     _HOW, blind=("open", "full"))  # fmt: skip
def a_second_primary(scene: Scene) -> Expected:
    intruder = scene.intruder(scene.look_at(scene.copy(scene.firm.b)))
    scene.words["other"] = scene.firm.a.dsn("auditor")
    intruder.edit("replica_state", "DELETE FROM ledger.replica_state")
    intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET mode = 'primary'")
    return Expected(kind="TWO_PRIMARIES", table="chain_heads", key=(ORIGIN,), column="mode")


@way("every row that says which chains there are is deleted", "chains", (15,), "full",
     "superuser: constraints off, DELETE", also=("open",),
     otherwise={"open": Expected(says="no row of chains names")})  # fmt: skip
def no_chain_left(scene: Scene) -> Expected:
    intruder = scene.intruder()
    for table in ("chains", "chain_heads", "state_digests", "replica_state"):
        intruder.connection.execute(f"ALTER TABLE ledger.{table} DISABLE TRIGGER ALL".encode())
    intruder.connection.execute("DELETE FROM ledger.chains")
    return Expected(kind="CHAIN_MISMATCH", table="chains")
