"""
Alter or age the copy in the other region, and what was taken away from the ledger: proofs and receipts.
"""

from __future__ import annotations

import json
from typing import Final

import msgspec

from ledger.evidence import proof_file
from tests.conftest import ORIGIN
from tests.tamper.forging import relink
from tests.tamper.scene import Scene
from tests.tamper.way import Expected, way
from tests.tamper.ways.events import trade

_B: Final = "superuser of region B: triggers off, UPDATE, triggers on again"


@way("an event is changed in region B alone, and its hash is left", "events.actor, region B", (10,), "scrub", _B,
     also=("full", "chain"), blind=("diff",))  # fmt: skip
def an_event_changed_in_the_replica(scene: Scene) -> Expected:
    seq, region = trade(scene), scene.look_at(scene.copy(scene.firm.b))
    scene.words["other"] = scene.firm.a.dsn("auditor")
    scene.intruder(region).edit("events", f"UPDATE ledger.events SET actor = 'nobody' WHERE seq = {seq}")
    return Expected(kind="BYTES_MODIFIED", seq=seq, column="actor")


@way("an event is deleted in region B alone", "events, region B", (10,), "scrub", _B, also=("full", "chain"))
def an_event_deleted_in_the_replica(scene: Scene) -> Expected:
    seq, region = trade(scene), scene.look_at(scene.copy(scene.firm.b))
    scene.intruder(region).edit("events", f"DELETE FROM ledger.events WHERE seq = {seq}")
    return Expected(seq=seq)


@way("the newest events of region B are others, hashed again", "events.actor, region B", (10,), "diff",
     "superuser of region B: the event, and every hash from it to the head, made anew", also=("receipts",),
     otherwise={"receipts": Expected(kind="RECEIPT_MISMATCH", table="receipts")})  # fmt: skip
def another_tail_in_the_replica(scene: Scene) -> Expected:
    seq, region = scene.firm.head - 1, scene.look_at(scene.copy(scene.firm.b))
    scene.words["other"] = scene.firm.a.dsn("auditor")
    relink(scene.intruder(region), scene.firm.events(), seq, lambda x: msgspec.structs.replace(x, actor="nobody"))
    return Expected(seq=seq)


@way("region B serves an old copy of itself", "every table, region B", (10, 13), "open",
     "operator of region B: a backup of the first checkpoint is shown")  # fmt: skip
def an_old_replica(scene: Scene) -> Expected:
    # The backup is region A's; who serves an old copy can say of it that it is a replica's.
    assert scene.firm.then is not None
    scene.look_at(scene.copy(scene.firm.then))
    return Expected(kind="ROLLBACK")


@way("a tile is changed in region B alone", "tiles.hashes, region B", (10,), "open", _B, also=("scrub", "full"))
def a_tile_changed_in_the_replica(scene: Scene) -> Expected:
    region = scene.look_at(scene.copy(scene.firm.b))
    scene.intruder(region).edit("tiles", "UPDATE ledger.tiles SET hashes = overlay(hashes placing sha256('x') from 33) "
                                "WHERE level = 1 AND number = 0")  # fmt: skip
    # No checkpoint is kept in region B: what witnesses have seen is another root, for one hash that is not its tile's.
    return Expected(kind="TREE_MISMATCH", table="tiles", key=("1", "0"), column="hashes[1]")


@way("the content beside a proof is another", "event.json", (10, 16), "proof", "anybody: one digit of the payload file")
def the_content_of_a_proof(scene: Scene) -> Expected:
    path = scene.file("payload")
    shape = json.loads(path.read_text())
    shape["payload"] = shape["payload"].replace('"0.02"', '"0.03"')
    path.write_text(json.dumps(shape))
    return Expected(kind="PAYLOAD_MISMATCH")


@way("another content stands in front of the true one in the file beside a proof", "event.json", (10, 16), "proof",
     "anybody: a second member called payload")  # fmt: skip
def another_content_first(scene: Scene) -> Expected:
    path = scene.file("payload")
    path.write_text(path.read_text().replace("{", '{"payload": "another",', 1))
    return Expected(status=4, says="more than once")


@way("a proof is said to be of another event", "event.tlog-proof", (10,), "proof", "anybody: the index in the file")
def the_index_of_a_proof(scene: Scene) -> Expected:
    path = scene.file("proof")
    proof = proof_file.decode(path.read_bytes())
    path.write_bytes(path.read_bytes().replace(b"index %d\n" % proof.index, b"index %d\n" % (proof.index + 1)))
    return Expected(kind="TREE_MISMATCH")


@way("the checkpoint in a proof is of a larger tree than was signed", "event.tlog-proof", (9, 10), "proof",
     "anybody: the size in the file")  # fmt: skip
def the_checkpoint_of_a_proof(scene: Scene) -> Expected:
    path = scene.file("proof")
    size = scene.firm.sizes[-1]
    path.write_bytes(path.read_bytes().replace(f"{ORIGIN}\n{size}\n".encode(), f"{ORIGIN}\n{size + 1}\n".encode()))
    return Expected(kind="CHECKPOINT_SIG")


@way("the auditor's policy has a second quorum line", "policy", (9,), "full --policy", "somebody who edits the policy",
     also=("archive", "script", "open"))  # fmt: skip
def a_policy_with_two_quorums(scene: Scene) -> Expected:
    with scene.file("policy").open("a") as file:
        file.write("quorum none\n")
    return Expected(status=4, says="quorum")


@way("a witness is listed twice in the auditor's policy, so that it would count twice", "policy", (9, 14),
     "full --policy", "somebody who edits the policy", also=("archive", "script", "open"))  # fmt: skip
def a_policy_with_a_witness_twice(scene: Scene) -> Expected:
    path = scene.file("policy")
    lines = path.read_text().splitlines()
    double = lines[1].replace("witness w0", "witness w9")
    path.write_text("\n".join([*lines[:4], double, *lines[4:], ""]))
    return Expected(status=4, says="twice")


@way("the auditor's policy is gone", "policy", (9,), "full --policy", "somebody who deletes the policy",
     also=("archive", "script", "open"))  # fmt: skip
def a_policy_that_is_gone(scene: Scene) -> Expected:
    scene.file("policy").unlink()
    return Expected(status=4, says="policy")
