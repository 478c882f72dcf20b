"""
Hold the receipts that an engine kept against what is recorded now.

A receipt says that an event of this hash was recorded at this seq. It is in the engine's hands and not in the
ledger's, so it is the one witness of the events that no checkpoint covers yet. Against an archive each bundle of
entries is first shown to be in the tree of the signed root; against a database each event is hashed from its columns.
Receipts are read and checked some thousands at a time, so a file of any length takes the same memory.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

import msgspec
from blake3 import blake3

from ledger.archiving.layout import CHECKPOINT
from ledger.archiving.stores import Store, TooLong
from ledger.chain import entry as entries
from ledger.errors import LedgerError, ProofInvalid, UnknownFormat, shown
from ledger.evidence import note, tiles, tree
from ledger.evidence.policy import Policy
from ledger.evidence.tile_nodes import TileNodes
from ledger.evidence.tiles import HEIGHT, WIDTH, Tile
from ledger.evidence.tree import Node
from verifier import identity
from verifier.archive.unread import Noting, Unread, sentence
from verifier.reader import Reader
from verifier.report import BROKEN, VERIFIED, Finding, Findings, Report, SeenCheckpoint
from verifier.stored import Unreadable
from verifier.vouching import judge

TABLE: Final = "receipts"
CHUNK: Final = 10_000
LINE_LIMIT_BYTES: Final = 1_000_000

Tell = Callable[[str, int], None]


class KeptReceipt(msgspec.Struct, frozen=True):
    """
    What an engine was told of one group: its last event's seq, hash and recorded time, the line that says so, and the
    group's `first` seq where it says both.
    """

    line: int
    seq: int
    hash: bytes
    recorded_at: int | None
    first: int | None = None


class _Shape(msgspec.Struct):
    seq: int
    hash: str
    last_seq: int | None = None
    recorded_at: int | None = None


class Recorded(msgspec.Struct, frozen=True):
    """
    What is recorded at a seq now: the hash of its bytes, its recorded time, and the first seq of its group.
    """

    hash: bytes
    recorded_at: int
    first: int


class Holder(Protocol):
    """
    What receipts are held against.
    """

    name: str
    size: int
    may_be_behind: bool
    """Whether what it has not got may be there elsewhere."""
    readable: bool
    """Whether it is known whose events these are, so that they can be hashed."""

    def recorded(self, seqs: Sequence[int]) -> dict[int, Recorded]:
        """
        Return what is recorded at each of these seqs, in order, that can be read.
        """

    def is_unread(self, seq: int) -> bool:
        """
        Whether what `recorded` was asked about *seq* is in a file that the store could not read.
        """


def read(lines: Iterable[bytes]) -> Iterator[KeptReceipt]:
    """
    Yield the receipts in a file of JSON lines; empty lines are passed over.

    Raises:
        Unreadable: a line is no receipt.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _decoded(number, line)


def _decoded(number: int, line: bytes) -> KeptReceipt:
    try:
        if len(line) > LINE_LIMIT_BYTES:
            raise UnknownFormat(f"it has {len(line)} bytes; at most {LINE_LIMIT_BYTES} are read")
        shape = msgspec.json.decode(line, type=_Shape)
        hashed = bytes.fromhex(shape.hash) if len(shape.hash) == 64 else note.decode_base64(shape.hash, "hash")
        seq = shape.seq if shape.last_seq is None else shape.last_seq
        if len(hashed) != 32 or not 1 <= shape.seq <= seq < 2**63:
            raise UnknownFormat(f"found seq {shape.seq}, last seq {seq} and a hash of {len(hashed)} bytes; expected "
                                "32, and seqs from 1 on, the last one last")  # fmt: skip
    except (LedgerError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        said = shown(line[:200].decode(errors="replace"))
        raise Unreadable(f"line {number} is no receipt: {error}; found {said}; nothing was verified") from error
    return KeptReceipt(number, seq, hashed, shape.recorded_at, None if shape.last_seq is None else shape.seq)


class ArchiveHolder:
    """
    An archive whose checkpoint was judged: an entry counts once its bundle is shown to be in the signed tree.
    """

    may_be_behind = True
    readable = True

    def __init__(self, store: Store, trust: Policy, findings: Findings) -> None:
        """
        Raises:
            Unreadable: there is no archive, or its checkpoint is none.
        """
        signed = store.read(CHECKPOINT)
        if signed is None:
            raise Unreadable(f"{store.name} holds no {CHECKPOINT}; name the folder of an archive")
        try:
            judged = judge(trust, signed, "archive", CHECKPOINT)
        except UnknownFormat as error:
            raise Unreadable(f"{store.name}/{CHECKPOINT} is no checkpoint: {error}") from error
        findings.add(judged.findings)
        self.name, self.size, self.origin = f"the archive {store.name}", judged.stated.size, judged.stated.origin
        self.seen, self.trusted = judged.seen(), judged.sentences(trust)
        self._root, self._store, self._findings = judged.stated.root, Noting(store), findings
        self._unread: set[int] = set()
        """The numbers of the bundles that cannot be shown to be in the tree for want of a file that can be read."""
        self._nodes = TileNodes(self._tile)
        self._bundle: tuple[int, list[bytes] | None] = (-1, None)

    def recorded(self, seqs: Sequence[int]) -> dict[int, Recorded]:
        """Return what the entries at these seqs say; a bundle that is not in the signed tree says nothing."""
        found = {}
        for seq in seqs:
            number, place = divmod(seq - 1, WIDTH)
            if self._bundle[0] != number:
                self._bundle = (number, self._checked(number))
            if self._bundle[1] is not None:
                entry = self._bundle[1][place]
                with suppress(UnknownFormat):
                    said = entries.parse(entry)
                    found[seq] = Recorded(blake3(entry).digest(), said.recorded_at, seq - said.group_index)
        return found

    def is_unread(self, seq: int) -> bool:
        """Whether its bundle could not be read, or not a tile by which it is shown to be in the tree."""
        return (seq - 1) // WIDTH in self._unread

    @property
    def noted(self) -> Mapping[str, str]:
        """Return which files could not be read, and what the store said."""
        return self._store.noted

    def _tile(self, tile: Tile) -> bytes | None:
        # The archive may have grown since the tile was of this width: a wider one begins with it.
        wider = (Tile(tile.level, tile.number, width) for width in range(tile.width, WIDTH + 1))
        return next((data for data in map(self._store.read, (one.path() for one in wider)) if data is not None), None)

    def _checked(self, number: int) -> list[bytes] | None:
        """Return the entries of a bundle, once one proof shows all of them to be in the tree."""
        tile = tiles.leaf_tile(number, self.size)
        try:
            data = self._store.read(tile.bundle_path())
            if data is None:
                self._found("ARCHIVE_MISSING", "a file", "none", tile)
                return None
            found = tiles.decode_bundle(tile, data)
            leaves = [tree.leaf_hash(entry) for entry in found]
            proof = tree.prove_inclusion(self._reader(number, leaves), tile.start, self.size)
            tree.check_inclusion(leaves[0], tile.start, self.size, proof, self._root)
        except Unread:
            self._unread.add(number)
            return None
        except TooLong as error:
            self._found("BYTES_MODIFIED", "files of an archive", str(error), tile)
            return None
        except (UnknownFormat, ProofInvalid) as error:
            self._found("TREE_MISMATCH", f"entries of the tree with root {self._root.hex()}", str(error), tile)
            return None
        return found

    def _found(self, kind: str, expected: str, actual: str, tile: Tile) -> None:
        self._findings.add([Finding(kind, expected, actual, table="archive", key=(tile.bundle_path(),))])

    def _reader(self, number: int, leaves: list[bytes]) -> tree.ReadNodes:
        """
        Return what reads subtrees, those of bundle *number* from its own *leaves*.

        Its first leaf's proof has every other leaf of it under some hash, so it shows all of them at once.
        """
        above = self._nodes.of(self.size)

        def read(nodes: Sequence[Node]) -> list[bytes]:
            return [
                tiles.subtree_hash(leaves[(index << level) - number * WIDTH : (index + 1 << level) - number * WIDTH])
                if level <= HEIGHT and index >> HEIGHT - level == number else above([(level, index)])[0]
                for level, index in nodes
            ]  # fmt: skip

        return read


class DatabaseHolder:
    """
    The events table of one region, each event hashed from its columns.
    """

    name = "the database"

    def __init__(self, reader: Reader, findings: Findings) -> None:
        settled = identity.settle(reader)
        findings.add(settled.findings)
        self.readable = settled.readable
        self._reader, chain = reader, settled.chain
        # The head is the region's own word of it, and no receipt is false because that was set back.
        self.size, self.origin = reader.last_seq() or 0, chain.origin
        if chain.seq != self.size:
            findings.add([Finding("HEAD_MISMATCH", str(self.size), str(chain.seq), table="chain_heads",
                                  key=(chain.origin,), column="seq")])  # fmt: skip
        self.may_be_behind = chain.mode == "replica"

    def recorded(self, seqs: Sequence[int]) -> dict[int, Recorded]:
        """Return what the rows at these seqs hash to; a row that no entry can be made of says nothing."""
        found = {}
        for event in self._reader.events_at(seqs):
            with suppress(LedgerError):
                hashed = blake3(entries.encode(event)).digest()
                found[event.seq] = Recorded(hashed, event.recorded_at, event.seq - event.group_index)
        return found

    def is_unread(self, seq: int) -> bool:
        """Return that it is not: a database that cannot be read ends the verification."""
        return False


def verify(
    receipts: Iterable[KeptReceipt], holders: Sequence[ArchiveHolder | DatabaseHolder], findings: Findings, tell: Tell
) -> Report:
    """
    Return the report on *receipts*, each held against every one of *holders*, the first of which names the chain.

    Raises:
        Unreadable: there is no receipt, a line is none, the holders are of two chains, or nothing is wrong but that
            some receipts are newer than all of them and each may be behind, or in files that cannot be read.
    """
    began, count, newer, late, unread = time.monotonic(), 0, 0, 0, 0
    if len({holder.origin for holder in holders}) > 1:
        raise Unreadable(f"found {' and '.join(f'{x.name} of {x.origin}' for x in holders)}; expected one chain")
    longest = max(holder.size for holder in holders)
    everything = iter(receipts)
    while chunk := sorted(itertools.islice(everything, CHUNK), key=lambda receipt: receipt.seq):
        for holder in holders:
            inside = [receipt for receipt in chunk if receipt.seq <= holder.size]
            if not holder.readable:
                continue
            recorded = holder.recorded(sorted({receipt.seq for receipt in inside}))
            readable = [receipt for receipt in inside if not holder.is_unread(receipt.seq)]
            unread += len(inside) - len(readable)
            findings.add(wrong for receipt in readable for wrong in _held(receipt, recorded.get(receipt.seq), holder))
            newer += sum(holder.size < receipt.seq <= longest for receipt in chunk)
        beyond = [receipt for receipt in chunk if receipt.seq > longest]
        if all(holder.may_be_behind for holder in holders):
            late += len(beyond)
        else:
            findings.add(_beyond(receipt, longest) for receipt in beyond)
        count += len(chunk)
        tell("checking receipts", count)
    if not count:
        raise Unreadable("the file has no receipts, so there is nothing to verify")
    archives = [holder for holder in holders if isinstance(holder, ArchiveHolder)]
    found = findings.all(None)
    said = (
        f"{late} receipts that are newer than the {longest} events here: the end was cut off, or has not got there yet"
    )
    noted = {path: said for holder in archives for path, said in holder.noted.items()}
    closed = f"{unread} receipts of events that could not be read in the archive: {sentence(noted)}"
    if unread and not found:
        raise Unreadable(f"found {closed}; see that it can be read, or take another copy")
    if late and not found:
        raise Unreadable(f"found {said}; archive again, or name the primary's database with --dsn too; the other "
                         f"{count - late} are as they were")  # fmt: skip
    seen: list[SeenCheckpoint] = [holder.seen for holder in archives]
    names = " and ".join(holder.name for holder in holders if holder.readable)
    not_covered = [
        "what the receipts say nothing of: verify the archive or the database as a whole",
        "that the engine kept every receipt",
    ]
    not_covered += [
        f"any receipt against {holder.name}: whose events these are is not known" for holder in holders
        if not holder.readable
    ]  # fmt: skip
    if unread:
        not_covered.append(closed)
    if late:
        not_covered.append(said)
    if newer:
        not_covered.append(f"{newer} receipts that are newer than one of these, which the other alone was asked about")
    if not archives:
        not_covered.append("any signature: the database's own word was asked; give --archive and --policy")
    return Report(
        BROKEN if found else VERIFIED, holders[0].origin, TABLE, count, {"seq": longest}, found, {},
        [f"seqs, hash and recorded time of each receipt, against {names}"] if names else [], not_covered, [], 0,
        round(time.monotonic() - began, 3), checkpoints=seen,
        trusted=[line for holder in archives for line in holder.trusted], spans=[],
    )  # fmt: skip


def _held(receipt: KeptReceipt, recorded: Recorded | None, holder: Holder) -> Iterator[Finding]:
    place = {"table": TABLE, "key": (f"line {receipt.line}",), "seq": receipt.seq}
    if recorded is None:
        expected = f"event {receipt.seq} of hash {receipt.hash.hex()}"
        yield Finding("RECEIPT_MISMATCH", expected, f"none that can be read in {holder.name}", **place)  # type: ignore[arg-type]
    elif recorded.hash != receipt.hash:
        actual = f"{recorded.hash.hex()} in {holder.name}"
        yield Finding("RECEIPT_MISMATCH", receipt.hash.hex(), actual, column="hash", **place)  # type: ignore[arg-type]
    elif receipt.recorded_at not in (None, recorded.recorded_at):
        expected, actual = str(receipt.recorded_at), f"{recorded.recorded_at} in {holder.name}"
        yield Finding("RECEIPT_MISMATCH", expected, actual, column="recorded_at", **place)  # type: ignore[arg-type]
    elif receipt.first not in (None, recorded.first):
        expected = f"a group from {receipt.first} to {receipt.seq}"
        actual = f"one that begins at {recorded.first} in {holder.name}"
        yield Finding("RECEIPT_MISMATCH", expected, actual, column="seq", **place)  # type: ignore[arg-type]


def _beyond(receipt: KeptReceipt, size: int) -> Finding:
    return Finding(
        "TRUNCATED", f"event {receipt.seq} of hash {receipt.hash.hex()}", f"{size} events: the end was cut off, or has "
        "not got there yet", seq=receipt.seq, table=TABLE, key=(f"line {receipt.line}",),
    )  # fmt: skip
