"""
Be a replica that cosigns: sign the root that the region made of its own events, and no other.

Such a cosignature says that the region holds every event under the checkpoint. It comes before the log's own
signature, so that what is signed is never in one region only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ledger.errors import LedgerError, UnknownFormat, shown
from ledger.evidence import checkpoint, note, witness
from ledger.evidence.note import SigningKey
from ledger.evidence.witness import NOTHING, Kept
from ledger.sealing.growth import Growth
from ledger.sealing.promises import Promises
from ledger.sealing.services import elsewhere, reply, shown_by
from ledger.sealing.serving import Reply, Respond
from ledger.storage import database
from ledger.storage.chains import ChainRow
from ledger.storage.database import Connection

WAIT_SECONDS: Final = 2.0
"""How long events may take to arrive before the answer is that they have not."""

LOOK_SECONDS: Final = 0.02

RootAt = Callable[[int], bytes | None]
"""What returns the region's own root of so many events, or nothing where it has fewer."""


class Region:
    """
    The tree over one region's events, grown when its root is asked for.

    *connect* opens the way to the database; a way that is lost is opened again at the next question.
    """

    def __init__(self, connect: Callable[[], tuple[Connection, ChainRow]]) -> None:
        self._connect = connect
        self._open: tuple[Connection, Growth] | None = None

    def catch_up(self) -> int:
        """
        Take in the events that are there, and return how many those are.

        Raises:
            Unavailable: another process extends the tiles, or the database is down.
            SequenceGap, HashMismatch, TilesBroken: chain or tiles are broken.
        """
        try:
            growth = self._growth()
            growth.catch_up()
        except database.DriverError as error:
            self.close()
            raise database.translated(error) from error
        except LedgerError:
            self.close()
            raise
        return growth.size

    def root_at(self, size: int) -> bytes | None:
        """
        Return the root of the first *size* events, waiting a little for them to arrive; None where they do not.

        Raises:
            LedgerError: as `catch_up`.
        """
        end = time.monotonic() + WAIT_SECONDS
        while self.catch_up() < size:
            if time.monotonic() > end:
                return None
            time.sleep(LOOK_SECONDS)
        return self._growth().root_at(size)

    def close(self) -> None:
        """
        Close the way to the database.
        """
        if self._open is not None:
            self._open[0].close()
            self._open = None

    def _growth(self) -> Growth:
        if self._open is None:
            connection, chain = self._connect()
            try:
                self._open = connection, Growth(connection, chain)
            except BaseException:
                connection.close()
                raise
        return self._open[1]


def replica_of(
    promises: Promises,
    key: SigningKey,
    origin: str,
    root_at: RootAt,
    clock: Callable[[], int],
    tell: Callable[[str], None],
) -> Respond:
    """
    Return what answers as a replica of the log of *origin* that cosigns with *key*; *clock* returns seconds since 1970.

    It is asked as a witness is, of a checkpoint that may still be without signatures. *tell* hears of a primary whose
    history is another than this region's.
    """

    def respond(method: str, path: str, body: bytes) -> Reply:
        if method == "GET":
            return shown_by(promises, path) or Reply(404, b"no checkpoint of such a log was cosigned here\n")
        if path != witness.ADD_CHECKPOINT:
            return elsewhere(method, path, witness.ADD_CHECKPOINT)
        try:
            asked = witness.decode_request(body)
            stated, proposed = checkpoint.decode_note(asked.signed, least=0)
        except UnknownFormat as error:
            return Reply(400, f"{error}\n".encode())
        if stated.origin != origin:
            return Reply(404, f"found a checkpoint of {shown(stated.origin)}; this is a replica of {origin}\n".encode())
        refusal = witness.refuse(promises.kept.get(origin, NOTHING), asked, stated)
        if refusal is not None:
            return reply(refusal)
        own = root_at(stated.size)
        if own is None:
            return Reply(503, f"this region does not have {stated.size} events yet; ask again\n".encode())
        if own != stated.root:
            said = f"this region's root of {stated.size} events is {own.hex()}; found {stated.root.hex()}"
            tell(f"{said}: the regions hold different histories; verify both")
            return Reply(422, f"{said}\n".encode())
        signature = key.sign(proposed.text, clock())
        signed = note.with_signatures(proposed.text, (*proposed.signatures, signature))
        promises.keep(origin, Kept(stated.size, stated.root, signed.encode()))
        return Reply(200, signature.line().encode())

    return respond
