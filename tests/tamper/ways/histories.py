"""
Put an old backup back, cut the tail off, swap the chain for another: histories that are whole, and not this one.
"""

from __future__ import annotations

import shutil
from typing import Final

import msgspec

from ledger import Ledger
from ledger.journal.chain_creation import create_chain
from ledger.sealing import services
from ledger.sealing.places import Place
from ledger.sealing.promises import Promises
from tests.conftest import ORIGIN, Database
from tests.journal.test_ledger import fee, fill
from tests.sealing.logs import served
from tests.sealing.regions import LOG_KEY, NOBODY, REPLICA_KEY, append, members, replica, sealing, signer
from tests.tamper.firm import members_of
from tests.tamper.forging import checkpoints_of, grown, installed, relink
from tests.tamper.scene import Scene
from tests.tamper.way import Caught, Expected, refused, way
from tests.tamper.ways.consistent import FORGED, forged
from verifier.region import BY_CHAIN, KEPT

_BACKUP: Final = "operator: the backup of the first checkpoint is restored"


_SHORTER: Final = {
    "full --expect": Expected(kind="TRUNCATED"), "receipts": Expected(kind="TRUNCATED", table="receipts"),
}  # fmt: skip
"""How those say it who do not know that there was more, but for one checkpoint or receipt."""


def then(scene: Scene) -> Database:
    """Have the backup of the first checkpoint verified, as if it had been put back."""
    assert scene.firm.then is not None
    return scene.look_at(scene.copy(scene.firm.then))


@way("an old backup of the whole database is put back", "every table", (12, 13), "open", _BACKUP,
     also=("incremental", "watch", "full --expect", "receipts"), otherwise=_SHORTER,
     blind=("full", "chain"))  # fmt: skip
def an_old_backup(scene: Scene) -> Expected:
    then(scene)
    return Expected(kind="ROLLBACK")


@way("an old backup is put back, and the engine goes on appending to it", "every table", (13, 14), "open",
     "operator: restore; engine: appends more than was lost", also=("incremental", "full --expect"),
     otherwise={"incremental": Expected(kind="CHECKPOINT_INCONSISTENT")})  # fmt: skip
def an_old_backup_that_goes_on(scene: Scene) -> Expected:
    region = then(scene)
    append(region, scene.firm.head - scene.firm.sizes[0] + 5)
    return Expected(kind="INCONSISTENT")


@way("an old backup is put back, appended to and sealed, with the signer's state of then", "every table", (8, 13),
     "signer", "operator: restore of database and signer; then `tradeledger seal`")  # fmt: skip
def an_old_signer(scene: Scene) -> Caught:
    region = then(scene)
    append(region, scene.firm.head - scene.firm.sizes[0] + 5)
    shutil.copy(scene.firm.folder / "signer.then.json", scene.folder / "signer.json")
    with Promises(scene.folder / "signer.json") as state:
        respond = services.signer_of(state, LOG_KEY, NOBODY, members_of(scene.firm.witnesses))
        with served(respond, scene.folder / "s") as address, sealing(region, Place(address)) as sealer:
            return refused(sealer.seal)


@way("an old backup is put back, and what is appended to it is to be cosigned by the other region", "every table",
     (12, 13), "cosign", "operator: restore; then `tradeledger seal`")  # fmt: skip
def an_old_backup_at_the_replica(scene: Scene) -> Caught:
    region = then(scene)
    append(region, scene.firm.head - scene.firm.sizes[0] + 5)
    shutil.copy(scene.firm.folder / "replica.json", scene.folder / "replica.json")
    with replica(scene.folder, scene.copy(scene.firm.b)) as url, signer(scene.folder) as place:
        needed = members("r", [REPLICA_KEY], [url], 1)
        with sealing(region, place, needed) as sealer:
            return refused(sealer.seal)


def cut_to(scene: Scene, size: int) -> None:
    """Have a region verified that never recorded more than *size* events, and says so in every row."""
    history = scene.firm.events()[:size]
    while history[-1].group_index != history[-1].group_size - 1:
        history.pop()
    scene.look_at(grown(installed(scene.empty(), history, scene.firm.ends())))


@way("the tail is cut off far behind the newest checkpoint; head, rows, digests and tiles agree", "every table", (12,),
     "open", "superuser: all that follows from the tail is taken back",
     also=("incremental", "full --expect", "receipts"), otherwise=_SHORTER, blind=("full", "chain"))  # fmt: skip
def a_tail_cut_consistently(scene: Scene) -> Expected:
    cut_to(scene, scene.firm.sizes[1] - 40)
    return Expected(kind="ROLLBACK")


@way("the tail behind the newest checkpoint is cut off; head, rows, digests and tiles agree", "every table", (12,),
     "receipts", "superuser: all that follows from the tail is taken back", blind=("open", "incremental"))  # fmt: skip
def an_unsealed_tail_cut(scene: Scene) -> Expected:
    cut_to(scene, scene.firm.sizes[1])
    checkpoints_of(scene.firm.a, scene.region)
    return Expected(kind="TRUNCATED")


@way("chain, tree and rows are rewritten, and the checkpoints of before stand beside them", "every table", (7,),
     "open", "superuser: the whole database built anew; checkpoints copied", also=("full --policy",))  # fmt: skip
def a_rewrite_with_the_old_checkpoints(scene: Scene) -> Expected:
    forged(scene, FORGED["forged price"][1])
    checkpoints_of(scene.firm.a, scene.region)
    return Expected(kind="TREE_MISMATCH")


@way("the whole ledger is replaced by another one of the same name", "every table", (15,), "open",
     "operator: a new chain with the same origin and other keys", also=("full --policy", "incremental"),
     otherwise={"full --policy": Expected(kind="QUORUM_UNMET"), "incremental": Expected(
         kind="CHAIN_MISMATCH", table="chains", column="chain_id")})  # fmt: skip
def another_ledger_of_this_name(scene: Scene) -> Expected:
    region = scene.look_at(scene.empty())
    create_chain(region.dsn("owner"), ORIGIN, (), [("writer", "engine")])
    with Ledger.open(region.dsn("writer")) as ledger:
        fill(ledger)
        for n in range(20):
            ledger.append(fee(f"n{n}"), key=f"n{n}")
    return Expected(kind="ROLLBACK")


@way("the whole ledger is replaced by one of another name", "every table", (15,), "full --policy",
     "operator: a new chain of another origin", also=("open",))  # fmt: skip
def a_ledger_of_another_name(scene: Scene) -> Expected:
    region = scene.look_at(scene.empty())
    create_chain(region.dsn("owner"), "example.com/another", (), [("writer", "engine")])
    with Ledger.open(region.dsn("writer")) as ledger:
        fill(ledger)
    return Expected(status=4, says="example.com/another")


@way("the whole ledger is deleted, and its schema stays", "every table", (15,), "full", "operator: an empty database",
     also=("open",))  # fmt: skip
def an_empty_database(scene: Scene) -> Expected:
    scene.look_at(scene.empty())
    return Expected(status=4, says="chain")


@way("two chains change places in every table", "chains.chain", (15,), "full --policy",
     "superuser: every row of one has the number of the other")  # fmt: skip
def two_chains_swapped(scene: Scene) -> Expected:
    region = scene.region
    create_chain(region.dsn("owner"), "example.com/another", (), [("writer", "engine")])
    intruder = scene.intruder(region)
    for table in (*BY_CHAIN, *KEPT):
        intruder.edit(table, f"UPDATE ledger.{table} SET chain = CASE chain WHEN 1 THEN 1001 ELSE 1002 END;"
                      f"UPDATE ledger.{table} SET chain = CASE chain WHEN 1001 THEN 2 ELSE 1 END")  # fmt: skip
    scene.words["origin"] = ORIGIN
    return Expected(kind="CHAIN_MISMATCH", table="chains", column="chain")


@way("the last event of a group is missing, as if its transaction had been applied in half", "events", (18,), "full",
     "superuser: the history ends inside a group; all hashes, rows and the head agree", also=("chain",))  # fmt: skip
def half_a_group(scene: Scene) -> Expected:
    history = scene.firm.events()
    end = next(x.seq for x in reversed(history) if x.group_size == 2 and x.group_index == 0)
    intruder, last = scene.intruder(), history[end - 1]
    intruder.edit("events", f"DELETE FROM ledger.events WHERE seq > {end}")
    intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET seq = %s, hash = %s, recorded_at = %s", end, last.hash,
                  last.recorded_at)  # fmt: skip
    return Expected(kind="GROUP_PARTIAL", seq=end)


@way("a group is said to have one event more than it has, and the chain is hashed again", "events.group_size", (18,),
     "chain", "superuser: the group size, and every hash behind it, made anew")  # fmt: skip
def a_group_that_is_not_whole(scene: Scene) -> Expected:
    history = scene.firm.events()
    seq = next(x.seq for x in history if x.seq > scene.firm.sizes[0] // 2 and x.group_size == 1)
    relink(scene.intruder(), history, seq, lambda x: msgspec.structs.replace(x, group_size=2))
    return Expected(kind="GROUP_PARTIAL", seq=seq)
