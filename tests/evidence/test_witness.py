"""
Check what a witness answers, against the specification's statuses and a log that misbehaves.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from ledger.errors import UnknownFormat
from ledger.evidence import checkpoint, note, tree, witness
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import COSIGNATURE, ED25519, SigningKey
from ledger.evidence.tree import Frontier, Node
from ledger.evidence.witness import Answer, Evidence, Kept, Request

LOG = SigningKey("ledger.example/trades", ED25519, bytes(range(32)))
THIEF = SigningKey("ledger.example/trades", ED25519, bytes(32))
KEY = SigningKey("witness.example/w1", COSIGNATURE, bytes([1]) * 32)
LOGS = {LOG.name: [LOG.verifier]}
LEAVES = [tree.leaf_hash(b"%d" % number) for number in range(40)]
FORK = [*LEAVES[:10], tree.leaf_hash(b"another"), *LEAVES[11:]]


def read(leaves: Sequence[bytes]) -> tree.ReadNodes:
    def hashes(nodes: Sequence[Node]) -> list[bytes]:
        return [root(leaves[index << level : index + 1 << level]) for level, index in nodes]

    return hashes


def root(leaves: Sequence[bytes]) -> bytes:
    edge = Frontier()
    for leaf in leaves:
        edge.add(leaf)
    return edge.root()


def ask(old: int, size: int, leaves: Sequence[bytes] = LEAVES, key: SigningKey = LOG) -> bytes:
    text = Checkpoint(key.name, size, root(leaves[:size])).text()
    proof = tuple(tree.prove_consistency(read(leaves), old, size)) if old <= size else ()
    return Request(old, proof, note.with_signatures(text, [key.sign(text)]).encode()).encode()


class Witness:
    """One that keeps what it is told to keep."""

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}

    def ask(self, body: bytes) -> Answer:
        answer = witness.answer(self.kept, LOGS, body, KEY, 1_700_000_000)
        if answer.keep is not None:
            self.kept[LOG.name] = answer.keep
        return answer


def test_a_growing_log_is_cosigned() -> None:
    """From nothing, to a larger tree, the same again; what is kept is the log's note under both signatures."""
    outside = Witness()
    for old, size in ((0, 5), (5, 30), (30, 30), (30, 40)):
        body = ask(old, size)
        answer = outside.ask(body)
        assert answer.status == 200, answer.body
        signed = witness.decode_request(body).signed
        (cosignature,) = witness.decode_cosignatures(answer.body.encode())
        verified = note.check_signature(note.decode(signed).text, cosignature, KEY.verifier)
        assert verified.time == 1_700_000_000
        kept = note.decode(outside.kept[LOG.name].signed)
        assert len(note.verify(kept, [LOG.verifier, KEY.verifier])) == 2
        assert checkpoint.decode(kept.text).size == size


def test_what_a_witness_refuses_and_how() -> None:
    """Each status of the specification, and nothing is kept of what was refused."""
    outside = Witness()
    outside.ask(ask(0, 20))
    before = dict(outside.kept)
    good = witness.decode_request(ask(20, 30))
    for body, status in (
        (b"nonsense", 400),
        (b"old 20\n" + b"AAAA\n" * 64 + b"\n" + good.signed, 400),
        (ask(20, 19), 400),
        (ask(0, 30), 409),
        (ask(19, 30), 409),
        (ask(20, 30, key=THIEF), 403),
        (ask(20, 30, key=SigningKey("unknown.example/log", ED25519, bytes(32))), 404),
        (Request(20, good.proof[:-1], good.signed).encode(), 422),
        (Request(20, (), good.signed).encode(), 422),
        (ask(20, 30, FORK), 422),
        (ask(20, 20, FORK), 422),
    ):
        answer = outside.ask(body)
        assert (answer.status, answer.keep) == (status, None), body
    assert outside.kept == before
    conflict = outside.ask(ask(0, 30))
    assert (conflict.body, conflict.content_type) == ("20\n", "text/x.tlog.size")
    assert witness.answer({}, LOGS, Request(0, good.proof, good.signed).encode(), KEY, 1).status == 422
    empty = Checkpoint(LOG.name, 0, bytes(32)).text()
    body = Request(0, (), note.with_signatures(empty, [LOG.sign(empty)]).encode()).encode()
    assert witness.answer({}, LOGS, body, KEY, 1).status == 422


def test_a_fork_leaves_evidence_that_convicts_the_log() -> None:
    """Two notes of one size and two roots, both signed: whoever knows the log's key can check that it lied."""
    outside = Witness()
    outside.ask(ask(0, 20))
    evidence = outside.ask(ask(20, 20, FORK)).evidence
    assert evidence is not None
    convicted = witness.convicts(evidence, [LOG.verifier])
    assert convicted is not None
    assert convicted.size == 20
    assert b"inconsistent checkpoints" in evidence.encode()
    assert witness.convicts(evidence, [THIEF.verifier]) is None
    assert witness.convicts(Evidence(evidence.older, evidence.older, ()), [LOG.verifier]) is None
    assert witness.convicts(Evidence(b"", b"", ()), [LOG.verifier]) is None
    for old, status in ((0, 409), (10, 409), (20, 422), (21, 400)):
        # Both notes convict, whatever was said of what is kept here: whoever is on the fork says a size of its own.
        stated = Request(old, (bytes(32),), witness.decode_request(ask(20, 20, FORK)).signed)
        answer = outside.ask(stated.encode())
        assert (answer.status, answer.keep) == (status, None)
        assert answer.evidence is not None
        assert witness.convicts(answer.evidence, [LOG.verifier]) == convicted
    assert outside.ask(ask(0, 20)).evidence is None
    # A proof between two trees that are one is false and says nothing of either.
    again = outside.ask(Request(20, (bytes(32),), witness.decode_request(ask(20, 20)).signed).encode())
    assert (again.status, again.evidence) == (422, None)
    assert outside.ask(ask(0, 30, FORK)).evidence is None
    larger = outside.ask(ask(20, 30, FORK)).evidence
    assert larger is not None
    assert larger.proof
    assert b"checkpoints that the proof does not join" in larger.encode()
    assert b"inconsistent checkpoints" not in larger.encode()


def test_lines_that_are_not_the_logs_are_neither_kept_nor_left_as_evidence() -> None:
    """Anybody can add one."""
    outside = Witness()
    for leaves, size in ((LEAVES, 20), (FORK, 20)):
        asked = witness.decode_request(ask(size if outside.kept else 0, size, leaves))
        signed = note.decode(asked.signed)
        more = note.with_signatures(signed.text, [*signed.signatures, KEY.sign(signed.text, 5)]).encode()
        answer = outside.ask(msgspec.structs.replace(asked, signed=more).encode())
    assert answer.evidence is not None
    assert answer.evidence.newer == signed.encode()
    assert len(note.decode(answer.evidence.older).signatures) == 2


def test_an_answer_that_is_no_cosignature_is_refused() -> None:
    """A client reads signature lines and nothing else."""
    for body in (b"", b"thanks\n", b"\xff\n", KEY.sign("x\n", 1).line().encode() * (note.SIGNATURES_LIMIT + 1)):
        with pytest.raises(UnknownFormat):
            witness.decode_cosignatures(body)


def test_a_checkpoint_is_shown_under_the_hash_of_its_origin() -> None:
    """The monitors' path is made from the origin alone."""
    assert witness.checkpoint_path("").startswith("/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/")
