"""
Name the targets that are files: archives of which one file is changed, and what a verification remembers.

An archive is verified whole, as an auditor does, after each change. It must never be verified with another content
than was written, and of what both read the script that shares no code with the verifier must say the same.
"""

from __future__ import annotations

import gzip
import importlib.util
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Final

import msgspec

from ledger.archiving.layout import CHAIN, CHECKPOINT
from ledger.archiving.stores import Folder
from ledger.errors import ProofInvalid
from ledger.evidence import checkpoint, note, policy, segments, tiles, tree
from ledger.evidence.tiles import Tile
from tests.archiving.chains import CHAIN_ID, ORIGIN, POLICY, silent
from tests.fuzz import examples
from tests.fuzz.targets import MIB, Target, Wrong
from verifier import receipts
from verifier.archive import verification
from verifier.archive.ranges import check_range
from verifier.archive.resuming import Kept, Task
from verifier.archive.verification import Wanted
from verifier.report import VERIFIED, Findings
from verifier.stored import Unreadable
from verifier.tiled import scrubbed
from verifier.tiled.archives import Archive
from verifier.tiled.scrubbed import Scrubbed
from verifier.walk import saved
from verifier.walk.layout import End
from verifier.walk.saved import Saved

SCRIPT: Final = Path(__file__).parents[2] / "examples" / "verify_archive.py"
SCRIPT_SAYS: Final = (OSError, LookupError, ValueError, zlib.error)
"""What the script takes for an answer: it prints these and ends with 3 or 4."""


def script() -> ModuleType:
    """
    Return the script for auditors as a module.
    """
    spec = importlib.util.spec_from_file_location("verify_archive", SCRIPT)
    if spec is None or spec.loader is None:
        raise Wrong(f"there is no {SCRIPT}")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


class Broken:
    """
    An archive in a folder, of which one file is changed at a time.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = examples.write_archive(folder, size)
        self.size = size
        self.signed = (folder / CHECKPOINT).read_bytes()
        self.root = checkpoint.decode_note(self.signed)[0].root
        self._script = script()
        self._seqs = [1, size]
        self._policy = self._script.read_policy(examples.POLICY_TEXT)

    def feeding(self, path: str, unpacked: Callable[[bytes], object] = bytes) -> Callable[[bytes], None]:
        """
        Return what puts an input in the place of the file at *path* and verifies; *unpacked* is what of it counts.
        """
        place = self.folder / path
        before = place.read_bytes()
        content = unpacked(before)

        def feed(data: bytes) -> None:
            place.write_bytes(data)
            try:
                verdict = self._verify()
                if path != CHECKPOINT and (content == unpacked(data)) != verdict:
                    raise Wrong(f"verified is {verdict}, and the content is {'' if verdict else 'not '}another")
                # The script leaves alone what else an archive has.
                if path.startswith(("tile/entries", "segment")) and self.by_the_script() != verdict:
                    raise Wrong(f"the verifier's verified is {verdict}, and the script says the contrary")
                # Read only in part, so that it may be content; it raises what it has to say, and nothing else.
                self._in_parts()
            finally:
                place.write_bytes(before)
            if not verdict:
                raise ProofInvalid("it was not verified")

        return feed

    def _verify(self) -> bool:
        report = verification.verify(str(self.folder), POLICY, silent, Wanted())
        if report.verdict == VERIFIED:
            stated = policy.check(POLICY, (self.folder / CHECKPOINT).read_bytes()).checkpoint
            if stated.root != tree.root_of(examples.read_nodes, stated.size):
                raise Wrong(f"verified with root {stated.root.hex()} of {stated.size}")
        return report.verdict == VERIFIED

    def _in_parts(self) -> None:
        store, findings = Folder(self.folder), Findings()
        holder = receipts.ArchiveHolder(store, POLICY, findings)
        for seq, found in holder.recorded([seq for seq in self._seqs if seq <= holder.size]).items():
            if seq <= self.size and found.hash != examples.EVENTS[seq - 1].hash and not len(findings):
                raise Wrong(f"event {seq} is said to have another hash")
        archive = Archive(store)
        archive.tile_hashes([Tile(0, 0, min(self.size, 256))])
        for event in archive.between(1, min(archive.size(), self.size)):
            if event.seq > self.size:
                raise Wrong(f"event {event.seq} of {self.size}")

    def by_the_script(self) -> bool:
        """
        Whether the script is content with the entries and payloads, under the checkpoint as it was.
        """
        try:
            self._script.check_entries(self.folder, ORIGIN, self.size, self.root)
        except SCRIPT_SAYS:
            return False
        return True

    def a_checkpoint(self, data: bytes) -> None:
        """Feed the script a checkpoint alone: its signatures take it a while."""
        alone = self.folder.with_name(f"{self.folder.name}.alone")
        alone.mkdir(exist_ok=True)
        (alone / CHECKPOINT).write_bytes(data)
        try:
            *said, wrong = self._script.check_checkpoint(alone, *self._policy)
        except SCRIPT_SAYS as error:
            raise ProofInvalid(f"the script says {error}") from error
        if wrong:
            raise ProofInvalid(f"the script says {wrong}")
        stated = policy.check(POLICY, data).checkpoint
        if said != [stated.origin, stated.size, stated.root]:
            raise Wrong(f"the script reads {said}")


def _unpacked(data: bytes) -> object:
    """Return what a segment holds, in one gzip member and no more, or what it is if it is none."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        whole = unpacker.decompress(data, 1 << 20)
    except zlib.error:
        return data, None
    return (whole, b"") if unpacker.eof and not unpacker.unused_data else (data, None)


def archives(folder: Path) -> list[Target]:
    """
    Return the targets that are files of archives, which are written into *folder*.
    """
    small, wide = Broken(folder / "small", examples.SMALL), Broken(folder / "wide", examples.WIDE)
    text = checkpoint.decode_note(small.signed)[0].text().encode()
    bundle, leaves = Tile(0, 0, examples.SMALL).bundle_path(), Tile(0, 0, examples.SMALL).path()
    segment = segments.path(Tile(0, 0, examples.SMALL))
    above = Tile(1, 0, 1).path()

    def example(archive: Broken, path: str) -> list[bytes]:
        return [(archive.folder / path).read_bytes()]

    def signed(changed: bytes) -> bytes:
        try:
            return examples.sealed(changed.decode())
        except (UnicodeDecodeError, note.UnknownFormat):
            return changed

    def bundled(changed: bytes) -> bytes:
        entries = [*examples.ENTRIES[:4], changed[: (1 << 16) - 1], *examples.ENTRIES[5 : examples.SMALL]]
        return tiles.encode_bundle(entries)

    unpacked = [examples.unpacked_segment()]
    return [
        Target("archive: checkpoint", [small.signed, *examples.checkpoints()], small.feeding(CHECKPOINT)),
        Target("archive: checkpoint, signed anew", [text], small.feeding(CHECKPOINT), signed),
        Target("archive: chain file", example(small, CHAIN), small.feeding(CHAIN)),
        Target("archive: bundle", example(small, bundle), small.feeding(bundle)),
        Target("archive: entry in its bundle", examples.ENTRIES[4:5], small.feeding(bundle), bundled),
        Target("archive: tile", example(small, leaves), small.feeding(leaves)),
        Target("archive: segment", [*example(small, segment), *examples.bombs()], small.feeding(segment, _unpacked),
               memory_bytes=160 * MIB),
        Target("archive: segment, packed anew", unpacked, small.feeding(segment, _unpacked),
               lambda data: gzip.compress(data, 1)),
        Target("archive of two bundles: bundle", example(wide, Tile(0, 0).bundle_path()),
               wide.feeding(Tile(0, 0).bundle_path())),
        Target("archive of two bundles: tile above", example(wide, above), wide.feeding(above)),
        Target("script for archives: checkpoint", [small.signed], small.a_checkpoint),
        Target("script for archives: checkpoint, signed anew", [text], small.a_checkpoint, signed),
    ]  # fmt: skip


def states(folder: Path) -> list[Target]:
    """
    Return the targets that are what a verification remembers, in files of *folder*.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / "state"
    last = examples.EVENTS[6]
    end = End(7, 1, last.prev_hash, last.hash, last.recorded_at, (last.group_id, 0, 1), b"")
    hashes = examples.read_nodes(tree.complete_nodes(0, 7))
    walked = msgspec.json.encode(Saved(saved.FORMAT, ORIGIN, CHAIN_ID, end, hashes))
    round_of = msgspec.json.encode(Scrubbed(ORIGIN, CHAIN_ID.hex(), 1, 3, broken=[1, 2], size=900, hash="00"))
    task = Task("here", "00" * 32, 0, 3)
    archive = examples.write_archive(folder / "archive", examples.SMALL)
    stated, _ = checkpoint.decode_note((archive / CHECKPOINT).read_bytes())
    done = msgspec.json.encode(check_range(str(archive), stated, CHAIN_ID, range(1)))

    def a_walk(data: bytes) -> None:
        place.write_bytes(data)
        saved.read(place)

    def a_round(data: bytes) -> None:
        place.write_bytes(data)
        scrubbed.read(place)

    def a_resumption(data: bytes) -> None:
        place.write_bytes(data)
        kept = Kept(place, task)
        for first in kept.firsts:
            if kept.take(first) is None:
                raise Unreadable("it was there")

    return [
        Target("state of a walk", [walked], a_walk),
        Target("state of a scrub", [round_of], a_round),
        Target("state of an archive's verification", [msgspec.json.encode(task) + b"\n" + done + b"\n"], a_resumption),
    ]
