"""
Check by bytes alone what a signer answers, what it says again at a start, and what it takes over from witnesses.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from ledger.errors import SignatureInvalid
from ledger.evidence import checkpoint, note, policy, revocation, signer, tiles, tree, witness
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import COSIGNATURE, ED25519, NoteSignature, SigningKey
from ledger.evidence.revocation import Revoked
from ledger.evidence.witness import NOTHING, Answer, Evidence, Kept, Request

LOG = SigningKey("ledger.example/trades", ED25519, bytes(range(32)))
NEXT = SigningKey(LOG.name, ED25519, bytes(range(1, 33)))
THIEF = SigningKey(LOG.name, ED25519, bytes(32))
REPLICAS = [SigningKey(f"replica/{number}", COSIGNATURE, bytes([number]) * 32) for number in (1, 2)]
BOTH = policy.decode(
    "".join(f"witness r{place} {key.verifier.text()}\n" for place, key in enumerate(REPLICAS)).encode()
    + b"group q all r0 r1\nquorum q\n"
)
NOBODY = policy.decode(b"quorum none\n")
LEAVES = [tree.leaf_hash(b"%d" % number) for number in range(8)]


def root(size: int, fork: bool = False) -> bytes:
    edge = tree.Frontier()
    for leaf in LEAVES[:size]:
        edge.add(tree.node_hash(leaf, leaf) if fork else leaf)
    return edge.root()


def stated(size: int, fork: bool = False, origin: str = LOG.name) -> str:
    return Checkpoint(origin, size, root(size, fork)).text()


def signed(size: int, *keys: SigningKey, fork: bool = False) -> bytes:
    text = stated(size, fork)
    times = [7 if key.algorithm == COSIGNATURE else None for key in keys]
    return note.with_signatures(text, [key.sign(text, time) for key, time in zip(keys, times, strict=True)]).encode()


def asked(data: bytes) -> bytes:
    return Request(0, (), data).encode()


def test_what_a_signer_refuses_it_says_and_keeps_nothing() -> None:
    """No request, another log's, one with lines of its own, a false cosignature, too few."""
    foreign = note.Note(stated(4, origin="another.example/log"), ()).encode()
    longer = note.Note(Checkpoint(LOG.name, 4, root(4), ("a line",)).text(), ()).encode()
    false = note.decode(signed(4, *REPLICAS))
    broken = NoteSignature(false.signatures[0].name, false.signatures[0].key_id, bytes(72))
    spoilt = note.Note(false.text, (broken,)).encode()
    first = signer.answer(NOTHING, b"nonsense", LOG, NOBODY)
    assert (first.status, first.body[:5], first.body[-1], first.keep) == (400, "found", "\n", None)
    assert signer.answer(NOTHING, asked(foreign), LOG, NOBODY) == Answer(
        404, "found a checkpoint of 'another.example/log'; this key signs for 'ledger.example/trades'\n"
    )
    assert signer.answer(NOTHING, asked(longer), LOG, NOBODY) == Answer(
        400, "found extension lines in a checkpoint; they are not signed here\n"
    )
    said = signer.answer(NOTHING, asked(spoilt), LOG, BOTH)
    assert (said.status, said.keep) == (403, None)
    assert said.body == f"the signature under replica/1 is not by its key {REPLICAS[0].verifier.id.hex()}\n"
    for keys, named in (((), "nobody"), (REPLICAS[:1], "replica/1")):
        data = signed(4, *keys) if keys else note.Note(stated(4), ()).encode()
        assert signer.answer(NOTHING, asked(data), LOG, BOTH) == Answer(
            403, f"found cosignatures of '{named}'; needed first: 'q'\n"
        )


def test_a_revoked_replica_is_named_and_does_not_count() -> None:
    """Both have cosigned, in this order, and one of them counts no more at this size."""
    trust = BOTH.revoking([Revoked(REPLICAS[1].verifier.public_key, 3)])
    assert signer.answer(NOTHING, asked(signed(4, *REPLICAS)), LOG, trust) == Answer(
        403, "found cosignatures of 'replica/1, replica/2'; needed first: 'q'\n"
    )


def test_what_a_signer_signs_it_keeps_with_every_signature() -> None:
    """A line for each of its keys is the answer; what it keeps has these and the cosignatures that came."""
    said = signer.answer(NOTHING, asked(signed(4, *REPLICAS)), LOG, BOTH, [NEXT])
    text = stated(4)
    lines = LOG.sign(text).line() + NEXT.sign(text).line()
    whole = signed(4, LOG, NEXT, *REPLICAS)
    assert said == Answer(200, lines, keep=Kept(4, root(4), whole))


def test_what_is_kept_is_said_again_under_every_key() -> None:
    """And where nothing is kept, that the tree is empty."""
    assert signer.again(NOTHING, LOG, [NEXT]) == signed(0, LOG, NEXT)
    kept = Kept(4, root(4), signed(4, LOG, *REPLICAS))
    assert signer.again(kept, NEXT, [LOG]) == signed(4, NEXT, LOG, *REPLICAS)


def test_the_newest_that_was_seen_is_taken_over() -> None:
    """Of both keys; what is smaller or the same changes nothing, and another root of one size ends it."""
    kept = Kept(4, root(4), signed(4, LOG))
    assert signer.newest(kept, [], LOG) is kept
    assert signer.newest(kept, [signed(3, LOG), signed(4, LOG, *REPLICAS), signed(0, LOG)], LOG) is kept
    newer = Kept(6, root(6), signed(6, NEXT))
    assert signer.newest(kept, [signed(5, LOG), newer.signed, signed(2, LOG)], LOG, [NEXT]) == newer
    for seen in ([signed(4, LOG, fork=True)], [signed(5, LOG), signed(5, LOG, fork=True)]):
        with pytest.raises(signer.Contradiction):
            signer.newest(kept, seen, LOG)
    for stranger in (THIEF, NEXT):
        with pytest.raises(SignatureInvalid, match=r"of 9|of 6 that no key given here has signed"):
            signer.newest(kept, [signed(6, stranger)], LOG)


def test_evidence_is_json_that_can_be_passed_on() -> None:
    """Its members and their spelling, which others read."""
    made = Evidence(signed(4, LOG), signed(4, LOG, fork=True), (bytes(32),)).encode()
    assert json.loads(made) == {
        "schema_version": 1, "kind": "inconsistent checkpoints", "older": signed(4, LOG).decode(),
        "newer": signed(4, LOG, fork=True).decode(), "proof": [note.encode_base64(bytes(32))],
    }  # fmt: skip
    assert made.startswith(b'{\n  "schema_version": 1,\n')
    assert made.endswith(b"\n}\n")


def test_evidence_convicts_by_two_roots_of_one_size_of_one_log() -> None:
    """Two sizes, two logs, one root, or a signature that is not the log's: nobody is convicted."""
    good, fork = signed(4, LOG), signed(4, LOG, fork=True)
    keys = [LOG.verifier]
    found = witness.convicts(Evidence(good, fork, ()), keys)
    assert found == checkpoint.decode_note(fork)[0]
    for older, newer in (
        (good, good),
        (good, signed(5, LOG)),
        (signed(4, THIEF), fork),
        (good, signed(4, THIEF, fork=True)),
    ):
        assert witness.convicts(Evidence(older, newer, ()), keys) is None
    text = stated(4, fork=True, origin="another.example/log")
    other = SigningKey("another.example/log", ED25519, bytes(range(32)))
    foreign = note.with_signatures(text, [other.sign(text)]).encode()
    assert witness.convicts(Evidence(good, foreign, ()), [LOG.verifier, other.verifier]) is None


def test_an_answer_has_as_many_cosignatures_as_a_note_may_have() -> None:
    """And not one more."""
    line = REPLICAS[0].sign(stated(4), 7).line().encode()
    assert len(witness.decode_cosignatures(line * note.SIGNATURES_LIMIT)) == note.SIGNATURES_LIMIT
    for body in (b"", line * (note.SIGNATURES_LIMIT + 1)):
        with pytest.raises(witness.UnknownFormat, match=f"expected 1 to {note.SIGNATURES_LIMIT} signatures"):
            witness.decode_cosignatures(body)


@pytest.mark.parametrize(("threshold", "needed"), [("any", 1), ("all", 3), ("1", 1), ("2", 2), ("3", 3)])
def test_a_group_needs_as_many_as_it_says(threshold: str, needed: int) -> None:
    """Any is one, all is every one, and a number is that number."""
    keys = [SigningKey(f"w/{number}", COSIGNATURE, bytes([number]) * 32) for number in (1, 2, 3)]
    lines = "".join(f"witness w{place} {key.verifier.text()}\n" for place, key in enumerate(keys))
    trust = policy.decode(f"{lines}group g {threshold} w0 w1 w2\nquorum g\n".encode())
    for count in range(4):
        assert trust.is_met({key.verifier.public_key for key in keys[:count]}) == (count >= needed)
    for wrong in ("0", "4", "-1", "x", "\u0663", "1" * 10, "1" * 5000, "+1", "01"):
        with pytest.raises(policy.InvalidInput, match="threshold"):
            policy.decode(f"{lines}group g {wrong} w0 w1 w2\nquorum g\n".encode())


def test_what_a_witness_refuses_it_says_word_for_word() -> None:
    """No request, an unknown log, a signature that is none of its keys', a revoked key, a size that is too large."""
    logs = {LOG.name: [LOG.verifier, NEXT.verifier]}
    kept = {LOG.name: Kept(4, root(4), signed(4, LOG))}

    def said(body: bytes, revoked: Sequence[Revoked] = ()) -> Answer:
        return witness.answer(kept, logs, body, REPLICAS[0], 9, revoked)

    assert said(b"nonsense") == Answer(400, "found a request that begins with 'nonsense'; expected: old <size>\n")
    foreign = note.with_signatures(text := stated(4, origin="another.example/log"), [THIEF.sign(text)]).encode()
    assert said(asked(foreign)) == Answer(404, "unknown log 'another.example/log'\n")
    assert said(asked(signed(5, THIEF))) == Answer(
        403, "found signatures under 'ledger.example/trades' and none by a known key\n"
    )
    ended = [Revoked(key.verifier.public_key, 4) for key in (LOG, NEXT)]
    named = f"{LOG.verifier.text()}, {NEXT.verifier.text()}"
    assert said(asked(signed(5, LOG, NEXT)), ended) == Answer(
        403, f"found a checkpoint of 5 signed by {named}, revoked before that size\n"
    )
    assert said(Request(6, (), signed(5, LOG)).encode()) == Answer(
        400, "found old size 6 of a checkpoint of 5; expected at most that\n"
    )
    assert said(Request(3, (), signed(5, LOG)).encode()) == Answer(409, "4\n", witness.SIZE_TYPE)


def test_a_fork_is_kept_as_evidence_where_there_is_something_to_hold_it_against() -> None:
    """Of a log that was seen before; of one that was not, a false proof is nobody's contradiction."""
    logs, fork = {LOG.name: [LOG.verifier]}, signed(4, LOG, fork=True)
    kept = Kept(4, root(4), signed(4, LOG))
    said = witness.answer({LOG.name: kept}, logs, Request(4, (), fork).encode(), REPLICAS[0], 9)
    roots = f"found root {root(4).hex()} of 4 leaves; expected {root(4, fork=True).hex()}: a fork\n"
    assert said == Answer(422, roots, evidence=Evidence(kept.signed, fork, ()))
    first = witness.answer({}, logs, Request(0, (bytes(32),), fork).encode(), REPLICAS[0], 9)
    assert (first.status, first.evidence, first.keep) == (422, None, None)


def test_a_request_may_be_as_long_as_it_may_be() -> None:
    """To the byte."""
    body = Request(0, (), b"x").encode()
    longest = body + b"x" * (witness.REQUEST_LIMIT_BYTES - len(body))
    assert len(witness.decode_request(longest).signed) == len(longest) - len(body) + 1
    with pytest.raises(witness.UnknownFormat, match="at most"):
        witness.decode_request(longest + b"x")


def test_a_revocation_says_what_is_wrong_with_it() -> None:
    """The size that was looked for among it."""
    with pytest.raises(policy.InvalidInput, match="found last size 'x'"):
        revocation.decode([LOG.verifier.text(), "x"])


def test_what_is_no_request_is_said_by_its_part() -> None:
    """No blank line, a size or a hash that is none; as many hashes as a proof can have are read, and no more."""
    line = note.encode_base64(bytes(32)) + "\n"
    most = f"old 3\n{line * tree.PROOF_LIMIT}\n".encode() + b"x"
    assert witness.decode_request(most) == Request(3, (bytes(32),) * tree.PROOF_LIMIT, b"x")
    for body, says in (
        (b"old 3", "begins with 'old 3'"),
        (b"new 3\n\nx", "begins with 'new 3'"),
        (b"old x\n\nx", "found old size 'x'"),
        (b"old 3\nAA==\n\nx", "found hash of 1 bytes"),
        (b"old 3\n\xff\n\nx", "no ASCII"),
        (f"old 3\n{line * (tree.PROOF_LIMIT + 1)}\n".encode(), "at most 63"),
    ):
        with pytest.raises(witness.UnknownFormat, match=says):
            witness.decode_request(body)


def test_a_tree_has_its_limits() -> None:
    """No subtree of a level or an index below none, and no tree as large as its sizes cannot be."""
    for node in ((-1, 0), (0, -1), (0, 4), (2, 1)):
        with pytest.raises(tiles.InvalidInput, match="does not hold all of it"):
            tiles.tile_with(node, 4)
    assert tree.consistency_ranges(1, tree.SIZE_LIMIT - 1)
    with pytest.raises(tree.InvalidInput, match="older to be smaller"):
        tree.consistency_ranges(1, tree.SIZE_LIMIT)
