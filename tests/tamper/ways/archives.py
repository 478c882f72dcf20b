"""
Touch the files of an archive: entries, payloads, tiles, checkpoints, the policy in it, all of it.
"""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import Final

from ledger.archiving.stores import Folder
from ledger.archiving.writer import Archive
from ledger.evidence import checkpoint, note
from ledger.evidence.note import ED25519, SigningKey
from ledger.storage import database as db
from ledger.storage import events, evidence
from tests.archiving import chains as made_up
from tests.conftest import ORIGIN, Database
from tests.sealing.logs import WITNESSES
from tests.sealing.regions import NOBODY, sealing, signer
from tests.tamper.firm import members_of
from tests.tamper.firm import witness as serving
from tests.tamper.scene import Scene
from tests.tamper.way import Caught, Expected, refused, way
from tests.tamper.ways.checkpoints import sealed_with_the_stolen_key
from tests.tamper.ways.consistent import FORGED, forged

_HOW: Final = "who can write where the archive is"
BUNDLE: Final = "tile/entries/001"
SEGMENT: Final = "segment/001"


def flip(path: Path, place: int) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@way("one bit of an entry rots", BUNDLE, (3, 10), "archive", _HOW, also=("script", "fsck"))
def an_archived_entry(scene: Scene) -> Expected:
    flip(scene.archive() / BUNDLE, 5000)
    return Expected(kind="TREE_MISMATCH", table="archive")


@way("a name in an entry is another", BUNDLE, (4, 10), "archive", _HOW, also=("script", "fsck"))
def an_archived_actor(scene: Scene) -> Expected:
    path = scene.archive() / BUNDLE
    path.write_bytes(path.read_bytes().replace(b"trader-7", b"trader-8", 1))
    return Expected(kind="TREE_MISMATCH", table="archive")


def repacked(path: Path, old: bytes, new: bytes) -> None:
    """Change what a segment holds, and pack it again."""
    content = gzip.decompress(path.read_bytes())
    assert old in content
    path.write_bytes(gzip.compress(content.replace(old, new, 1)))


@way("an amount in a payload is another", SEGMENT, (6, 10), "archive", _HOW, also=("script",))
def an_archived_payload(scene: Scene) -> Expected:
    repacked(scene.archive() / SEGMENT, b'"0.02"', b'"0.03"')
    return Expected(kind="PAYLOAD_MISMATCH")


@way("a payload is blanked, to hide it", SEGMENT, (16,), "archive", _HOW, also=("script",))
def an_archived_payload_blanked(scene: Scene) -> Expected:
    path = scene.archive() / SEGMENT
    content = gzip.decompress(path.read_bytes())
    start = content.index(b'{"derived"')
    end = content.index(b'"given"', start)
    path.write_bytes(gzip.compress(content[:start] + b" " * (end - start) + content[end:]))
    return Expected(kind="PAYLOAD_MISMATCH")


@way("the payloads of 256 events are gone, to hide them", SEGMENT, (16,), "archive", _HOW, also=("script",))
def archived_payloads_gone(scene: Scene) -> Expected:
    (scene.archive() / SEGMENT).unlink()
    return Expected(kind="ARCHIVE_MISSING")


@way("a segment unpacks to a thousand times what its entries say", SEGMENT, (3, 10), "archive", _HOW, also=("script",))
def a_zip_bomb(scene: Scene) -> Expected:
    path = scene.archive() / SEGMENT
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bytes(100_000_000)))
    return Expected(kind="PAYLOAD_MISMATCH")


@way("a file is cut in the middle", BUNDLE, (3, 10), "archive", _HOW, also=("script", "fsck"))
def an_archived_file_cut(scene: Scene) -> Expected:
    path = scene.archive() / BUNDLE
    path.write_bytes(path.read_bytes()[:9000])
    return Expected(kind="BYTES_MODIFIED")


@way("a hash of a tile is another", "tile/0/001", (3, 10), "archive", _HOW, also=("fsck",))
def an_archived_tile(scene: Scene) -> Expected:
    flip(scene.archive() / "tile/0/001", 40)
    return Expected(kind="TREE_MISMATCH", table="archive", key=("tile/0/001",), column="hash 1")


@way("the root in the checkpoint is another", "checkpoint", (9, 10), "archive", _HOW, also=("script", "fsck"))
def an_archived_root(scene: Scene) -> Expected:
    path = scene.archive() / "checkpoint"
    lines = path.read_text().split("\n")
    lines[2] = note.encode_base64(bytes(32))
    path.write_text("\n".join(lines))
    return Expected(kind="CHECKPOINT_SIG")


@way("the newest checkpoint is replaced by an older one", "checkpoint", (10, 12, 13), "archive", _HOW,
     also=("archive --expect",))  # fmt: skip
def an_older_archived_checkpoint(scene: Scene) -> Expected:
    folder = scene.archive()
    shutil.copy(folder / "checkpoints" / str(scene.firm.sizes[0]), folder / "checkpoint")
    return Expected(kind="ROLLBACK")


@way("the archive is cut back to an older checkpoint, and nothing newer is left in it", "archive", (12, 13),
     "archive --expect", _HOW, also=("receipts --archive",), blind=("archive",),
     otherwise={"receipts --archive": Expected(status=4, says="receipts that are newer than")})  # fmt: skip
def an_archive_cut_back(scene: Scene) -> Expected:
    an_older_archived_checkpoint(scene)
    (scene.folder / "archive" / "checkpoints" / str(scene.firm.sizes[1])).unlink()
    return Expected(kind="ROLLBACK")


@way("the archive says that it is of another chain", "chain.json", (15,), "archive", _HOW)
def another_archived_chain(scene: Scene) -> Expected:
    path = scene.archive() / "chain.json"
    path.write_text(path.read_text().replace(scene.firm.chain_id.hex(), "00" * 16))
    return Expected(kind="BYTES_MODIFIED", key=("chain.json",), column="chain_id")


@way("the archive of another ledger stands in its place", "archive", (15,), "archive", _HOW, also=("script",))
def an_archive_of_another_ledger(scene: Scene) -> Expected:
    folder, history = scene.folder / "other", made_up.chain(300)
    Archive(Folder(folder), made_up.CHAIN_ID, made_up.ORIGIN).extend(
        made_up.signed(history, 300), made_up.reader(history), made_up.POLICY_TEXT, made_up.silent
    )
    scene.words["archive"] = str(folder)
    return Expected(status=4, says="the policy is for other logs")


@way("the archive is gone", "archive", (15, 16), "archive", _HOW, also=("script",))
def an_archive_that_is_gone(scene: Scene) -> Expected:
    shutil.rmtree(scene.archive())
    return Expected(status=4, says="holds no checkpoint")


@way("the policy in the archive is replaced, and the checkpoint signed by whom it now trusts", "policy, checkpoint",
     (9,), "archive", _HOW, also=("script",))  # fmt: skip
def an_archived_policy(scene: Scene) -> Expected:
    folder = scene.archive()
    key = SigningKey(ORIGIN, ED25519, bytes([67]) * 32)
    stated, _ = checkpoint.decode_note((folder / "checkpoint").read_bytes())
    (folder / "policy").write_text(f"log {key.verifier.text()}\nquorum none\n")
    signed = note.with_signatures(stated.text(), (key.sign(stated.text()),))
    (folder / "checkpoint").write_bytes(signed.encode())
    return Expected(kind="CHECKPOINT_SIG")


def archived(scene: Scene, region: Database) -> Path:
    """Have an archive verified that was made of what *region* holds and has sealed."""
    with db.connect(region.dsn("reader"), "tamper") as connection:
        row = evidence.newest(connection, 1)
        assert row is not None
        history = list(events.read(connection, 1, scene.firm.chain_id, 0, row.size))
    folder = scene.folder / "forged"
    Archive(Folder(folder), scene.firm.chain_id, ORIGIN).extend(
        row.note, made_up.reader(history), scene.firm.policy_text().encode(), made_up.silent
    )
    scene.words["archive"] = str(folder)
    return folder


@way("the archive is made anew of a whole other history, and signed with the stolen key", "archive", (8,), "archive",
     "operator with the signing key, without witnesses", also=("script", "archive --expect"))  # fmt: skip
def a_forged_archive(scene: Scene) -> Expected:
    archived(scene, sealed_with_the_stolen_key(scene))
    return Expected(kind="QUORUM_UNMET")


@way("the archive is made anew of a whole other history that every witness cosigned", "archive", (8, 14),
     "archive --expect", "operator with the signing key, and witnesses who look away",
     blind=("archive", "script"))  # fmt: skip
def a_forged_archive_with_every_witness(scene: Scene) -> Expected:
    cosigned_by_all(scene)
    archived(scene, scene.region)
    return Expected(kind="CHECKPOINT_INCONSISTENT")


def cosigned_by_all(scene: Scene) -> tuple[str, ...]:
    """Have a whole other history verified that the log signed and every witness cosigned, as if they knew no other."""
    forged(scene, FORGED["forged deposit"][1])
    folder = scene.folder / "collusion"
    folder.mkdir()
    urls = tuple(scene.stack.enter_context(serving(folder, key)) for key in WITNESSES)
    place = scene.stack.enter_context(signer(folder))
    with sealing(scene.region, place, NOBODY, members_of(urls)) as sealer:
        sealer.seal()
    scene.words["signer"] = place.address
    return urls


@way("an event that was archived is changed in the database, hashed again, and the archive extended", "events", (7,),
     "archiver", "superuser; then `tradeledger archive`")  # fmt: skip
def an_archive_extended_with_another_history(scene: Scene) -> Caught:
    folder = scene.archive()
    shutil.copy(folder / "checkpoints" / str(scene.firm.sizes[0]), folder / "checkpoint")
    forged(scene, FORGED["forged deposit"][1])
    history = scene.firm.events(scene.region)
    signed = (scene.firm.folder / f"kept.{scene.firm.sizes[1]}.checkpoint").read_bytes()

    def extended() -> None:
        Archive(Folder(folder), scene.firm.chain_id, ORIGIN).extend(
            signed, made_up.reader(history), scene.firm.policy_text().encode(), made_up.silent
        )

    return refused(extended)
