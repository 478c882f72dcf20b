"""
Make real examples of every format: what the ledger, its signer, witnesses and archives write, of a small chain.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

from ledger.archiving.stores import Folder
from ledger.archiving.writer import Archive
from ledger.chain import acknowledgement, entry
from ledger.chain.acknowledgement import Acknowledgement
from ledger.chain.entry import RecordedEvent
from ledger.chain.signatures import KeyPair
from ledger.domain import snapshot_bytes
from ledger.evidence import note, segments, tiles, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.payload_file import PayloadFile
from ledger.evidence.proof_file import ProofFile
from ledger.evidence.segments import Segment
from ledger.evidence.tree import Node
from ledger.evidence.witness import Kept, Request
from replicator import segment as transported
from tests.archiving.chains import CHAIN_ID, KEY, ORIGIN, POLICY_TEXT, WITNESS, chain, reader, signed, silent

SMALL, WIDE = 7, 257
EVENTS = chain(WIDE, ends=(1, 3, SMALL, 255, 256, WIDE))
ENTRIES = [entry.encode(event) for event in EVENTS]
LEAVES = [tree.leaf_hash(one) for one in ENTRIES]
PUBLISHER = KeyPair("publisher", "region-a", bytes(31) + b"\x01")
REPLICA = KeyPair("replica", "region-b", bytes(31) + b"\x03")


def read_nodes(nodes: Sequence[Node]) -> list[bytes]:
    """Read subtrees of the tree over `EVENTS`."""
    return [tiles.subtree_hash(LEAVES[index << level : index + 1 << level]) for level, index in nodes]


def sealed(text: str) -> bytes:
    """
    Return the note that log and witness make of a text, whatever it says.
    """
    return note.with_signatures(text, (KEY.sign(text), WITNESS.sign(text, 1_700_000_001))).encode()


@cache
def checkpoints() -> list[bytes]:
    """Return checkpoints: of few and of many leaves, with and without a cosignature, and with fourteen more."""
    more = [note.SigningKey(f"w{number}", note.COSIGNATURE, bytes([number]) * 32) for number in range(2, 16)]
    text = Checkpoint(ORIGIN, SMALL, tree.root_of(read_nodes, SMALL)).text()
    many = note.with_signatures(text, (KEY.sign(text), *(key.sign(text, 1) for key in more))).encode()
    return [signed(EVENTS, SMALL), signed(EVENTS, WIDE), signed(EVENTS, 3, cosigned=False), many]


@cache
def policies() -> list[bytes]:
    """Return policies: the one that accepts these checkpoints, and one with groups of groups and revocations."""
    signers = [note.SigningKey(f"w{number}", note.COSIGNATURE, bytes([number]) * 32) for number in range(2, 6)]
    keys = [signer.verifier.text() for signer in signers]
    witnesses = "".join(f"witness w{place} {key} https://w{place}.example\n" for place, key in enumerate(keys))
    grouped = (
        f"# whom we trust\nlog {KEY.verifier.text()}\t https://log.example\n{witnesses}group two 2 w0 w1 w2\n"
        f"group both all two w3\nrevoked {keys[3]} 5\nquorum both\n"
    )
    return [POLICY_TEXT, grouped.encode()]


@cache
def proofs() -> list[bytes]:
    """Return proof files: with the entry and without, of a small and of a larger tree."""
    made = [
        ProofFile(index, tuple(tree.prove_inclusion(read_nodes, index, size)), signed(EVENTS, size))
        for index, size in ((4, SMALL), (200, WIDE))
    ]
    with_entries = [msgspec.structs.replace(one, extra=ENTRIES[one.index]) for one in made]
    return [one.encode() for one in (*with_entries, made[0])]


@cache
def payload_file(index: int = 4) -> bytes:
    """Return the payload file of one event."""
    return PayloadFile(ENTRIES[index], EVENTS[index].salt, EVENTS[index].payload).encode()


@cache
def requests() -> list[bytes]:
    """Return what a witness is asked: the first checkpoint, one that follows, and the same again."""
    grown = tuple(tree.prove_consistency(read_nodes, SMALL, WIDE))
    return [
        Request(0, (), signed(EVENTS, SMALL)).encode(),
        Request(SMALL, grown, signed(EVENTS, WIDE)).encode(),
        Request(SMALL, (), signed(EVENTS, SMALL)).encode(),
    ]


KEPT = Kept(SMALL, tree.root_of(read_nodes, SMALL), signed(EVENTS, SMALL))


def unpacked_segment(count: int = SMALL) -> bytes:
    """Return what a segment of an archive is before it is compressed."""
    return gzip.decompress(packed_segment(count))


@cache
def packed_segment(count: int = SMALL) -> bytes:
    """Return a segment of an archive."""
    events = EVENTS[:count]
    content = tuple((event.salt, event.payload) for event in events)
    return segments.encode(Segment(CHAIN_ID, 1, events[0].prev_hash, events[-1].hash, content))


SIZES = [len(event.payload) for event in EVENTS[:SMALL]]


def bombs() -> list[bytes]:
    """Return segments that unpack to far more than they say, alone and behind a good one, and members in a row."""
    good, more = packed_segment(), gzip.compress(bytes(1 << 24))
    return [more, good + more, good + good, gzip.compress(unpacked_segment() + bytes(1 << 24)), gzip.compress(more)]


def transported_events() -> tuple[RecordedEvent, ...]:
    return EVENTS[:3]


def transported_segment() -> bytes:
    """Return a segment as the publisher puts it on a topic."""
    events = transported_events()
    return transported.encode(
        transported.Segment(
            CHAIN_ID, 1, 1, 3, events[0].prev_hash, events[-1].hash, True, b"d" * 32, 1_700_000_000, PUBLISHER.key_id,
            events,
        ),
        PUBLISHER,
    )  # fmt: skip


def acknowledged() -> bytes:
    """Return an acknowledgement as a replica puts it on a topic."""
    said = Acknowledgement(CHAIN_ID, 1, 3, EVENTS[2].hash, b"d" * 32, 1_700_000_000, REPLICA.key_id)
    return acknowledgement.encode(said, REPLICA)


def write_archive(folder: Path, size: int) -> Path:
    """
    Write the archive of the first *size* events, extended in two steps where there is more than one bundle.
    """
    archive = Archive(Folder(folder), CHAIN_ID, ORIGIN)
    for step in (SMALL, size) if size > SMALL else (size,):
        archive.extend(signed(EVENTS, step), reader(EVENTS), POLICY_TEXT, silent)
    return folder


def snapshot() -> bytes:
    """Return rows of a snapshot before they are compressed: the pinned ones of each table that have no odd text."""
    pinned = json.loads((Path(__file__).parents[1] / "vectors" / "rows.json").read_text())
    first = {row["table"]: row["bytes"] for row in reversed(pinned)}
    return snapshot_bytes.MAGIC + "".join(f"{table} {row}\n" for table, row in first.items()).encode()


def receipts() -> bytes:
    """Return receipts as an engine keeps them, in both spellings of a hash."""
    return b"".join(
        msgspec.json.encode({"seq": event.seq, "hash": hashed, "recorded_at": event.recorded_at}) + b"\n"
        for event in EVENTS[:2]
        for hashed in (event.hash.hex(), note.encode_base64(event.hash))
    )
