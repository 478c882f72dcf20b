"""
Make the verifier lie, and break one of the two hashes: others reach the same root, and the other hash still holds.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from ledger.evidence import tiles
from ledger.evidence.tiles import Tile
from tests.tamper.firm import ROOT
from tests.tamper.scene import Scene
from tests.tamper.way import Expected, way
from tests.tamper.ways.archives import BUNDLE, SEGMENT, repacked

_LIAR: Final = (
    "import verifier.report; verifier.report.Findings.add = lambda findings, found: None; "
    "from verifier.cli import main; main()"
)
_INSIDER: Final = "insider: a verifier that finds nothing, and an archive that was changed"
_BROKEN: Final = "cryptanalysis: the script with one hash replaced by one that takes the forged entry for the true one"
_CHANGED: Final = Expected(kind="TREE_MISMATCH", table="archive", key=(BUNDLE,), column="leaf")
BUNDLE_TILE: Final = Tile(0, 1)


def _forged_entry(scene: Scene) -> tuple[bytes, bytes, int]:
    """Change one name in one entry of the archive; return the true entry, the forged one, and its seq."""
    path = scene.archive() / BUNDLE
    entries = tiles.decode_bundle(BUNDLE_TILE, path.read_bytes())
    place = next(n for n, entry in enumerate(entries) if b"trader-7" in entry)
    true, forged = entries[place], entries[place].replace(b"trader-7", b"trader-8")
    path.write_bytes(tiles.encode_bundle([*entries[:place], forged, *entries[place + 1 :]]))
    return true, forged, BUNDLE_TILE.start + place + 1


@way("the verifier is made to find nothing, and an entry of the archive is changed", "verifier, archive", (20,),
     "script", _INSIDER, also=("fsck",), blind=("liar",))  # fmt: skip
def a_lying_verifier(scene: Scene) -> Expected:
    _forged_entry(scene)
    scene.words["liar"] = _LIAR
    return Expected(says="does not follow")


@way("the verifier is made to find nothing, and a payload of the archive is changed", "verifier, archive", (20,),
     "script", _INSIDER, blind=("liar",))  # fmt: skip
def a_lying_verifier_of_payloads(scene: Scene) -> Expected:
    repacked(scene.archive() / SEGMENT, b'"0.02"', b'"0.03"')
    scene.words["liar"] = _LIAR
    return Expected(says="payload of event")


def _script(scene: Scene, old: str, new: str) -> None:
    """Have the archive verified by a copy of the stand-alone script in which *old* is *new*."""
    text = (ROOT / "examples" / "verify_archive.py").read_text()
    changed = re.sub(old, new, text)
    assert changed != text
    path = Path(scene.folder) / "verify_archive.py"
    path.write_text(changed)
    scene.words["script"] = str(path)


@way("BLAKE3 is broken: a forged entry has the hash of the true one", BUNDLE, (21,), "script", _BROKEN,
     also=("archive", "fsck"), otherwise={"archive": _CHANGED})  # fmt: skip
def blake3_broken(scene: Scene) -> Expected:
    true, forged, _ = _forged_entry(scene)
    weak = f"def blake3(data):\n    return strong(data.replace({forged!r}, {true!r}))"
    _script(
        scene,
        r"(?m)^from blake3 import blake3$",
        ("from blake3 import blake3 as strong\n\n\n" + weak).replace("\\", r"\\"),
    )
    return Expected(says="was signed")


@way("SHA-256 is broken: a forged entry has the leaf of the true one", BUNDLE, (21,), "script", _BROKEN,
     also=("archive",), otherwise={"archive": _CHANGED})  # fmt: skip
def sha256_broken(scene: Scene) -> Expected:
    true, forged, seq = _forged_entry(scene)
    weak = f'hashlib.sha256(b"\\0" + entry.replace({forged!r}, {true!r}))'
    _script(scene, r'hashlib\.sha256\(b"\\0" \+ entry\)', weak.replace("\\", r"\\"))
    return Expected(says=f"entry {seq + 1} was changed")
