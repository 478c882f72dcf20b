"""
Ask many for a cosignature at once, and wait no longer than what is needed of them.

Each is asked one thing at a time. Who is slow is not asked again meanwhile, and what it says late is not lost.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final

import msgspec

from ledger.errors import Corrupt, Unavailable
from ledger.evidence.note import NoteSignature
from ledger.evidence.policy import Policy, Witness
from ledger.sealing import asking
from ledger.sealing.asking import KeysAt, Prove, Refused
from ledger.sealing.places import NotAnswering, Place

GRACE_SECONDS: Final = 0.25
"""How long those are waited for who are not needed: most answer in a few milliseconds."""

ASKED_AT_ONCE: Final = 16


class Unshown(Refused):
    """
    Somebody says that this history is not the one they know, and shows no checkpoint of the log that says so.
    """


class Said(msgspec.Struct, frozen=True):
    """
    What came of asking: who cosigned how many events with what, the words of those who did not, and the first of those
    who say that this history is not the one they know, or to whom nothing could be proven from the tiles here.

    Where the log's keys are known, who says so and shows nothing that they signed is among those who did not cosign, as
    long as the others could make the quorum.
    """

    cosigned: tuple[tuple[Witness, int, NoteSignature], ...]
    silent: tuple[str, ...]
    refused: Refused | Corrupt | None = None

    def check(self) -> None:
        """
        Raise `refused`, after what the others gave was kept.
        """
        if self.refused is not None:
            raise self.refused


class Cosigners:
    """
    Those who are asked to cosign, as a policy lists them with their addresses.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._pool = ThreadPoolExecutor(ASKED_AT_ONCE, "cosigner")
        self._running: dict[str, tuple[Witness, int, Future[NoteSignature]]] = {}
        self._kept: dict[str, int] = {}
        self._refused: Refused | Corrupt | None = None
        self._doubted: dict[str, Unshown] = {}

    def ask(
        self,
        signed: bytes,
        size: int,
        prove: Prove,
        done: Collection[str] = (),
        patient: bool = True,
        keys_at: KeysAt | None = None,
    ) -> Said:
        """
        Ask all but those who are *done* to cosign a checkpoint of *size*; names are the policy's. *keys_at* says
        which keys the log has.

        With the quorum met nobody is waited for longer than `GRACE_SECONDS`; short of it, everybody is if *patient*.
        """
        silent: list[str] = []
        self._refused = None
        if patient:
            wait([future for _, _, future in self._running.values()])
        cosigned = self._ended(silent)
        for member in self.policy.witnesses:
            if member.name in done or member.name in self._running:
                continue
            if member.url is None:
                silent.append(f"{member.name}: the policy says no address for it")
                continue
            if not self.policy.counts(member.key.public_key, size):
                silent.append(f"{member.name}: its key is revoked, and counts for no checkpoint of {size}")
                continue
            ask = self._asking(member, Place(member.url), signed, size, prove, keys_at)
            self._running[member.name] = member, size, self._pool.submit(ask)
        futures = [future for _, _, future in self._running.values()]
        ended, waiting = wait(futures, GRACE_SECONDS)
        while waiting and patient and not self._is_met(size, done):
            more, waiting = wait(waiting, None, FIRST_COMPLETED)
            ended |= more
        cosigned += self._ended(silent)
        silent += [f"{name}: no answer yet" for name in self._running]
        return Said(tuple(cosigned), tuple(sorted(silent)), self._refused or self._needed(size))

    def _needed(self, size: int) -> Unshown | None:
        """Return who says without showing it that this is another history, if the quorum cannot be had without them."""
        others = {member.name for member in self.policy.witnesses} - set(self._doubted)
        return None if self.is_met(others, size) else next(iter(self._doubted.values()), None)

    def _ended(self, silent: list[str]) -> list[tuple[Witness, int, NoteSignature]]:
        """Take out whoever has answered; the words of those who did not cosign go to *silent*."""
        cosigned = []
        for name, (member, of, future) in list(self._running.items()):
            if future.done():
                del self._running[name]
                self._doubted.pop(name, None)
                try:
                    cosigned.append((member, of, future.result()))
                except Unavailable as error:
                    silent.append(f"{name}: {error}")
                except Unshown as error:
                    self._doubted[name] = error
                    silent.append(f"{name}: not believed, as it shows nothing that the log signed: {error}")
                except (Refused, Corrupt) as error:
                    self._refused = self._refused or error
        return cosigned

    def is_met(self, names: Collection[str], size: int) -> bool:
        """
        Whether the members of these names make up the quorum of a checkpoint of *size*, with keys that count for it.
        """
        members = (member for member in self.policy.witnesses if member.name in names)
        keys = {member.key.public_key for member in members}
        return self.policy.is_met({key for key in keys if self.policy.counts(key, size)})

    def close(self) -> None:
        """
        Ask nobody any more; who is asked now is not waited for.
        """
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _is_met(self, size: int, done: Collection[str]) -> bool:
        said = {
            name
            for name, (_, of, future) in self._running.items()
            if of == size and future.done() and future.exception() is None
        }
        return self.is_met(said | set(done), size)

    def _asking(
        self, member: Witness, place: Place, signed: bytes, size: int, prove: Prove, keys_at: KeysAt | None
    ) -> Callable[[], NoteSignature]:
        def ask() -> NoteSignature:
            try:
                found = asking.cosign(place, member.key, signed, size, prove, self._kept.get(member.name, 0))
            except Refused as error:
                if keys_at is None:
                    raise
                other = None
                with contextlib.suppress(NotAnswering):
                    other = asking.contradicting(place, keys_at, signed, size, prove)
                if other is None:
                    raise Unshown(str(error)) from error
                raise Refused(f"{error}; it shows {other.decode(errors='replace')!r}") from error
            self._kept[member.name] = size
            return found

        return ask


def names(found: Sequence[tuple[Witness, int, NoteSignature]], size: int) -> set[str]:
    """
    Return the policy's names of those who cosigned a checkpoint of *size*.
    """
    return {member.name for member, of, _ in found if of == size}
