"""
Be a signer or a witness: judge a request, keep what is promised, and only then say it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from ledger.chain import private_files
from ledger.errors import LedgerError, NotPermitted, Unavailable
from ledger.evidence import checkpoint, signer, witness
from ledger.evidence.note import SigningKey, VerifierKey
from ledger.evidence.policy import NONE, Policy
from ledger.evidence.revocation import Revoked
from ledger.evidence.witness import NOTHING, Answer, Evidence
from ledger.sealing import asking
from ledger.sealing.promises import Promises
from ledger.sealing.serving import Reply, Respond

UNJOINED_PREFIX: Final = "unjoined-"
UNJOINED_LIMIT: Final = 1_000
"""So many files about proofs that failed are left of one log: enough to see what it signed, too few to fill a disk."""

FORK_PREFIX: Final = "fork-"
FORK_LIMIT: Final = 100
"""So many files about two roots of one size are left of one log: one convicts it, and its key makes any number."""

Clock = Callable[[], int]
"""What returns the time in seconds since 1970."""


def reply(answer: Answer) -> Reply:
    """
    Return the reply that says an answer.
    """
    return Reply(answer.status, answer.body.encode(), answer.content_type)


def shown_by(promises: Promises, path: str) -> Reply | None:
    """
    Return the newest checkpoint that is kept of the log whose path this is, if it is one's.
    """
    for origin, kept in promises.kept.items():
        if path == witness.checkpoint_path(origin):
            return Reply(200, kept.signed)
    return None


def elsewhere(method: str, path: str, expected: str) -> Reply:
    """
    Return the reply to who asked for what is not there.
    """
    return Reply(404, f"nothing is at {method} {path[:200]}; expected POST {expected}\n".encode())


def witness_of(
    promises: Promises,
    logs: Mapping[str, Sequence[VerifierKey]],
    key: SigningKey,
    clock: Clock,
    evidence: Path,
    revoked: Sequence[Revoked] = (),
    tell: Callable[[str], None] = lambda what: None,
) -> Respond:
    """
    Return what answers as a witness of *logs*; of a log that contradicts itself it leaves the proof in *evidence*.

    Of *revoked* keys nothing is cosigned beyond the size up to which they count. *tell* hears of each log's first fork,
    and that evidence went to make room for newer.
    """
    told = set[str]()

    def tell_once(what: str) -> None:
        # Whoever has a log's key makes forks without end, and anybody false proofs: neither is to fill a log as well.
        if what not in told:
            told.add(what)
            tell(what)

    def respond(method: str, path: str, body: bytes) -> Reply:
        if method == "GET":
            return shown_by(promises, path) or Reply(404, b"no checkpoint of such a log was cosigned here\n")
        if path != witness.ADD_CHECKPOINT:
            return elsewhere(method, path, witness.ADD_CHECKPOINT)
        answer = witness.answer(promises.kept, logs, body, key, clock(), revoked)
        if answer.evidence is not None:
            _leave(evidence, answer.evidence, tell_once)
        if answer.keep is not None:
            promises.keep(checkpoint.decode_note(answer.keep.signed)[0].origin, answer.keep)
        return reply(answer)

    return respond


def _leave(folder: Path, evidence: Evidence, tell: Callable[[str], None]) -> None:
    """
    Leave evidence under the name of what both checkpoints state, so that saying it again leaves one file.

    Two roots of one size convict whoever has the log's key, and the oldest half of the `FORK_LIMIT` is never taken
    away: the first fork of a log stays, however many come after it.

    Two sizes that the proof does not join may be a fork, or what anybody made of two checkpoints that a log published.
    So of a log half of the `UNJOINED_LIMIT` left are the oldest and half the newest: a fork is among them unless as
    many false proofs as that came before it and as many after it. Who watches the witness copies them away meanwhile.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    prefix, limit = (FORK_PREFIX, FORK_LIMIT) if evidence.of_one_size else (UNJOINED_PREFIX, UNJOINED_LIMIT)
    origin = checkpoint.decode_note(evidence.newer)[0].origin
    prefix = f"{prefix}{sha256(origin.encode()).hexdigest()[:8]}-"
    left = sorted(folder.glob(f"{prefix}*"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    path = folder / f"{prefix}{evidence.name}.json"
    if path in left:
        return
    _write(path, evidence.encode())
    if evidence.of_one_size:
        tell(f"{origin} has signed two roots of one size, which convict whoever has its key: see {folder}")
    if left and path.stat().st_mtime_ns <= (last := left[-1].stat().st_mtime_ns):
        # A clock that was set back makes no newer evidence the oldest, of which nothing goes.
        os.utime(path, ns=(last + 1, last + 1))
    newest = limit - limit // 2
    for surplus in [*left, path][limit // 2 : -newest]:
        surplus.unlink()
        tell(f"of {origin} there are {limit} files {prefix}… in {folder}, and all but the oldest {limit // 2} now make "
             "room for newer: copy them away, and find out who sends them")  # fmt: skip


def _write(path: Path, content: bytes) -> None:
    """Write a file that is whole and on disk when its name appears."""
    beside = path.with_name(".new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    private_files.settle(path.parent)


def remembered(promises: Promises, key: SigningKey, witnesses: Policy) -> list[str]:
    """
    Return what people have to know of a signer whose state knows nothing of its log, and that has nobody to ask.
    """
    if key.name in promises.kept or witnesses.quorum != NONE:
        return []
    # As it is for a first start, and for one with the name of another file: only people can tell these apart.
    return [
        f"the state is new, and without --witnesses nobody is asked what {key.name} signed before: if it has signed, "
        "end this, and name the state that it kept"
    ]


def signer_of(
    promises: Promises,
    key: SigningKey,
    needed: Policy,
    witnesses: Policy,
    also: Sequence[SigningKey] = (),
    tell: Callable[[str], None] = lambda what: None,
    former: Sequence[VerifierKey] = (),
) -> Respond:
    """
    Return what answers as the signer of the log that *key* is named after; it signs with the keys in *also* too.

    What *former* keys of the log have signed it is held to, and signs with them no more: one that was revoked is such.

    It signs nothing before as many of the *witnesses* as their quorum says have told what they saw, at each start anew:
    a state that was put back to an older one would otherwise sign a second history. *tell* hears what a witness said
    that was not believed.

    Raises:
        NotPermitted: a key was revoked, or the state is from a backup and there is no witness to ask.
    """
    _check_keys((key, *also), (needed, witnesses))
    if promises.restored and witnesses.quorum == NONE:
        raise NotPermitted(
            "the state was restored from a backup, and more may have been signed since it was made; give the witnesses "
            "that know (--witnesses) before anything is signed again"
        )
    told = False

    def respond(method: str, path: str, body: bytes) -> Reply:
        nonlocal told
        if method == "GET":
            return shown_by(promises, path) or Reply(404, b"nothing was signed here yet\n")
        if path != signer.SIGN_CHECKPOINT:
            return elsewhere(method, path, signer.SIGN_CHECKPOINT)
        kept = promises.kept.get(key.name, NOTHING)
        if not told:
            try:
                seen = asking.seen_by_quorum(witnesses, key, kept, also, tell, former)
                newest = signer.newest(kept, seen, key, also, former)
            except Unavailable as error:
                return Reply(503, f"{error}\n".encode())
            except LedgerError as error:
                return Reply(403, f"{error}\n".encode())
            if newest != kept or (promises.restored and kept.signed):
                # Either way it is no longer what the backup said, but what the witnesses know.
                promises.keep(key.name, newest)
                kept = newest
            told = True
        answer = signer.answer(kept, body, key, needed, also)
        if answer.keep is not None:
            promises.keep(key.name, answer.keep)
        return reply(answer)

    return respond


def _check_keys(keys: Sequence[SigningKey], policies: Sequence[Policy]) -> None:
    revoked = {found.public_key: found.last_valid_size for trust in policies for found in trust.revoked}
    for key in keys:
        if key.verifier.public_key in revoked:
            size = revoked[key.verifier.public_key]
            raise NotPermitted(f"{key.verifier.text()} was revoked after {size}; start the signer without that key")
