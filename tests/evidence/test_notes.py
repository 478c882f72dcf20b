"""
Check notes, checkpoints, policies and proof files by the specifications' own examples, and by mutation.
"""

from __future__ import annotations

import base64
import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidInput, LedgerError, ProofInvalid, SignatureInvalid, UnknownFormat
from ledger.evidence import checkpoint, note, policy, proof_file, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import COSIGNATURE, ED25519, Note, NoteSignature, SigningKey, VerifierKey
from ledger.evidence.proof_file import ProofFile

TESSERA = json.loads((Path(__file__).parents[1] / "vectors" / "others" / "tessera_log.json").read_text())

# Both from C2SP signed-note.
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
# From C2SP tlog-cosignature; the keys that made it are not published.
COSIGNED = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
""".encode()  # noqa: E501 - the example's own lines

LOG = SigningKey("ledger.example/trades", ED25519, bytes(range(32)))
WITNESSES = [SigningKey(f"witness.example/w{number}", COSIGNATURE, bytes([number]) * 32) for number in range(4)]
LEAVES = [b"entry %d" % number for number in range(7)]


def edge(size: int) -> tree.Frontier:
    found = tree.Frontier()
    for leaf in LEAVES[:size]:
        found.add(tree.leaf_hash(leaf))
    return found


STATED = Checkpoint(LOG.name, 7, edge(7).root())


def signed(stated: Checkpoint = STATED, witnesses: int = 0, log: SigningKey = LOG) -> bytes:
    text = stated.text()
    cosignatures = [witness.sign(text, 1_700_000_000 + place) for place, witness in enumerate(WITNESSES[:witnesses])]
    return note.with_signatures(text, [log.sign(text), *cosignatures]).encode()


def policy_text(quorum: str = "two", extra: str = "") -> bytes:
    lines = [f"log {LOG.verifier.text()} https://ledger.example/trades"]
    lines += [f"witness w{place} {witness.verifier.text()}" for place, witness in enumerate(WITNESSES)]
    lines += ["# a comment", "", "group two 2 w0 w1 w2", "group both all two w3", extra, f"quorum {quorum}", ""]
    return "\n".join(lines).encode()


def test_the_specifications_own_note_is_verified() -> None:
    """C2SP's example key verifies C2SP's example note, and both are written as they were read."""
    key = note.read_key(EXAMPLE_KEY)
    found = note.decode(EXAMPLE_NOTE)
    assert [verified.key for verified in note.verify(found, [key])] == [key]
    assert (key.text(), found.encode()) == (EXAMPLE_KEY, EXAMPLE_NOTE)


def test_the_specifications_own_cosigned_checkpoint_is_read() -> None:
    """The example has origin, size and root, and a cosignature of the time that it is said to be of."""
    stated, found = checkpoint.decode_note(COSIGNED)
    assert (stated.origin, stated.size, len(stated.root)) == ("example.com/behind-the-sofa", 20852163, 32)
    assert stated.text() == found.text
    assert int.from_bytes(found.signatures[1].signature[:8], "big") == 1679315147
    assert note.cosigned(found.text, 1679315147).startswith(b"cosignature/v1\ntime 1679315147\nexample.com/behind")


@pytest.mark.parametrize("name", sorted(TESSERA["checkpoints"]))
def test_checkpoints_of_tesseras_own_log_are_verified(name: str) -> None:
    """Each checkpoint of Tessera's test log is signed by its key and is one this policy takes."""
    trust = policy.decode(f"log {TESSERA['key']}\nquorum none\n".encode())
    found = policy.check(trust, TESSERA["checkpoints"][name].encode())
    assert found.checkpoint.origin == "example.com/log/testdata"


def test_a_known_key_with_a_false_signature_spoils_the_note() -> None:
    """Other keys are passed over, by name and id together; a false signature of a known one is not."""
    key = note.read_key(EXAMPLE_KEY)
    good = note.decode(EXAMPLE_NOTE)
    false = NoteSignature(key.name, key.id, bytes(64))
    stranger = NoteSignature(key.name, bytes(4), b"of an algorithm that nobody here knows")
    assert note.verify(Note(good.text, (stranger, *good.signatures)), [key])
    with pytest.raises(SignatureInvalid, match="is not by its key"):
        note.verify(Note(good.text, (*good.signatures, false)), [key, LOG.verifier, WITNESSES[0].verifier])
    with pytest.raises(SignatureInvalid, match="none by a known key"):
        note.verify(Note(good.text, (stranger,)), [key])
    with pytest.raises(SignatureInvalid):
        note.verify(Note(good.text + "more\n", good.signatures), [key])


def test_sixteen_signatures_are_accepted_and_a_thousand_are_not() -> None:
    """What the specification demands is read, and a bound is kept."""
    text = STATED.text()
    many = [SigningKey(f"w{number}", COSIGNATURE, bytes([number]) * 32) for number in range(16)]
    data = note.with_signatures(text, [key.sign(text, 1) for key in many]).encode()
    assert len(note.verify(note.decode(data), [key.verifier for key in many])) == 16
    with pytest.raises(UnknownFormat, match=f"at most {note.SIGNATURES_LIMIT}"):
        note.decode((text + "\n" + LOG.sign(text).line() * 1000).encode())


def test_a_note_may_be_as_long_and_have_as_many_signatures_as_are_read() -> None:
    """To the byte, and to the signature."""
    line = LOG.sign("text\n").line()
    most = ("text\n\n" + line * note.SIGNATURES_LIMIT).encode()
    assert len(note.decode(most).signatures) == note.SIGNATURES_LIMIT
    with pytest.raises(UnknownFormat, match=f"found a note with {note.SIGNATURES_LIMIT + 1} signatures"):
        note.decode(most + line.encode())
    tail = ("\n\n" + line).encode()
    longest = b"x" * (note.NOTE_LIMIT_BYTES - len(tail)) + tail
    assert note.decode(longest).encode() == longest
    with pytest.raises(UnknownFormat, match=f"found a note of {note.NOTE_LIMIT_BYTES + 1} bytes"):
        note.decode(b"x" + longest)


def test_a_text_may_have_blank_lines() -> None:
    """The last one is before the signatures; what stands before it is signed as it stands."""
    text = "a\n\n— name AAAAAAAA\n\n\nb\n"
    found = note.decode(note.with_signatures(text, [LOG.sign(text)]).encode())
    assert found.text == text
    assert note.verify(found, [LOG.verifier])


@pytest.mark.parametrize("character", ["+", " ", "\t", "\u2003", "\x00", "\x1b", *map(chr, (0xD800, 0xDBFF, 0xDFFF))])
def test_a_name_has_no_spaces_plus_signs_controls_and_halves_of_characters(character: str) -> None:
    """Each would part it in two, end its line, or be written as nothing at all."""
    for name in (character, f"a{character}b", f"a{character}"):
        with pytest.raises(InvalidInput, match="key name"):
            note.check_name(name)
    note.check_name("a!b\ud7ff\ue000\U0010ffff")


def test_a_signature_line_has_its_end() -> None:
    """A witness that was cut off in the middle of its answer has said nothing yet."""
    line = LOG.sign("text\n").line()
    assert note.decode_signature(line).line() == line
    for cut in (line[:-1], line.removeprefix("— "), line.replace(" ", "", 2), "— name\n"):
        with pytest.raises(UnknownFormat, match="expected a signature line"):
            note.decode_signature(cut)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "ends in"),
        (b"text\n", "without signatures"),
        (b"text\n\n", "without signatures"),
        (b"text\n\n\xe2\x80\x94 name AAAAAAAA\nno signature\n", "signature line"),
        (b"text\r\n\n\xe2\x80\x94 name AAAAAAAA\n", "control character"),
        (b"text\n\n\xe2\x80\x94 na+me AAAAAAAA\n", "key name"),
        (b"text\n\n\xe2\x80\x94  AAAAAAAA\n", "key name"),
        (b"text\n\n\xe2\x80\x94 name AAAA AAAA\n", "base64"),
        (b"text\n\n\xe2\x80\x94 name AAAAAB==\n", "no bits to spare"),
        (b"text\n\n\xe2\x80\x94 name AAAAAA==\n", "4 bytes"),
        (b"\xff\n\n\xe2\x80\x94 name AAAAAAAA\n", "UTF-8"),
        (b"x" * 1_000_001, "at most"),
    ],
)
def test_what_is_no_note_is_named(data: bytes, says: str) -> None:
    """Each way of being no note is an error that says which."""
    with pytest.raises(UnknownFormat, match=says):
        note.decode(data)


ROOT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n7\n",
        f"\n7\n{ROOT}\n",
        f"o\n07\n{ROOT}\n",
        f"o\n-1\n{ROOT}\n",
        f"o\n{2**63}\n{ROOT}\n",
        f"o\n٣\n{ROOT}\n",
        "o\n" + "9" * 5000 + f"\n{ROOT}\n",
        "o\n7\nAA==\n",
        f"o\n7\n{ROOT}\n\nextension\n",
        f"o\n7\n{ROOT}\n\n",
        f"o\n7\n{ROOT}",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    """Origin, size and root stand on lines of their own, each in its one spelling."""
    with pytest.raises(UnknownFormat):
        checkpoint.decode(text)


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [("", 7, bytes(32)), ("a\nb", 7, bytes(32)), ("o", -1, bytes(32)), ("o", 2**63, bytes(32)), ("o", 7, bytes(31))],
)
def test_what_is_no_checkpoint_has_no_text(origin: str, size: int, root: bytes) -> None:
    """What is wrong in one part alone would be signed, and read by nobody or as another."""
    with pytest.raises(InvalidInput):
        Checkpoint(origin, size, root).text()


def test_an_origin_may_have_spaces_and_a_tree_as_many_leaves_as_there_can_be() -> None:
    """Each is read back as it was."""
    widest = Checkpoint("a log", 2**63 - 1, bytes(32))
    assert checkpoint.decode(widest.text()) == widest


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name+530d903a", "verifier key"),
        (EXAMPLE_KEY.replace("530d903a", "530d903b"), "it was changed"),
        (EXAMPLE_KEY.replace("foo", "fop"), "it was changed"),
        (EXAMPLE_KEY.replace("530d903a", "530D903A"), "it was changed"),
        ("name+00000000+/w==", "0xff"),
        ("name+00000000+", "signature type none"),
        ("name+00000000+AQ==", "0 bytes"),
        ("\ud800+00000000+AQ==", "key name"),
    ],
)
def test_what_is_no_verifier_key_is_named(text: str, says: str) -> None:
    """An id that is not its key's shows that somebody changed either."""
    with pytest.raises(InvalidInput, match=says):
        note.read_key(text)


def test_a_checkpoint_needs_its_logs_signature_and_the_quorum() -> None:
    """Two of three and the fourth: every subset is accepted or refused as the groups say."""
    trust = policy.decode(policy_text("both"))
    text = STATED.text()
    for chosen in range(16):
        members = [witness for place, witness in enumerate(WITNESSES) if chosen >> place & 1]
        data = note.with_signatures(text, [LOG.sign(text), *(witness.sign(text, 5) for witness in members)]).encode()
        if (chosen & 7).bit_count() >= 2 and chosen & 8:
            found = policy.check(trust, data)
            assert [time for _, time in found.witnesses] == [5] * chosen.bit_count()
            assert found.note == note.decode(data)
        else:
            with pytest.raises(policy.QuorumUnmet):
                policy.check(trust, data)
    only = note.with_signatures(text, [witness.sign(text, 5) for witness in WITNESSES]).encode()
    with pytest.raises(SignatureInvalid, match="its log did not sign"):
        policy.check(trust, only)
    thief = SigningKey(LOG.name, ED25519, bytes(32))
    with pytest.raises(SignatureInvalid):
        policy.check(trust, signed(witnesses=4, log=thief))
    with pytest.raises(SignatureInvalid, match="the policy's logs are"):
        policy.check(trust, signed(Checkpoint("another.example/log", 7, STATED.root)))


def test_a_signature_claims_a_key_by_name_and_id() -> None:
    """Either alone is another key: a log may have two, and two may have one id."""
    key, line = WITNESSES[0].verifier, WITNESSES[0].sign("text\n", 5)
    assert line.claims(key)
    assert not NoteSignature("another", line.key_id, line.signature).claims(key)
    assert not NoteSignature(line.name, bytes(4), line.signature).claims(key)


def test_a_cosignature_is_of_a_second_below_two_to_the_63rd() -> None:
    """Whoever signed it: no program keeps more."""
    witness = WITNESSES[0]
    assert note.check_signature("text\n", witness.sign("text\n", 2**63 - 1), witness.verifier).time == 2**63 - 1
    with pytest.raises(SignatureInvalid, match="at most"):
        note.check_signature("text\n", witness.sign("text\n", 2**63), witness.verifier)


def test_a_cosignature_is_of_its_time() -> None:
    """A time that was changed, or put before a plain signature, makes it worthless."""
    text = STATED.text()
    good = WITNESSES[0].sign(text, 1_700_000_000)
    moved = NoteSignature(good.name, good.key_id, (1_700_000_001).to_bytes(8, "big") + good.signature[8:])
    for false in (moved, NoteSignature(good.name, good.key_id, good.signature[:7])):
        with pytest.raises(SignatureInvalid):
            note.check_signature(text, false, WITNESSES[0].verifier)
    with pytest.raises(InvalidInput, match="with a time"):
        WITNESSES[0].sign(text)
    with pytest.raises(InvalidInput, match="without one"):
        LOG.sign(text, 5)
    one_key = bytes(range(32))
    assert SigningKey("x", ED25519, one_key).verifier.id != SigningKey("x", COSIGNATURE, one_key).verifier.id


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (b"quorum two\nquorum none\n", "second quorum line"),
        (b"quorum nobody\n", "no witness and no group"),
        (b"quorum none", "not ended"),
        (b"", "no quorum line"),
        (b"quorum\n", "expected: quorum"),
        (b"group x 3 w3 two\nquorum none\n", "threshold"),
        (b"group x 0 w3\nquorum none\n", "threshold"),
        (b"group x 01 w3\nquorum none\n", "threshold"),
        (b"group x any w0\nquorum none\n", "member twice"),
        (b"group two any w3\nquorum none\n", "given twice"),
        (b"group none any w3\nquorum none\n", "reserved"),
        (b"group x any\nquorum none\n", "expected: group"),
        (b"group x any x\nquorum none\n", "no witness and no group"),
        (b"signer x\nquorum none\n", "begins with"),
        (b"quorum none\r\n", "control characters"),
        (f"log {LOG.verifier.text()}\nquorum none\n".encode(), "listed twice"),
        (f"witness w9 {WITNESSES[1].verifier.text()}\nquorum none\n".encode(), "listed twice"),
        (f"witness w9 {LOG.verifier.text()}\nquorum none\n".encode(), "0x01"),
        (f"log {WITNESSES[1].verifier.text()}\nquorum none\n".encode(), "0x04"),
        (b"log nonsense\nquorum none\n", "verifier key"),
        (b"log \xff+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\nquorum none\n", "key name"),
    ],
)
def test_a_policy_that_is_wrong_anywhere_is_no_policy(change: bytes, says: str) -> None:
    """The error names the line; nothing of the rest is used."""
    # The good policy without its last group, so that w3 is free, and without its quorum.
    good = policy_text().split(b"group both")[0]
    with pytest.raises(InvalidInput, match=says):
        policy.decode(good + change)


def test_a_policy_keeps_addresses_and_counts_words() -> None:
    """One address or none after the key; a word more or less is no such line, and a tab parts words as a space does."""
    log, keys = LOG.verifier.text(), [witness.verifier.text() for witness in WITNESSES]
    lines = (f"log {log}\t\thttps://log.example ", f"witness w0 {keys[0]}", f" witness w1 {keys[1]} https://w1")
    trust = policy.decode("\n".join((*lines, "quorum none", "")).encode())
    assert [log.url for log in trust.logs] == ["https://log.example"]
    assert [witness.url for witness in trust.witnesses] == [None, "https://w1"]
    assert policy.decode(f"log {log}\nquorum none\n".encode()).logs[0].url is None
    for line in ("log", f"log {log} a b", "witness w0", f"witness w0 {keys[0]} a b"):
        with pytest.raises(InvalidInput, match=r"line 1 of the policy: expected: (log <key>|witness <name>)"):
            policy.decode(f"{line}\nquorum none\n".encode())


def test_a_policy_says_of_which_origins_its_logs_are() -> None:
    """In order, and once of several keys of one log."""
    of = (("b.example/log", 1), ("a.example/log", 2), ("b.example/log", 3))
    keys = [SigningKey(name, ED25519, bytes([seed]) * 32).verifier.text() for name, seed in of]
    trust = policy.decode("".join([*(f"log {key}\n" for key in keys), "quorum none\n"]).encode())
    assert trust.origins() == ["a.example/log", "b.example/log"]
    assert policy.decode(b"quorum none\n").origins() == []


def test_a_policy_has_no_control_characters_and_parts_words_at_spaces_alone() -> None:
    """A name may have what other alphabets hold, spaces that are no blank among it; DEL it may not."""
    key = WITNESSES[0].verifier.text()
    for name in ("a\u00a0b", "\u2028", "\u0400"):
        trust = policy.decode(f"witness {name} {key}\nquorum {name}\n".encode())
        assert [witness.name for witness in trust.witnesses] == [name]
    for character in ("\x7f", "\x00", "\x1f", "\r"):
        with pytest.raises(InvalidInput, match="line 1 of the policy has control characters"):
            policy.decode(f"witness a{character}b {key}\nquorum none\n".encode())


def test_a_policy_may_be_as_long_as_it_may_be() -> None:
    """To the byte."""
    good = b"quorum none\n"
    longest = good + b"#" * (policy.POLICY_LIMIT_BYTES - len(good) - 1) + b"\n"
    assert policy.decode(longest).quorum == "none"
    with pytest.raises(InvalidInput, match="at most"):
        policy.decode(longest[:-1] + b"#\n")


def test_a_policy_may_name_as_many_witnesses_as_can_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the witness."""
    monkeypatch.setattr(policy, "WITNESSES_LIMIT", len(WITNESSES))
    assert len(policy.decode(policy_text()).witnesses) == len(WITNESSES)
    monkeypatch.setattr(policy, "WITNESSES_LIMIT", len(WITNESSES) - 1)
    with pytest.raises(InvalidInput, match=f"at most {len(WITNESSES) - 1} can sign"):
        policy.decode(policy_text())


def test_what_is_expected_of_a_verifier_key_is_said() -> None:
    """The signature types that are read here, in the policy's words."""
    with pytest.raises(InvalidInput, match=r"; expected 0x01 or 0x04$"):
        note.read_key("name+00000000+/w==")
    with pytest.raises(InvalidInput) as raised:
        note.read_key("name+00000000+AA")
    assert str(raised.value.__cause__).startswith("found verifier key 'AA'")


def test_names_of_a_policy_are_bytes() -> None:
    """The Kelvin sign is another name than K, and bytes that are no UTF-8 name a witness as well as any."""
    keys = [witness.verifier.text().encode() for witness in WITNESSES]
    lines = [b"witness K %s" % keys[0], "witness \N{KELVIN SIGN} ".encode() + keys[1], b"witness \xff\xfe\t" + keys[2]]
    trust = policy.decode(b"\n".join([*lines, b"quorum \xff\xfe", b""]))
    assert trust.is_met({WITNESSES[2].verifier.public_key})
    assert not trust.is_met({WITNESSES[0].verifier.public_key, WITNESSES[1].verifier.public_key})


def test_a_proof_file_proves_its_entry_and_no_other() -> None:
    """Each entry's file checks without anything but the policy; another entry, index or tree does not."""
    trust = policy.decode(policy_text())
    hashes = [tree.leaf_hash(leaf) for leaf in LEAVES]

    def read(nodes: object) -> list[bytes]:
        return [subtree(hashes[index << level : index + 1 << level]) for level, index in nodes]  # type: ignore[attr-defined]

    def subtree(part: list[bytes]) -> bytes:
        found = tree.Frontier()
        for leaf in part:
            found.add(leaf)
        return found.root()

    for index, leaf in enumerate(LEAVES):
        proof = ProofFile(index, tuple(tree.prove_inclusion(read, index, 7)), signed(witnesses=2), b"extra")
        again = proof_file.decode(proof.encode())
        assert again == proof
        assert proof_file.check(again, leaf, trust).checkpoint == STATED
        with pytest.raises(UnknownFormat, match="ends before its checkpoint"):
            proof_file.decode(proof.encode().partition(b"\n\n")[0])
        with pytest.raises(ProofInvalid):
            proof_file.check(again, leaf + b"!", trust)
        with pytest.raises(policy.QuorumUnmet):
            proof_file.check(ProofFile(index, proof.hashes, signed(witnesses=1)), leaf, trust)


def test_a_proof_file_may_be_as_long_as_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """In hashes and in bytes, to the last."""
    longest = ProofFile(3, (bytes(32),) * tree.PROOF_LIMIT, signed())
    data = longest.encode()
    assert proof_file.decode(data) == longest
    monkeypatch.setattr(proof_file, "FILE_LIMIT_BYTES", len(data))
    assert proof_file.decode(data) == longest
    monkeypatch.setattr(proof_file, "FILE_LIMIT_BYTES", len(data) - 1)
    with pytest.raises(UnknownFormat, match="at most"):
        proof_file.decode(data)


def test_what_is_no_proof_file_is_named() -> None:
    """A file without its first line, an index or a checkpoint is none."""
    good = ProofFile(3, (bytes(32),), signed()).encode()
    for data, says in (
        (b"", "begins with"),
        (good.replace(b"@v1", b"@v2"), "begins with"),
        (good.replace(b"index 3", b"index 03"), "leading zeros"),
        (good.replace(b"index 3\n", b""), "expected a line: index"),
        (good.replace(b"AAAA", b"AAA", 1), "hash"),
        (b"c2sp.org/tlog-proof@v1\nindex 3\n" + b"\xff\n\n", "no ASCII"),
        (ProofFile(3, (bytes(32),) * 64, signed()).encode(), "at most 63"),
    ):
        with pytest.raises(UnknownFormat, match=says):
            proof_file.decode(data)


SEEDS = [
    EXAMPLE_NOTE,
    COSIGNED,
    signed(witnesses=4),
    policy_text("both"),
    ProofFile(3, (bytes(32),), signed()).encode(),
]


@given(st.sampled_from(SEEDS), st.data())
def test_mutated_bytes_end_in_named_errors(seed: bytes, data: st.DataObject) -> None:
    """Cut, doubled, flipped: what is read is read back the same, everything else is refused by name."""
    start, end = sorted((data.draw(st.integers(0, len(seed))), data.draw(st.integers(0, len(seed)))))
    changed = seed[:start] + data.draw(st.binary(max_size=8) | st.just(seed[start:end] * 2)) + seed[end:]
    with contextlib.suppress(LedgerError):
        assert note.decode(changed).encode() == changed
    with contextlib.suppress(LedgerError):
        assert proof_file.decode(changed).encode() == changed
    with contextlib.suppress(LedgerError):
        policy.decode(changed)
    with contextlib.suppress(LedgerError):
        stated, found = checkpoint.decode_note(changed)
        assert stated.text() == found.text


def test_a_verifier_key_is_read_back() -> None:
    """Keys of both algorithms are written and read."""
    for key in (LOG.verifier, WITNESSES[0].verifier, VerifierKey("ü.example/é", ED25519, bytes(32))):
        assert note.read_key(key.text()) == key


def test_a_note_is_by_a_key_that_has_truly_signed_it() -> None:
    """One of several is enough; a line that only claims to be of it is not."""
    read = note.decode(signed(witnesses=1))
    assert note.is_by(read, [LOG.verifier])
    assert note.is_by(read, [WITNESSES[1].verifier, WITNESSES[0].verifier])
    assert not note.is_by(read, [WITNESSES[1].verifier])
    false = [NoteSignature(one.name, one.key_id, bytes(len(one.signature))) for one in read.signatures]
    assert not note.is_by(note.with_signatures(read.text, false), [LOG.verifier, WITNESSES[0].verifier])


def test_a_policy_that_says_nothing_of_a_log_is_named_with_those_that_it_has() -> None:
    """So that whoever took the wrong file sees which it was."""
    other = SigningKey("ledger.example/other", ED25519, bytes(32))
    logs = "".join(f"log {key.verifier.text()}\n" for key in (LOG, other))
    trust = policy.decode(f"{logs}quorum none\n".encode())
    policy.check_lists(trust, LOG.name)
    with pytest.raises(InvalidInput) as refused:
        policy.check_lists(trust, "ledger.example/third")
    assert str(refused.value) == (
        f"the policy is for other logs ({', '.join(sorted((LOG.name, other.name)))}), and this chain is "
        "ledger.example/third; bring one that lists it"
    )
    with pytest.raises(InvalidInput, match=r"other logs \(none\)"):
        policy.check_lists(policy.decode(b"quorum none\n"), LOG.name)
