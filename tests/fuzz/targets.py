"""
Name what is fed: each parser with its examples, and what has to hold of an input that it accepts.

A target returns where it accepts an input, raises a `LedgerError` where it refuses one, and raises `Wrong` where it
accepted what it must not: read as something that is not written as it was read, or verified though it was changed.
Inputs that are signed or compressed are fed both as they are and made anew around a changed inside, so that what is
behind a signature is reached too.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import zstandard
from blake3 import blake3

from ledger.chain import acknowledgement, entry, event_id, signatures
from ledger.chain.signatures import KeyPair
from ledger.domain import snapshot_bytes
from ledger.errors import ProofInvalid, UnknownFormat
from ledger.evidence import checkpoint, note, payload_file, policy, proof_file, segments, signer, tiles, tree, witness
from ledger.evidence.tiles import Tile
from ledger.evidence.witness import Answer, Evidence
from ledger.keyring import backup
from ledger.sealing import promises
from replicator import segment as transported
from tests.archiving.chains import KEY, ORIGIN, POLICY, WITNESS
from tests.fuzz import examples
from verifier import proof, receipts
from verifier.report import VERIFIED

NO_QUORUM: Final = policy.decode(b"quorum none\n")
MIB: Final = 1 << 20


class Wrong(Exception):
    """
    An input was accepted that is not what it was taken for.
    """


class Target(msgspec.Struct, frozen=True):
    """
    One parser: its name, real examples, what feeds it, and how much memory one input may take at its peak.

    `wrap` makes the input of what was changed: signs or packs it.
    """

    name: str
    examples: Sequence[bytes]
    feed: Callable[[bytes], None]
    wrap: Callable[[bytes], bytes] = bytes
    memory_bytes: int = 8 * MIB


def same(made: object, read: object) -> None:
    """
    Raise Wrong where what was read is not written as it was read.
    """
    if made != read:
        raise Wrong(f"it reads as {str(made)[:300]}")


def a_note(data: bytes) -> None:
    found = note.decode(data)
    same(found.encode(), data)
    note.verify(found, [KEY.verifier, WITNESS.verifier])


def a_checkpoint(data: bytes) -> None:
    stated, found = checkpoint.decode_note(data)
    same(stated.text(), found.text)
    same(found.encode(), data)
    policy.check(POLICY, data)


def a_key(data: bytes) -> None:
    text = data.decode("latin-1")
    same(note.read_key(text).text(), text)


def a_policy(data: bytes) -> None:
    trust = policy.decode(data)
    trust.is_met({witness.key.public_key for witness in trust.witnesses})
    trust.revoking(trust.revoked)
    policy.check(trust, examples.checkpoints()[0])


def a_proof(data: bytes) -> None:
    found = proof_file.decode(data)
    same(found.encode(), data)
    if found.extra is not None:
        report = proof.verify("a.tlog-proof", data, POLICY, None)
        if report.verdict == VERIFIED and found.extra != examples.ENTRIES[found.index]:
            raise Wrong(f"event {found.index + 1} is said to be {found.extra!r}")
    proof_file.check(found, examples.ENTRIES[4], POLICY)


def a_payload_file(data: bytes) -> None:
    found = payload_file.decode(data)
    same(payload_file.decode(found.encode()), found)
    report = proof.verify("a.tlog-proof", examples.proofs()[0], POLICY, data)
    if report.verdict == VERIFIED and found != payload_file.decode(examples.payload_file()):
        raise Wrong("another content is said to be the one that the entry names")


def a_segment(data: bytes) -> None:
    found = segments.decode(data, examples.SIZES)
    same([len(payload) for _, payload in found.events], examples.SIZES)


def a_tile(data: bytes) -> None:
    same(tiles.encode_tile(tiles.decode_tile(Tile(0, 0, examples.SMALL), data)), data)


def a_bundle(data: bytes) -> None:
    same(tiles.encode_bundle(tiles.decode_bundle(Tile(0, 0, examples.SMALL), data)), data)


def a_path(data: bytes) -> None:
    text = data.decode("latin-1")
    tile, entries = tiles.decode_path(text)
    same(tile.bundle_path() if entries else tile.path(), text)


def an_entry(data: bytes) -> None:
    fields = entry.parse(data)
    event = examples.EVENTS[4]
    same(entry.encode(entry.decode(data, event.hash, event.salt, event.payload)), data)
    event_id.recorded_at(fields.event_id)


def a_payload(data: bytes) -> None:
    derived, given = entry.split_payload(data)
    same(b'{"derived":' + derived + b',"given":' + given + b"}", data)


def _answered(said: Answer, least: int) -> None:
    if said.status not in (200, 400, 403, 404, 409, 422):
        raise Wrong(f"the answer is {said.status}")
    if said.keep is not None and said.keep.size < least:
        raise Wrong(f"it went back to {said.keep.size}")
    if said.evidence is not None:
        witness.convicts(msgspec.json.decode(said.evidence.encode(), type=_Shown).evidence(), [KEY.verifier])


class _Shown(msgspec.Struct):
    older: str
    newer: str
    proof: list[str]

    def evidence(self) -> Evidence:
        return Evidence(self.older.encode(), self.newer.encode(), ())


def a_request(data: bytes) -> None:
    logs = {ORIGIN: [KEY.verifier]}
    _answered(witness.answer({ORIGIN: examples.KEPT}, logs, data, WITNESS, 1), examples.SMALL)
    _answered(witness.answer({}, logs, data, WITNESS, 1), 0)
    _answered(signer.answer(examples.KEPT, data, KEY, NO_QUORUM), examples.SMALL)
    same(witness.decode_request(data).encode(), data)


def an_answer(data: bytes) -> None:
    for found in witness.decode_cosignatures(data):
        note.check_signature(TEXT, found, WITNESS.verifier)


def promised(data: bytes) -> None:
    kept = promises.decode(data)
    same(promises.decode(promises.encode(kept)), kept)


def a_key_file(data: bytes) -> None:
    pair = signatures.decode(data)
    same(signatures.decode(signatures.encode(pair)), pair)


def an_acknowledgement(data: bytes) -> None:
    found = acknowledgement.decode(data, examples.REPLICA.public_key)
    same(acknowledgement.encode(found, examples.REPLICA), data)


def a_transported_segment(data: bytes) -> None:
    found = transported.decode(data, examples.PUBLISHER.public_key)
    # The body is compressed, and there is more than one way to do that: what is unpacked counts.
    again = transported.decode(transported.encode(found, examples.PUBLISHER), examples.PUBLISHER.public_key)
    same(again, found)


def some_receipts(data: bytes) -> None:
    for found in receipts.read(data.splitlines(keepends=True)):
        same(len(found.hash), 32)


def a_snapshot(data: bytes) -> None:
    try:
        snapshot_bytes.digest_of(snapshot_bytes.decode(data))
    except (ValueError, AttributeError, msgspec.MsgspecError) as error:
        # What those who read a snapshot of a database take for "these are no rows".
        raise UnknownFormat(str(error)) from error


def sealed_keys(data: bytes) -> None:
    backup._checked(data)


def _transported(changed: bytes) -> bytes:
    """Sign a transported segment whose header and unpacked body were changed."""
    return _signed_segment(changed[:_HEADER], zstandard.ZstdCompressor(level=1).compress(changed[_HEADER:]))


def _signed_segment(header: bytes, body: bytes) -> bytes:
    head = header[: _HEADER - 32].ljust(_HEADER - 32, b"\0") + blake3(body).digest()
    return head + examples.PUBLISHER.sign(transported.DOMAIN, head) + body


def _signed_by(key: KeyPair, domain: bytes) -> Callable[[bytes], bytes]:
    return lambda body: body + key.sign(domain, body)


def _note(changed: bytes) -> bytes:
    """Sign a text that was changed, or leave as it is what can be no note's text."""
    try:
        return examples.sealed(changed.decode())
    except (UnicodeDecodeError, UnknownFormat):
        return changed


_HEADER: Final = 16 + 16 + 4 + 8 + 8 + 32 + 32 + 1 + 32 + 8 + 8 + 32
TEXT: Final = checkpoint.decode_note(examples.checkpoints()[0])[0].text()


def _request(changed: bytes) -> bytes:
    """Sign the checkpoint of a request that was changed."""
    head, blank, text = changed.partition(b"\n\n")
    return head + blank + _note(text)


def _proof(changed: bytes) -> bytes:
    """Hang a changed entry into a tree of its own, sign that, and prove it."""
    leaves = [*examples.LEAVES[:4], tree.leaf_hash(changed), *examples.LEAVES[5 : examples.SMALL]]

    def read(nodes: Sequence[tree.Node]) -> list[bytes]:
        return [tiles.subtree_hash(leaves[index << level : index + 1 << level]) for level, index in nodes]

    text = checkpoint.Checkpoint(ORIGIN, examples.SMALL, tree.root_of(read, examples.SMALL)).text()
    hashes = tuple(tree.prove_inclusion(read, 4, examples.SMALL))
    return proof_file.ProofFile(4, hashes, examples.sealed(text), changed).encode()


def a_signed_entry(data: bytes) -> None:
    """A proof of an entry that the log has signed, whatever it is."""
    report = proof.verify("a.tlog-proof", data, POLICY, None)
    if report.verdict != VERIFIED:
        raise ProofInvalid(report.findings[0].sentence())
    entry.parse(proof_file.decode(data).extra or b"")


def pure() -> list[Target]:
    """
    Return the targets that need no file.
    """
    notes, policies, proofs, asked = examples.checkpoints(), examples.policies(), examples.proofs(), examples.requests()
    keys = [KEY.verifier.text().encode(), WITNESS.verifier.text().encode()]
    texts = [checkpoint.decode_note(one)[0].text().encode() for one in notes]
    unsigned = [
        head + blank + checkpoint.decode_note(signed)[0].text().encode()
        for head, blank, signed in (one.partition(b"\n\n") for one in asked)
    ]
    moved = examples.transported_segment()
    content = zstandard.ZstdDecompressor().decompress(moved[_HEADER + 64 :])
    said = examples.acknowledged()
    states = [promises.encode({ORIGIN: examples.KEPT}), promises.encode({}, restored=True)]
    key_file = signatures.encode(examples.PUBLISHER)
    backed_up = msgspec.json.encode(backup.Backup(1, {"publisher.json": key_file.decode()}, states[0].decode()))
    paths = [b"tile/0/x001/234.p/17", b"tile/entries/x012/x345/678", b"tile/3/005", b"tile/0/000.p/7"]
    bundle = tiles.encode_bundle(examples.ENTRIES[: examples.SMALL])
    packed = [examples.packed_segment(), *examples.bombs()]
    return [
        Target("note", notes, a_note),
        Target("note, signed anew", texts, a_note, _note),
        Target("checkpoint", notes, a_checkpoint),
        Target("checkpoint, signed anew", texts, a_checkpoint, _note),
        Target("verifier key", keys, a_key),
        Target("policy", policies, a_policy),
        Target("proof file", proofs, a_proof),
        Target("proof of an entry, signed anew", examples.ENTRIES[4:5], a_signed_entry, _proof),
        Target("payload file", [examples.payload_file()], a_payload_file),
        Target("segment", packed, a_segment),
        Target("segment, packed anew", [examples.unpacked_segment()], a_segment, lambda data: gzip.compress(data, 1)),
        Target("tile", [b"".join(examples.LEAVES[: examples.SMALL])], a_tile),
        Target("bundle", [bundle], a_bundle),
        Target("tile path", paths, a_path),
        Target("entry", [examples.ENTRIES[4], examples.ENTRIES[0]], an_entry),
        Target("payload", [examples.EVENTS[4].payload], a_payload),
        Target("request of a witness", asked, a_request),
        Target("request of a witness, signed anew", unsigned, a_request, _request),
        Target("answer of a witness", [WITNESS.sign(TEXT, 1).line().encode()], an_answer),
        Target("promises", states, promised),
        Target("key file", [key_file], a_key_file),
        Target("backup of keys, opened", [backed_up], sealed_keys),
        Target("acknowledgement", [said], an_acknowledgement),
        Target("acknowledgement, signed anew", [said[:-64]], an_acknowledgement,
               _signed_by(examples.REPLICA, acknowledgement.DOMAIN)),
        Target("transported segment", [moved], a_transported_segment),
        Target("transported segment, body signed anew", [moved[_HEADER + 64 :]], a_transported_segment,
               lambda body: _signed_segment(moved[:_HEADER], body), 40 * MIB),
        Target("transported segment, packed and signed anew", [moved[:_HEADER] + content], a_transported_segment,
               _transported),
        Target("snapshot, packed anew", [examples.snapshot()], a_snapshot, zstandard.ZstdCompressor(level=1).compress),
        Target("receipts", [examples.receipts()], some_receipts),
    ]  # fmt: skip
