"""
Ask a signer or a witness, and take no for an answer but not silence.

Every question has a deadline. What an answer means is told by its HTTP status, as C2SP tlog-witness numbers them; an
answer that is none of these, and none at all, mean that the other side is down.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from ledger.errors import Corrupt, InvalidInput, LedgerError, Unavailable, UnknownFormat, shortened, shown
from ledger.evidence import note, policy, signer, witness
from ledger.evidence.checkpoint import decode_note, decode_size
from ledger.evidence.note import NoteSignature, SigningKey, VerifierKey
from ledger.evidence.witness import Kept, Request

DEADLINE_SECONDS: Final = 5.0
ANSWER_LIMIT_BYTES: Final = note.NOTE_LIMIT_BYTES
TRIES: Final = 3
"""How often a place that says it is elsewhere is asked again: another may be asking it at the same time."""


class NotAnswering(Unavailable):
    """
    A signer or a witness is down, or what answers in its place is none.
    """

    code = "not_answering"
    exit_status = 5


class Refused(LedgerError):
    """
    A signer or a witness will not sign this checkpoint: it contradicts what was signed, or something is missing.
    """

    code = "checkpoint_refused"
    exit_status = 3


class _FileConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=DEADLINE_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE_SECONDS)
        self.sock.connect(self._path)


class Place(msgspec.Struct, frozen=True):
    """
    Where somebody answers: an http or https URL, or the path of a socket in the file system.
    """

    address: str

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, str, bytes]:
        """
        Return the status, the content type and the body of the answer.

        Raises:
            InvalidInput: the address is neither URL nor path.
            NotAnswering: there was no answer in time, or too long a one.
        """
        connection, prefix = self._connection()
        try:
            connection.request(method, prefix + path, body or None, {"Connection": "close"})
            answer = connection.getresponse()
            found = answer.read(ANSWER_LIMIT_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise NotAnswering(f"{self.address} does not answer: {error or type(error).__name__}") from error
        finally:
            connection.close()
        if len(found) > ANSWER_LIMIT_BYTES:
            raise NotAnswering(f"{self.address} answers with more than {ANSWER_LIMIT_BYTES} bytes")
        return answer.status, answer.getheader("Content-Type", ""), found

    def _connection(self) -> tuple[http.client.HTTPConnection, str]:
        if self.address.startswith("/"):
            return _FileConnection(self.address), ""
        try:
            parts = urlsplit(self.address)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise InvalidInput(f"found address {shown(self.address)}; expected a URL or a path: {error}") from error
        if parts.scheme not in ("http", "https") or not host:
            raise InvalidInput(f"found address {shown(self.address)}; expected an http or https URL, or a path")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(host, port, timeout=DEADLINE_SECONDS), parts.path.rstrip("/")


Prove = Callable[[int], list[bytes]]
"""What returns the consistency proof from an older size to that of the checkpoint that is asked about."""


def submit(
    place: Place, path: str, signed: bytes, size: int, prove: Prove, known: int = 0
) -> tuple[NoteSignature, ...]:
    """
    Return the signatures that a signer or a witness puts under a checkpoint of *size*, unchecked.

    *known* is the size that it is believed to keep; where it keeps another, it says so and is asked again from there.

    Raises:
        Refused: it will not sign; the message says why, in its own words.
        NotAnswering: it is down.
    """
    old = known
    for _ in range(TRIES):
        body = Request(old, tuple(prove(old)) if old else (), signed).encode()
        status, kind, answer = place.ask("POST", path, body)
        if status == 200:
            try:
                return witness.decode_cosignatures(answer)
            except UnknownFormat as error:
                raise NotAnswering(f"{place.address} answers with what is no signature: {error}") from error
        if status != 409:
            said = repr(shortened(answer.decode(errors="replace").strip()))
            if status in (400, 403, 404, 422):
                raise Refused(f"{place.address} refuses the checkpoint of {size} with {status}: {said}")
            raise NotAnswering(f"{place.address} answers with status {status}: {said}")
        try:
            if not kind.startswith(witness.SIZE_TYPE):
                raise UnknownFormat(f"found content type {shown(kind)}; expected {witness.SIZE_TYPE}")
            old = decode_size(answer.decode().removesuffix("\n"), "size")
        except (UnknownFormat, UnicodeDecodeError) as error:
            raise NotAnswering(f"{place.address} answers 409 without saying its size: {error}") from error
        if old > size:
            raise Refused(
                f"{place.address} keeps a checkpoint of {old}, larger than this one of {size}: history went back"
            )
    raise NotAnswering(f"{place.address} keeps another size each time it is asked; ask again later")


def cosign(place: Place, key: VerifierKey, signed: bytes, size: int, prove: Prove, known: int = 0) -> NoteSignature:
    """
    Return a witness's cosignature of a checkpoint, checked by its *key*.

    Raises:
        Refused, NotAnswering: as `submit`; an answer without its signature counts as none.
    """
    text = note.decode(signed, least=0).text
    for signature in submit(place, witness.ADD_CHECKPOINT, signed, size, prove, known):
        if signature.claims(key):
            try:
                note.check_signature(text, signature, key)
            except LedgerError as error:
                raise NotAnswering(f"{place.address} answers with a false signature: {error}") from error
            return signature
    raise NotAnswering(f"{place.address} answers without a signature by {key.text()}")


def seen(place: Place, origin: str) -> bytes | None:
    """
    Return the newest checkpoint that a witness has cosigned of a log, unchecked, or nothing if there is none.

    Raises:
        NotAnswering: it is down.
    """
    status, _, answer = place.ask("GET", witness.checkpoint_path(origin))
    if status == 404:
        return None
    if status != 200:
        raise NotAnswering(f"{place.address} answers with status {status}")
    return answer


class StateIsOld(Corrupt):
    """
    A witness keeps a larger checkpoint of a signer's key than the signer does: its state was put back to an older one.
    """

    code = "signer_state_is_old"


def kept_by(place: Place, signed: bytes, size: int) -> int:
    """
    Return the size of the checkpoint that a witness keeps of the log of *signed*, a checkpoint of *size*.

    It is asked to cosign that once more from itself, which leaves it as it is, and every witness can answer.

    Raises:
        Refused: it keeps another root of this size, or does not know the log.
        NotAnswering: it is down.
    """
    status, kind, answer = place.ask("POST", witness.ADD_CHECKPOINT, Request(size, (), signed).encode())
    if status == 200:
        return size
    if status == 409 and kind.startswith(witness.SIZE_TYPE):
        with contextlib.suppress(UnknownFormat, UnicodeDecodeError):
            return decode_size(answer.decode().removesuffix("\n"), "size")
    said = repr(shortened(answer.decode(errors="replace").strip()))
    if status in (403, 404, 422):
        raise Refused(f"{place.address} refuses the checkpoint of {size} that is kept here with {status}: {said}")
    raise NotAnswering(f"{place.address} answers with status {status}: {said}")


def seen_by_quorum(trust: policy.Policy, key: SigningKey, kept: Kept, also: Sequence[SigningKey] = ()) -> list[bytes]:
    """
    Return what the policy's witnesses show of the key's log beyond what is *kept*, once its quorum has answered.

    *also* are other keys of the log; a witness may know any of them.

    Raises:
        NotAnswering: too few have.
        StateIsOld: one keeps a larger checkpoint and does not show it.
        Refused: one keeps another root of the size that is kept here.
    """
    signed = signer.again(kept, key, also)
    answered, found, silent = set(), [], []
    for member in trust.witnesses:
        try:
            if member.url is None:
                raise NotAnswering(f"the policy says no address for witness {member.name}")
            size = kept_by(Place(member.url), signed, kept.size)
            shown_size, shown_note = _shown(Place(member.url), key.name) if size > kept.size else (size, None)
        except Unavailable as error:
            silent.append(str(error))
            continue
        if shown_size < size:
            raise StateIsOld(
                f"witness {member.name} keeps a checkpoint of {size} by key {key.name}, and {kept.size} is the newest "
                "here: this state was put back to an older one; bring one at least as new as the witness's"
            )
        answered.add(member.key.public_key)
        if shown_note is not None:
            found.append(shown_note)
    if not trust.is_met(answered):
        raise NotAnswering(
            f"too few witnesses have said what they saw of {key.name}, and until they do nothing is signed: "
            + "; ".join(silent)
        )
    return found


def _shown(place: Place, origin: str) -> tuple[int, bytes | None]:
    signed = seen(place, origin)
    return (0, None) if signed is None else (decode_note(signed)[0].size, signed)
