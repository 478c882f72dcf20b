"""
Change the tree and what was signed of it, steal the signing key, show two histories to two witnesses.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from typing import Final

from ledger.evidence import checkpoint, note
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import SigningKey
from ledger.evidence.witness import Evidence
from ledger.sealing.places import Place
from ledger.storage import database as db
from tests.conftest import ORIGIN, Database
from tests.sealing.logs import WITNESSES
from tests.sealing.regions import LOG_KEY, NOBODY, sealing, signer
from tests.tamper.firm import append, members_of, trading
from tests.tamper.firm import witness as serving
from tests.tamper.scene import Scene
from tests.tamper.way import Caught, Expected, Unexpected, refused, way
from tests.tamper.ways.consistent import FORGED, forged

_ROW: Final = "superuser: triggers off, UPDATE, triggers on again"
_STOLEN: Final = "superuser who has the signing key: the whole database built anew, sealed with the key"


@way("a leaf of the tree is another", "tiles.hashes", (3, 7), "scrub", _ROW, also=("full", "sample"))
def a_leaf_changed(scene: Scene) -> Expected:
    scene.intruder().edit("tiles", "UPDATE ledger.tiles SET hashes = overlay(hashes placing sha256('x') from 225) "
                          "WHERE level = 0 AND number = 1")  # fmt: skip
    return Expected(kind="TREE_MISMATCH")


@way("a hash above the leaves is another", "tiles.hashes", (3, 7), "open", _ROW, also=("full", "scrub", "sample"))
def an_upper_hash_changed(scene: Scene) -> Expected:
    scene.intruder().edit("tiles", "UPDATE ledger.tiles SET hashes = overlay(hashes placing sha256('x') from 33) "
                          "WHERE level = 1 AND number = 0")  # fmt: skip
    return Expected(kind="TREE_MISMATCH")


@way("a tile is deleted", "tiles", (3, 7), "scrub", "superuser: triggers off, DELETE", also=("full",))
def a_tile_deleted(scene: Scene) -> Expected:
    scene.intruder().edit("tiles", "DELETE FROM ledger.tiles WHERE level = 0 AND number = 1")
    return Expected(kind="TREE_MISMATCH")


@way("the root in a checkpoint's row is another", "checkpoints.root", (6, 9), "open", _ROW, also=("full",))
def a_root_changed(scene: Scene) -> Expected:
    scene.intruder().edit("checkpoints", "UPDATE ledger.checkpoints SET root = sha256('x') WHERE size = "
                          f"{scene.firm.sizes[-1]}")  # fmt: skip
    return Expected(kind="TREE_MISMATCH")


@way("a checkpoint's note is no note any more", "checkpoints.note", (6, 9), "open", _ROW, also=("full",))
def a_note_garbled(scene: Scene) -> Expected:
    scene.intruder().edit("checkpoints", "UPDATE ledger.checkpoints SET note = 'x' WHERE size = "
                          f"{scene.firm.sizes[-1]}")  # fmt: skip
    return Expected(kind="CHECKPOINT_SIG")


def put(scene: Scene, region: Database, size: int, root: bytes, *keys: SigningKey) -> None:
    """Store a checkpoint of that size and root, signed with these keys, in place of any of this size."""
    text = Checkpoint(ORIGIN, size, root).text()
    signed = note.with_signatures(text, tuple(key.sign(text) for key in keys)).encode().decode()
    intruder = scene.intruder(region)
    intruder.edit("checkpoints", "DELETE FROM ledger.checkpoints WHERE size = %s", size)
    intruder.edit("checkpoints", "INSERT INTO ledger.checkpoints VALUES (1, %s, %s, %s, 1)", size, root, signed)


@way("a checkpoint is forged without the key: signed with another", "checkpoints.note", (9,), "full",
     "superuser: a note of the true root, signed with a key of one's own", also=("full --policy",))  # fmt: skip
def a_checkpoint_signed_with_another_key(scene: Scene) -> Expected:
    stated, _ = checkpoint.decode_note((scene.firm.folder / f"kept.{scene.firm.sizes[-1]}.checkpoint").read_bytes())
    put(scene, scene.region, stated.size, stated.root, SigningKey(ORIGIN, note.ED25519, bytes([66]) * 32))
    return Expected(kind="CHECKPOINT_SIG", table="checkpoints", column="note")


@way("a row that no key has signed is put among the checkpoints by the sealer's login, where the next one belongs",
     "checkpoints", (9,), "full", "sealer: INSERT", also=("open", "incremental"))  # fmt: skip
def a_strange_checkpoint_row(scene: Scene) -> Expected:
    _strange(scene)
    return Expected(kind="CHECKPOINT_SIG", table="checkpoints", key=(str(scene.firm.head),), column="note")


@way("a row that no key has signed stands where the sealer would keep the head's checkpoint", "checkpoints", (9,),
     "seal", "sealer: INSERT, then `tradeledger seal`, which goes on with the next event")  # fmt: skip
def a_strange_checkpoint_row_at_the_sealer(scene: Scene) -> Caught:
    _strange(scene)
    with witnesses_of_one_s_own(scene, "w") as (_, urls), signer(scene.folder) as place:
        with sealing(scene.region, place, NOBODY, members_of(urls)) as sealer:
            caught = refused(sealer.seal)
        append(scene.region, trading(10_000, 1))
        with sealing(scene.region, place, NOBODY, members_of(urls)) as sealer:
            outcome = sealer.seal()
    if outcome is None or not outcome.is_new:
        raise Unexpected("the next event's checkpoint was not signed")
    return caught


def _strange(scene: Scene) -> None:
    """Put a row that no key has signed where the head's checkpoint would stand, by the login that may."""
    with db.connect(scene.region.dsn("sealer"), "tamper") as connection:
        connection.execute(
            f"INSERT INTO ledger.checkpoints VALUES (1, {scene.firm.head}, sha256('x'), 'x', 1)".encode()
        )


@way("a checkpoint of another root is forged with the stolen key, and the history is as it was", "checkpoints", (9,),
     "open", "superuser who has the signing key: one row", also=("full", "full --policy"))  # fmt: skip
def a_checkpoint_of_another_root(scene: Scene) -> Expected:
    put(scene, scene.region, scene.firm.sizes[-1], bytes(32), LOG_KEY)
    return Expected(kind="TREE_MISMATCH")


@way("a checkpoint of more events than there are is forged with the stolen key", "checkpoints", (9,), "open",
     "superuser who has the signing key: one row", also=("full",))  # fmt: skip
def a_checkpoint_beyond_the_head(scene: Scene) -> Expected:
    put(scene, scene.region, scene.firm.head + 100, bytes(32), LOG_KEY)
    return Expected(kind="TRUNCATED")


@way("what a revoked key signed of a larger tree than it may is taken for good", "checkpoints", (9,), "full --policy",
     "auditor: the policy has a line that revokes the key before the newest checkpoint")  # fmt: skip
def a_revoked_key(scene: Scene) -> Expected:
    policy = scene.file("policy")
    key = LOG_KEY.verifier.text()
    with policy.open("a") as file:
        file.write(f"revoked {key} {scene.firm.sizes[0] - 1}\n")
    return Expected(kind="CHECKPOINT_SIG", table="checkpoints")


def sealed_with_the_stolen_key(scene: Scene, change: str = "forged deposit") -> Database:
    """Have a whole other history verified, with a checkpoint that the log's own key signed."""
    forged(scene, FORGED[change][1])
    folder = scene.folder / "stolen"
    folder.mkdir()
    with signer(folder) as place, sealing(scene.region, place) as sealer:
        sealer.seal()
    return scene.region


@way("a whole other history is sealed with the stolen signing key", "every table", (8,), "open", _STOLEN,
     also=("full --policy", "full --expect"), otherwise={"full --policy": Expected(kind="QUORUM_UNMET")},
     blind=("full",))  # fmt: skip
def a_stolen_key(scene: Scene) -> Expected:
    sealed_with_the_stolen_key(scene)
    return Expected(kind="INCONSISTENT")


@contextlib.contextmanager
def witnesses_of_one_s_own(scene: Scene, name: str):  # type: ignore[no-untyped-def]
    """Serve the three witnesses from copies of their states, so that what they are asked here stays here."""
    folder = scene.folder / name
    shutil.copytree(scene.firm.folder / "witnesses", folder)
    with contextlib.ExitStack() as stack:
        yield folder, tuple(stack.enter_context(serving(folder, key)) for key in WITNESSES)


@way("the witnesses are asked to cosign a whole other history that the stolen key signed", "every table", (8, 14),
     "witness", _STOLEN)  # fmt: skip
def a_stolen_key_at_the_witnesses(scene: Scene) -> Caught:
    sealed_with_the_stolen_key(scene)
    folder = scene.folder / "again"
    folder.mkdir()
    with witnesses_of_one_s_own(scene, "w") as (states, urls), signer(folder) as place:
        caught = None
        with sealing(scene.region, place, NOBODY, members_of(urls)) as sealer:
            caught = refused(sealer.seal)
        left = [json.loads(path.read_bytes()) for path in states.glob("*.evidence/*.json")]
    if not left:
        raise Unexpected("no witness left evidence")
    for told in left:
        evidence = Evidence(told["older"].encode(), told["newer"].encode(), tuple(told["proof"]))
        assert evidence.older != evidence.newer
    return Caught(
        kind=caught.kind, said=f"{caught.said}; {len(left)} files of evidence: two signed notes, a failed proof"
    )


@way("the signer itself is asked to sign a whole other history", "every table", (7,), "signer",
     "superuser without the key: the whole database built anew, then `tradeledger seal`")  # fmt: skip
def another_history_at_the_signer(scene: Scene) -> Caught:
    forged(scene, FORGED["forged deposit"][1])
    with sealing(scene.region, Place(scene.firm.signer)) as sealer:
        return refused(sealer.seal)


@way("two witnesses are shown another history than the third", "witnesses", (14,), "open",
     "operator with the signing key: new witnesses, one sees this history, two the forged one")  # fmt: skip
def a_split_view(scene: Scene) -> Expected:
    ours, folder = scene.region, scene.folder / "fork"
    sealed_with_the_stolen_key(scene, "forged owner")
    fork = scene.region
    folder.mkdir()
    urls = tuple(scene.stack.enter_context(serving(folder, key)) for key in WITNESSES)
    nowhere = "http://127.0.0.1:9"
    for number, (region, shown) in enumerate(((ours, (urls[0], nowhere, nowhere)), (fork, (nowhere, *urls[1:])))):
        mine = folder / f"signer-{number}"
        mine.mkdir()
        with signer(mine) as place, sealing(region, place, NOBODY, members_of(shown)) as sealer:
            sealer.seal()
    policy = scene.folder / "split.policy"
    policy.write_text(scene.firm.policy_text(urls))
    scene.words["policy"] = str(policy)
    scene.look_at(ours)
    return Expected(kind="INCONSISTENT")
