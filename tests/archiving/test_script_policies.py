"""
Check that the script for auditors takes a policy for what the verifier takes it for, and what is none for none.
"""

from __future__ import annotations

import importlib.util
from hashlib import sha512
from pathlib import Path
from types import ModuleType

import pytest

from ledger.errors import InvalidInput, SignatureInvalid
from ledger.evidence import note, policy
from ledger.evidence.note import COSIGNATURE, ED25519, NoteSignature, SigningKey, VerifierKey
from tests.archiving.chains import KEY, ORIGIN, WITNESS
from tests.archiving.test_script import SCRIPT, SECOND, run


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script as a module, for what is asked of it many times."""
    spec = importlib.util.spec_from_file_location("verify_archive", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


LOG, W1, W2 = (
    f"log {KEY.verifier.text()}",
    f"witness w1 {WITNESS.verifier.text()}",
    f"witness w2 {SECOND.verifier.text()}",
)
OWN = VerifierKey("w1", COSIGNATURE, KEY.verifier.public_key)


def _named(name: str) -> VerifierKey:
    return VerifierKey(name, COSIGNATURE, KEY.verifier.public_key[::-1])


def _crowd(count: int) -> str:
    """Return a policy of so many witnesses."""
    keys = (VerifierKey(f"w{n}", COSIGNATURE, n.to_bytes(32, "big")) for n in range(count))
    return f"{LOG}\n" + "".join(f"witness {key.name} {key.text()}\n" for key in keys) + "quorum w0\n"


POLICIES = {
    "as many witnesses as a checkpoint has room for": _crowd(240),
    "a witness too many": _crowd(241),
    "whole": f"{LOG} https://log\n\n # comment\n\t{W1}   https://w1\n{W2}\ngroup g any w1 w2\nquorum g\n",
    "groups of groups": f"{LOG}\n{W1}\n{W2}\ngroup a all w1\ngroup b 2 a w2\nquorum b\n",
    "none": f"{LOG}\nquorum none\n",
    "a control character": f"{LOG}\n# \x01\nquorum none\n",
    "a deleted character": f"{LOG}\n# \x7f\nquorum none\n",
    "a return": f"{LOG}\r\nquorum none\n",
    "only a quorum": "quorum none\n",
    "empty": "",
    "cut": f"{LOG}\nquorum none",
    "two quorum lines": f"{LOG}\n{W1}\nquorum w1\nquorum none\n",
    "no quorum line": f"{LOG}\n{W1}\n",
    "a quorum of nobody": f"{LOG}\n{W1}\nquorum\n",
    "a quorum of two": f"{LOG}\n{W1}\n{W2}\nquorum w1 w2\n",
    "an unknown quorum": f"{LOG}\n{W1}\nquorum w9\n",
    "a quorum before its name": f"{LOG}\nquorum w1\n{W1}\n",
    "a quorum of the log": f"{LOG}\n{W1}\nquorum {KEY.verifier.text()}\n",
    "a log's key twice": f"{LOG}\n{LOG}\nquorum none\n",
    "a witness's key twice": f"{LOG}\n{W1}\n{W1.replace('w1 ', 'w2 ', 1)}\nquorum w1\n",
    "a log's key for its witness": f"{LOG}\nwitness w1 {OWN.text()}\nquorum w1\n",
    "a witness's key for its log": f"witness w1 {OWN.text()}\n{LOG}\nquorum w1\n",
    "a name twice": f"{LOG}\n{W1}\n{W2.replace('w2 ', 'w1 ', 1)}\nquorum w1\n",
    "a witness named none": f"{LOG}\n{W1.replace('w1 ', 'none ', 1)}\nquorum none\n",
    "a group named as a witness": f"{LOG}\n{W1}\ngroup w1 any w1\nquorum w1\n",
    "a member twice": f"{LOG}\n{W1}\ngroup g 2 w1 w1\nquorum g\n",
    "a member of two groups": f"{LOG}\n{W1}\n{W2}\ngroup g any w1\ngroup h all w1 w2\nquorum h\n",
    "an unknown member": f"{LOG}\n{W1}\ngroup g any w1 w7\nquorum g\n",
    "none as a member": f"{LOG}\n{W1}\ngroup g any w1 none\nquorum g\n",
    "the log as a member": f"{LOG}\n{W1}\ngroup g any {KEY.verifier.text()}\nquorum g\n",
    "no members": f"{LOG}\n{W1}\ngroup g any\nquorum g\n",
    "all of none": f"{LOG}\n{W1}\ngroup g all\nquorum g\n",
    **{
        f"threshold {n}": f"{LOG}\n{W1}\ngroup g {n} w1\nquorum g\n"
        for n in ("0", "-1", "2", "01", "+1", "x", "1.0", "\u0661")
    },
    "a log without a key": f"log\n{W1}\nquorum w1\n",
    "a log with too much": f"{LOG} a b\nquorum none\n",
    "a witness without a key": f"{LOG}\nwitness w1\nquorum none\n",
    "a witness's key for a log": f"log {WITNESS.verifier.text()}\nquorum none\n",
    "a log's key for a witness": f"{LOG}\nwitness w1 {KEY.verifier.text()}\nquorum w1\n",
    "a key of another name": f"{LOG.replace('ledger', 'lodger')}\nquorum none\n",
    "a key that is none": "log zzz\nquorum none\n",
    **{
        f"a key named {what}": f"{LOG}\nwitness q {_named(name).text()}\nquorum none\n"
        for what, name in (("", ""), ("a no-break space", "a\u00a0b"), ("a line", "a\u2028b"), ("no space", "a\u200bb"))
    },
    "a short key": "log other.example+00000000+AQ==\nquorum none\n",
    "another line end": f"{LOG}\r\nquorum none\r\n",
    "an unknown line": f"{LOG}\nlogs x\nquorum none\n",
}  # fmt: skip


@pytest.mark.parametrize("case", POLICIES)
def test_what_is_no_policy_for_the_verifier_is_none_for_the_script(script: ModuleType, case: str) -> None:
    """A policy that is half understood is not the one that was meant, whoever reads it."""
    data = POLICIES[case].encode()
    try:
        known = policy.decode(data)
    except InvalidInput:
        known = None
    try:
        keys, groups, quorum = script.read_policy(data)
    except (ValueError, LookupError):
        keys = None
    assert (keys is None) == (known is None)
    if keys is None or known is None:
        return
    assert quorum == known.quorum
    assert [key[3][1:] for key in keys if key[3][0] == ED25519] == [log.key.public_key for log in known.logs]
    assert [(key[0], key[3][1:]) for key in keys if key[3][0] == COSIGNATURE] == [
        (witness.name, witness.key.public_key) for witness in known.witnesses
    ]
    assert [(name, needed, tuple(members)) for needed, (name, _, *members) in groups] == [
        (group.name, group.needed, group.members) for group in known.groups
    ]


@pytest.mark.parametrize(
    "case", ["a witness's key twice", "a member twice", "threshold 0", "cut", "a quorum of nobody"]
)
def test_without_a_policy_the_script_verifies_nothing(copy: Path, case: str) -> None:
    """The archive is good, and nobody is called a forger."""
    status, said = run(copy, POLICIES[case].encode())
    assert (status, said.startswith("could not verify: ")) == (4, True)


def test_a_policy_for_another_log_verifies_nothing(copy: Path) -> None:
    other = SigningKey("another.example/log", ED25519, bytes(32)).verifier.text()
    assert run(copy, f"log {other}\nquorum none\n".encode())[0] == 4
    stranger = SigningKey(ORIGIN, ED25519, bytes(32)).verifier.text()
    assert run(copy, f"log {stranger}\nquorum none\n".encode())[0] == 3


@pytest.mark.parametrize("parity", [0, 1])
def test_a_key_with_a_part_of_small_order_signs_for_both_or_for_neither(script: ModuleType, parity: int) -> None:
    """Such a key signs half of all texts, by the rule that RFC 8032 gives and other programs keep."""

    def encoded(point: tuple[int, int]) -> bytes:
        return (point[1] | point[0] % 2 << 255).to_bytes(32, "little")

    base, secret, text = script.point_of(script.BASE), 12345678901234567890, "text\n"
    public = encoded(script.add(script.multiply(secret, base), (0, script.P - 1)))
    for number in range(2, 50):
        begin = encoded(script.multiply(number, base))
        challenge = int.from_bytes(sha512(begin + public + text.encode()).digest(), "little") % script.ORDER
        if challenge % 2 == parity:
            break
    signature = begin + ((number + challenge * secret) % script.ORDER).to_bytes(32, "little")
    key = VerifierKey("x", ED25519, public)
    try:
        note.check_signature(text, NoteSignature("x", key.id, signature), key)
        good = True
    except SignatureInvalid:
        good = False
    assert script.is_signed(public, text.encode(), signature) == good == (parity == 0)
