"""
Check that the proof of one event holds by itself, and that whatever is changed in it is named and never passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from ledger import command
from ledger.chain import entry
from ledger.errors import SignatureInvalid, UnknownFormat
from ledger.evidence import policy, proof_file, tiles, tree
from ledger.evidence.note import COSIGNATURE, ED25519, SigningKey
from ledger.evidence.payload_file import PayloadFile
from ledger.evidence.proof_file import ProofFile
from ledger.evidence.tree import Node
from tests.archiving.chains import CHAIN_ID, KEY, POLICY, POLICY_TEXT, WITNESS, chain, edited, signed
from verifier import cli, proof
from verifier.forms.cleaning import moment
from verifier.report import Cosigned, Finding, Report, SeenCheckpoint
from verifier.stored import Unreadable
from verifier.vouching import NOBODYS

SIZE, SEQ = 300, 200
EVENTS = chain(SIZE)
LEAVES = [tree.leaf_hash(entry.encode(event)) for event in EVENTS]
ENTRY = entry.encode(EVENTS[SEQ - 1])


def nodes(asked: Sequence[Node]) -> list[bytes]:
    return [tiles.subtree_hash(LEAVES[index << level : index + 1 << level]) for level, index in asked]


def made(size: int = SIZE, seq: int = SEQ, **checkpoint: object) -> ProofFile:
    hashes = tuple(tree.prove_inclusion(nodes, seq - 1, size))
    note = signed(EVENTS, size, **checkpoint)  # type: ignore[arg-type]
    return ProofFile(seq - 1, hashes, note, entry.encode(EVENTS[seq - 1]))


PROOF = made()
CONTENT = PayloadFile(ENTRY, EVENTS[SEQ - 1].salt, EVENTS[SEQ - 1].payload)


def verify(
    data: ProofFile | bytes, content: PayloadFile | bytes | None = CONTENT, trust: policy.Policy = POLICY
) -> Report:
    given = data.encode() if isinstance(data, ProofFile) else data
    payload = content.encode() if isinstance(content, PayloadFile) else content
    return proof.verify("a.tlog-proof", given, trust, payload)


def kinds(report: Report) -> list[str]:
    assert (report.verdict == "verified") == (not report.findings)
    return [finding.kind for finding in report.findings]


@pytest.mark.parametrize("size", [200, 255, 256, 257, 300])
def test_a_proof_holds_and_says_what_is_proven(size: int) -> None:
    """Of a tree of any size that has the event; who recorded it, when, and who had seen it by when."""
    report = verify(made(size))
    assert kinds(report) == []
    said = " ".join(report.proven)
    event = EVENTS[SEQ - 1]
    for words in (f"event {SEQ} of", event.event_type, event.stream, event.actor, "w1 had seen", f"{size} events"):
        assert words in said
    assert report.head == {
        "seq": SEQ, "hash": event.hash.hex(), "size": size, "root": report.checkpoints[0].root,
    }  # fmt: skip
    assert [by.name for by in report.checkpoints[0].cosigned] == ["w1"]
    assert "content is the" in said


def test_a_proof_without_the_content_proves_the_entry_alone() -> None:
    """The entry is in the proof; what it does not show is said."""
    report = verify(PROOF, None)
    assert kinds(report) == []
    assert "content" not in " ".join(report.proven)
    assert proof.NO_CONTENT in report.not_covered
    bare = msgspec.structs.replace(PROOF, extra=None)
    assert kinds(verify(bare)) == []
    with pytest.raises(Unreadable, match="--payload"):
        verify(bare, None)


OTHER = entry.encode(EVENTS[SEQ])
THIEF = SigningKey(KEY.name, ED25519, bytes(32))
STRANGER = SigningKey("witness.example/w9", COSIGNATURE, bytes([9]) * 32)


def trusting(log: SigningKey = KEY, witness: SigningKey = WITNESS) -> policy.Policy:
    return policy.decode(f"log {log.verifier.text()}\nwitness w {witness.verifier.text()}\nquorum w\n".encode())


def logs(*keys: SigningKey) -> policy.Policy:
    """Return a policy that trusts these logs by their own word."""
    return policy.Policy(tuple(policy.Log(key.verifier) for key in keys), (), (), policy.NONE)


@pytest.mark.parametrize(
    ("data", "content", "trust", "expected"),
    [
        (made(cosigned=False), CONTENT, POLICY, ["QUORUM_UNMET"]),
        (PROOF, CONTENT, trusting(witness=STRANGER), ["QUORUM_UNMET"]),
        (PROOF, CONTENT, trusting(log=THIEF), ["CHECKPOINT_SIG"]),
        (msgspec.structs.replace(PROOF, index=SEQ), CONTENT, POLICY, ["TREE_MISMATCH", "BYTES_MODIFIED"]),
        (msgspec.structs.replace(PROOF, hashes=PROOF.hashes[:-1]), CONTENT, POLICY, ["TREE_MISMATCH"]),
        (msgspec.structs.replace(PROOF, hashes=(*PROOF.hashes, bytes(32))), CONTENT, POLICY, ["TREE_MISMATCH"]),
        (msgspec.structs.replace(PROOF, checkpoint=signed(EVENTS, 299)), CONTENT, POLICY, ["TREE_MISMATCH"]),
        (msgspec.structs.replace(PROOF, extra=OTHER), None, POLICY, ["TREE_MISMATCH", "BYTES_MODIFIED"]),
        (msgspec.structs.replace(PROOF, extra=OTHER), CONTENT, POLICY, ["BYTES_MODIFIED"]),
        (PROOF, msgspec.structs.replace(CONTENT, entry=b"no entry"), POLICY,
         ["BYTES_MODIFIED", "TREE_MISMATCH", "BYTES_MODIFIED"]),
        (PROOF, msgspec.structs.replace(CONTENT, payload=b'{"derived":{},"given":{}}'), POLICY, ["PAYLOAD_MISMATCH"]),
        (PROOF, msgspec.structs.replace(CONTENT, salt=bytes(16)), POLICY, ["PAYLOAD_MISMATCH"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_proof_is_named(
    data: ProofFile, content: PayloadFile | None, trust: policy.Policy, expected: list[str]
) -> None:
    """All of it, and then nothing is said to be proven."""
    report = verify(data, content, trust)
    assert kinds(report) == expected
    assert report.proven == []


def test_a_policy_for_other_logs_says_nothing_of_this_one() -> None:
    """Neither good nor bad: another policy was meant."""
    other = SigningKey("other.example/log", ED25519, bytes(32))
    says = rf"for other logs \(other\.example/log\), and a\.tlog-proof is of {KEY.name}$"
    with pytest.raises(Unreadable, match=says):
        verify(PROOF, trust=trusting(log=other))
    with pytest.raises(Unreadable, match=r"for other logs \(a/log, other\.example/log\)"):
        verify(PROOF, trust=logs(other, SigningKey("a/log", ED25519, bytes(32)), other))
    with pytest.raises(Unreadable, match=r"for other logs \(none\)"):
        verify(PROOF, trust=logs())


def test_on_whose_word_a_proof_rests_is_said() -> None:
    """The log's key, each witness and when, and the quorum; nobody's where the policy does not accept it."""
    log = f"the log {KEY.name}, whose key {KEY.verifier.id.hex()} signed the checkpoint"
    witness = f"witness w1, whose key {WITNESS.verifier.id.hex()} cosigned it at {moment(1_700_000_001)}"
    good = verify(PROOF)
    assert good.trusted == [log, witness, "the quorum w1 of the policy is met"]
    root = tree.root_of(nodes, SIZE).hex()
    assert good.checkpoints == [SeenCheckpoint(SIZE, root, (Cosigned("w1", 1_700_000_001),), accepted=True)]
    alone = "no quorum: the policy asks for none, so the log's own word is all there is"
    assert verify(PROOF, trust=logs(KEY)).trusted == [log, alone]
    bad = verify(made(cosigned=False))
    assert bad.trusted == [NOBODYS]
    assert bad.checkpoints == [SeenCheckpoint(SIZE, root, (), accepted=False)]


def test_an_entry_of_this_place_in_another_tree_is_no_proof() -> None:
    """The same place and a proof that holds, of the tree that somebody else signed as this log."""
    fork = chain(SIZE, seed=2)
    note = signed(fork, SIZE)
    report = verify(msgspec.structs.replace(PROOF, checkpoint=note))
    assert kinds(report) == ["TREE_MISMATCH"]


@pytest.mark.parametrize("data", [b"", b"c2sp.org/tlog-proof@v2\n", PROOF.encode()[:90], b"\xff" * 100,
                                  PROOF.encode() * 2, bytes(proof_file.FILE_LIMIT_BYTES + 1)])  # fmt: skip
def test_what_is_no_proof_could_not_be_verified(data: bytes) -> None:
    """Nothing is found in it, neither good nor bad; the file is named."""
    with pytest.raises(Unreadable, match=r"a\.tlog-proof is no(ne| proof): "):
        verify(data)
    with pytest.raises(Unreadable, match=r"payload file of a\.tlog-proof"):
        verify(PROOF, data)


def test_no_changed_byte_passes() -> None:
    """Each byte of proof and payload file in turn, one bit and its case: a finding, or nothing that can be read."""
    files = PROOF.encode(), CONTENT.encode()
    for which, file in enumerate(files):
        for place in range(len(file)):
            for bit in (0x01, 0x20):
                data = file[:place] + bytes([file[place] ^ bit]) + file[place + 1 :]
                given = [data, files[1]] if which == 0 else [files[0], data]
                try:
                    report = verify(*given)  # type: ignore[arg-type]
                except Unreadable:
                    continue
                assert report.findings or same(given, files), (which, place, bit)


def same(given: list[bytes], files: tuple[bytes, bytes]) -> bool:
    """Whether a changed file still says the same: JSON may be spaced in another way."""
    return given[0] == files[0] and msgspec.json.decode(given[1]) == msgspec.json.decode(files[1])


def test_the_command_needs_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 and in words what is proven; 3 for another's policy; 4 for a file that is not there and for no policy."""
    (tmp_path / "e.tlog-proof").write_bytes(PROOF.encode())
    (tmp_path / "e.json").write_bytes(CONTENT.encode())
    (tmp_path / "policy").write_bytes(POLICY_TEXT)
    (tmp_path / "other").write_bytes(f"log {THIEF.verifier.text()}\nquorum none\n".encode())

    def run(file: str, trust: str, *more: str) -> int:
        words = ["proof", str(tmp_path / file), "--policy", str(tmp_path / trust), *more]
        monkeypatch.setattr("sys.argv", ["tradeledger-verify", *words])
        return command.run(cli.app, cli._MANNER)

    assert run("e.tlog-proof", "policy", "--payload", str(tmp_path / "e.json")) == 0
    said = capsys.readouterr().out
    assert f"event {SEQ} of {KEY.name} was recorded as CashMoved" in said
    assert CHAIN_ID.hex() not in said
    assert run("e.tlog-proof", "other") == 3
    assert "CHECKPOINT_SIG" in capsys.readouterr().out
    for file, trust in (("nothing", "policy"), ("e.tlog-proof", "nothing"), ("e.tlog-proof", "e.json")):
        assert run(file, trust) == 4
    assert run("e.tlog-proof", "policy", "--payload", str(tmp_path / "nothing")) == 4


def test_a_finding_of_a_proof_has_its_place_and_both_sides() -> None:
    """The file, the column, what was expected and what is there."""
    event = EVENTS[SEQ - 1]
    other = entry.payload_hash(event.salt, b"{}")
    (found,) = verify(PROOF, msgspec.structs.replace(CONTENT, payload=b"{}")).findings
    assert found == Finding("PAYLOAD_MISMATCH", entry.parse(ENTRY).payload_hash.hex(), other.hex(), table="proof",
                            key=("a.tlog-proof",), column="payload")  # fmt: skip
    (found,) = verify(msgspec.structs.replace(PROOF, hashes=PROOF.hashes[:-1])).findings
    root = verify(PROOF).head["root"]
    assert found == Finding("TREE_MISMATCH", f"a proof that leads to root {root} of {SIZE} entries",
                            f"found an inclusion proof of {len(PROOF.hashes) - 1} hashes; {SIZE} leaves need more",
                            table="proof", key=("a.tlog-proof",))  # fmt: skip
    _, found = verify(msgspec.structs.replace(PROOF, index=SEQ)).findings
    assert found == Finding("BYTES_MODIFIED", str(SEQ + 1), str(SEQ), table="proof", key=("a.tlog-proof",),
                            column="seq")  # fmt: skip
    (found,) = verify(msgspec.structs.replace(PROOF, extra=OTHER)).findings
    assert found == Finding("BYTES_MODIFIED", "the entry that the payload file has", "another", table="proof",
                            key=("a.tlog-proof",), column="extra")  # fmt: skip
    with pytest.raises(UnknownFormat) as said:
        entry.parse(b"no entry")
    found = verify(PROOF, msgspec.structs.replace(CONTENT, entry=b"no entry")).findings[-1]
    assert found == Finding("BYTES_MODIFIED", "an entry", str(said.value), table="proof", key=("a.tlog-proof",),
                            column="entry")  # fmt: skip
    for given, trust, kind, expected in (
        (made(cosigned=False), POLICY, "QUORUM_UNMET", "the quorum w1"),
        (PROOF, trusting(log=THIEF), "CHECKPOINT_SIG", "a checkpoint signed by a log of the policy"),
    ):
        with pytest.raises(SignatureInvalid) as refused:
            policy.check(trust, given.checkpoint)
        (found,) = verify(given, trust=trust).findings
        assert found == Finding(kind, expected, str(refused.value), table="proof", key=("a.tlog-proof",))


def test_what_was_checked_and_what_was_not_is_said() -> None:
    """With the content and without; each list in whole."""
    whole = verify(PROOF)
    assert whole.covered == [*proof.COVERED, "that the content is the one that the entry names"]
    assert whole.not_covered == proof.NOT_COVERED
    one = (whole.origin, whole.region_mode, whole.events, whole.rows, whole.vouched, whole.last_good_seq, whole.spans)
    assert one == (KEY.name, "proof", 1, {}, [], 0, [(SEQ, SEQ)])
    assert isinstance(whole.seconds, float)
    assert 0 <= whole.seconds == round(whole.seconds, 3) < 60
    bare = verify(PROOF, None)
    assert (bare.covered, bare.not_covered) == (proof.COVERED, [*proof.NOT_COVERED, proof.NO_CONTENT])


def test_what_is_proven_is_said_in_whole_sentences() -> None:
    """When by the ledger's clock, who had seen it and when, and what its content is."""
    event = EVENTS[SEQ - 1]
    assert verify(PROOF).proven == [
        f"event {SEQ} of {KEY.name} was recorded as CashMoved of {event.stream}, by engine-1 through gateway, at "
        f"{moment(1_700_000_000)} by the ledger's clock",
        f"it is one of the {SIZE} events that the log's key signed as one history",
        f"w1 had seen that history by {moment(1_700_000_001)} by its clock, so the event was recorded by then",
        f"its content is the {len(event.payload)} bytes of the payload file, to the last one",
    ]


def test_the_last_nanosecond_of_a_second_is_still_of_that_second() -> None:
    """As no binary fraction could say it."""
    late = edited(EVENTS[:SEQ], SEQ, recorded_at=1_700_000_000_999_999_999)
    last = entry.encode(late[-1])
    hashes = tree.prove_inclusion(
        lambda asked: [
            tiles.subtree_hash([tree.leaf_hash(entry.encode(x)) for x in late[index << level : index + 1 << level]])
            for level, index in asked
        ], SEQ - 1, SEQ,
    )  # fmt: skip
    report = verify(ProofFile(SEQ - 1, tuple(hashes), signed(late, SEQ), last), None)
    assert kinds(report) == []
    assert "at 2023-11-14 22:13:20 UTC by the ledger's clock" in report.proven[0]
