"""
Let one key take over from another under a signer and its witness, on real sockets, and end the old one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ledger.errors import NotPermitted
from ledger.evidence import note, policy, revocation
from ledger.evidence import signer as signing
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import ED25519, SigningKey
from ledger.evidence.revocation import Revoked
from ledger.evidence.witness import SIZE_TYPE
from ledger.sealing import asking, services, serving
from ledger.sealing.asking import Refused
from ledger.sealing.places import NotAnswering, Place
from ledger.sealing.promises import Promises
from tests.sealing.logs import KEY as OLD
from tests.sealing.logs import WITNESSES, Log, served

NEW = SigningKey(OLD.name, ED25519, bytes([77]) * 32)
LOG, FORK = Log(), Log(fork=10)
NOBODY = policy.decode(b"quorum none\n")
WITNESS = WITNESSES[0]


@contextlib.contextmanager
def witness(folder: Path, known: Sequence[SigningKey], revoked: Sequence[Revoked] = ()) -> Iterator[Place]:
    """Start a witness, or the same one again, that knows these keys of the log."""
    logs = {OLD.name: [key.verifier for key in known]}
    with Promises(folder / "witness.json") as state:
        respond = services.witness_of(state, logs, WITNESS, lambda: 1_700_000_000, folder / "evidence", revoked)
        with served(respond, folder / "witness") as address:
            yield Place(address)


@contextlib.contextmanager
def signer(
    folder: Path,
    asked: Place | None,
    key: SigningKey,
    *also: SigningKey,
    former: Sequence[SigningKey] = (),
    more: str = "",
) -> Iterator[Place]:
    """Start the signer, or the same one again, with these keys; it asks a witness first if there is one."""
    trust = NOBODY
    if asked is not None:
        trust = policy.decode(f"witness w {WITNESS.verifier.text()} {asked.address}\nquorum w\n{more}".encode())
    with (
        Promises(folder / "signer.json") as state,
        served(
            services.signer_of(state, key, NOBODY, trust, also, former=[one.verifier for one in former]),
            folder / "signer",
        ) as address,
    ):
        yield Place(address)


def sign(place: Place, size: int, log: Log = LOG) -> bytes:
    found = asking.submit(place, signing.SIGN_CHECKPOINT, log.unsigned(size), size, log.prove(size))
    return note.with_signatures(log.text(size), found).encode()


def cosign(place: Place, signed: bytes, size: int) -> None:
    asking.cosign(place, WITNESS.verifier, signed, size, LOG.prove(size))


def test_a_key_takes_over_while_nobody_waits(tmp_path: Path) -> None:
    """Old alone, both, new alone: each is cosigned by a witness that knows what it knew a step before."""
    with witness(tmp_path, [OLD]) as outside:
        with signer(tmp_path, outside, OLD) as place:
            cosign(outside, sign(place, 10), 10)
        with signer(tmp_path, outside, NEW, OLD) as place:
            signed = sign(place, 20)
            assert len(note.verify(note.decode(signed), [OLD.verifier, NEW.verifier])) == 2
            cosign(outside, signed, 20)
    with witness(tmp_path, [OLD, NEW]) as outside, signer(tmp_path, outside, NEW, OLD) as place:
        cosign(outside, sign(place, 30), 30)
    gone = [Revoked(OLD.verifier.public_key, 30)]
    with witness(tmp_path, [OLD, NEW], gone) as outside, signer(tmp_path, outside, NEW) as place:
        with pytest.raises(Refused, match="fork"):
            sign(place, 40, FORK)
        cosign(outside, sign(place, 40), 40)
        text = LOG.text(50)
        with pytest.raises(NotAnswering, match="revoked before that size"):
            cosign(outside, note.with_signatures(text, [OLD.sign(text)]).encode(), 50)
        cosign(outside, sign(place, 50), 50)


def test_the_new_key_is_held_to_what_the_old_one_signed(tmp_path: Path) -> None:
    """It has the same memory: no fork, and no way back, also where only the witness knows of it."""
    with witness(tmp_path, [OLD, NEW]) as outside:
        with signer(tmp_path, outside, OLD) as place:
            cosign(outside, sign(place, 30), 30)
        (tmp_path / "signer.json").unlink()
        with signer(tmp_path, outside, NEW) as place, pytest.raises(Refused, match="give the key that it took over"):
            sign(place, 40)
        with signer(tmp_path, outside, NEW, OLD) as place:
            with pytest.raises(Refused, match="fork"):
                sign(place, 40, FORK)
            sign(place, 40)


def test_a_state_from_before_the_old_key_was_revoked_goes_on_with_what_that_key_signed(tmp_path: Path) -> None:
    """The witness shows more, by the old key alone, beyond its end: it is held to that, and signs with it no more."""
    ended, line = Revoked(OLD.verifier.public_key, 30), f"revoked {OLD.verifier.text()} 30\n"
    with witness(tmp_path, [OLD, NEW]) as outside, signer(tmp_path, outside, OLD) as place:
        cosign(outside, sign(place, 40), 40)
        before = (tmp_path / "signer.json").read_bytes()
        cosign(outside, sign(place, 50), 50)
    (tmp_path / "signer.json").write_bytes(before)
    with witness(tmp_path, [OLD, NEW], [ended]) as outside:
        with pytest.raises(NotPermitted, match="revoked"), signer(tmp_path, outside, NEW, OLD, more=line):
            pass
        with signer(tmp_path, outside, NEW, more=line) as place, pytest.raises(Refused, match="--took-over-from"):
            sign(place, 55)
        with signer(tmp_path, outside, NEW, former=[OLD], more=line) as place:
            with pytest.raises(Refused, match="fork"):
                sign(place, 55, FORK)
            signed = sign(place, 55)
            assert [found.key for found in note.verify(note.decode(signed), [OLD.verifier, NEW.verifier])] == [
                NEW.verifier
            ]
            cosign(outside, signed, 55)


def test_one_witness_that_shows_what_a_thief_made_of_the_old_key_does_not_poison_the_new_one(tmp_path: Path) -> None:
    """Two of three have answered well; what the third shows the quorum has not cosigned, and its own line is one."""
    line = f"revoked {OLD.verifier.text()} 30\n"
    text = Checkpoint(OLD.name, 10**9, bytes(32)).text()
    stolen = note.with_signatures(text, [OLD.sign(text), WITNESSES[2].sign(text, 1_700_000_000)]).encode()
    heard: list[str] = []
    with contextlib.ExitStack() as stack:
        urls = []
        for number in (0, 1):
            (tmp_path / str(number)).mkdir()
            state = stack.enter_context(Promises(tmp_path / str(number) / "state"))
            respond = services.witness_of(
                state,
                {OLD.name: [OLD.verifier, NEW.verifier]},
                WITNESSES[number],
                lambda: 1_700_000_000,
                tmp_path / "e",
            )
            urls.append(stack.enter_context(served(respond, tmp_path / str(number) / "socket")))
            asking.cosign(Place(urls[-1]), WITNESSES[number].verifier, LOG.signed(30), 30, LOG.prove(30))
        urls.append(stack.enter_context(served(
            lambda method, path, body: serving.Reply(409, b"1000000000\n", SIZE_TYPE) if method == "POST"
            else serving.Reply(200, stolen), tmp_path / "liar",
        )))  # fmt: skip
        members = "".join(
            f"witness w{number} {key.verifier.text()} {url}\n"
            for number, (key, url) in enumerate(zip(WITNESSES[:3], urls, strict=True))
        )
        for needed, met in ((2, True), (3, False)):
            trust = policy.decode(f"{members}group q {needed} w0 w1 w2\nquorum q\n{line}".encode())
            with Promises(tmp_path / f"signer{needed}.json") as own:
                respond = services.signer_of(own, NEW, NOBODY, trust, tell=heard.append, former=[OLD.verifier])
                with served(respond, tmp_path / f"signer{needed}") as address:
                    if not met:
                        with pytest.raises(Refused, match="leave this witness out"):
                            sign(Place(address), 40)
                        continue
                    sign(Place(address), 40)
                    assert own.kept[NEW.name].size == 40
    assert any("w2 shows a checkpoint of 1000000000" in said for said in heard)


def test_a_new_key_that_knows_the_old_ones_checkpoint_is_known_by_the_new_one(tmp_path: Path) -> None:
    """A witness that was told the new key only is asked under that one's signature, of what the old one signed."""
    with witness(tmp_path, [OLD]) as outside, signer(tmp_path, outside, OLD) as place:
        cosign(outside, sign(place, 30), 30)
    with witness(tmp_path, [NEW]) as outside, signer(tmp_path, outside, NEW) as place:
        cosign(outside, sign(place, 40), 40)


def test_a_signer_does_not_start_with_a_key_that_its_policies_revoke(tmp_path: Path) -> None:
    """Of either policy, and of either key."""
    revoking = policy.decode(f"{revocation.line(OLD.verifier, 30)}\nquorum none\n".encode())
    with Promises(tmp_path / "signer.json") as state:
        for needed, witnesses in ((revoking, NOBODY), (NOBODY, revoking)):
            for key, also in ((OLD, ()), (NEW, (OLD,))):
                with pytest.raises(NotPermitted, match="was revoked after 30; start the signer without"):
                    services.signer_of(state, key, needed, witnesses, also)
        services.signer_of(state, NEW, revoking, revoking)
