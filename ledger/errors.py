"""
Name the ways in which an operation can fail, by what the caller should do about it.

Three families, and the family is the instruction: a `Rejected` request must be changed before it is sent
again; an `Unavailable` one may be sent again, unchanged and under the same key, later; `Corrupt` means stop,
keep the evidence, and verify. Every error carries a stable `code` for programs and a message for people that
says what was found, what was expected and what to do next.

This module knows nothing of the rest of the ledger; everything may import it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar, Final

SHOWN_CHARACTERS: Final = 140
"""How much of a value a message shows: who reads it needs the beginning, and a value may have ten million."""


def shown(value: object) -> str:
    """
    Return *value* as a message shows it: quoted, cut, and named by its type where it cannot be written out.
    """
    if isinstance(value, str):
        text = repr(value[:SHOWN_CHARACTERS])
        return text if len(value) <= SHOWN_CHARACTERS else f"{text}… ({len(value)} characters)"
    try:
        text = repr(value)
    except Exception:  # nested too deep, an integer of too many digits, or whatever its own code raises
        return f"a value of type {type(value).__name__} that cannot be shown"
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def plain(text: str) -> str:
    """
    Return *text* in one line, with what does not print written as its escape.

    An intruder may have written it: control characters move the cursor of a terminal, marks that turn the direction of
    writing hide in a page what they stand beside, and in XML a lone surrogate is no XML at all.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def closest(word: str, known: Iterable[str]) -> str:
    """
    Return the words ` (did you mean …?)` where *word* is nearly one of *known*, and none of them; else nothing.
    """
    # The comparison takes time by the square of the length, and no name is as long.
    names = {name.casefold(): name for name in known if name != word} if len(word) <= SHOWN_CHARACTERS else {}
    near = difflib.get_close_matches(word.casefold(), names, 1, 0.6)
    return f" (did you mean {names[near[0]]!r}?)" if near else ""


def shortened(text: str) -> str:
    """
    Return *text* with its middle left out where it is long: a library's complaint may repeat a value of any size.
    """
    if len(text) <= 3 * SHOWN_CHARACTERS:
        return text
    return f"{text[:SHOWN_CHARACTERS]}… ({len(text)} characters) …{text[-SHOWN_CHARACTERS:]}"


class LedgerError(Exception):
    """
    The root of all errors this project raises on purpose.
    """

    code: ClassVar[str] = "ledger_error"
    exit_status: ClassVar[int] = 1


class Rejected(LedgerError):
    """
    The request breaks a rule; change it. Nothing was written.
    """

    code = "rejected"
    exit_status = 8


class InvalidEvent(Rejected):
    """
    The bytes or fields are not an event of the type they claim to be.
    """

    code = "invalid_event"


class InvalidAmount(InvalidEvent):
    """
    A quantity, price or amount is not an exact decimal within the limits.
    """

    code = "invalid_amount"


class InvalidInput(Rejected):
    """
    A file, option or argument from outside cannot be read as what it should be.
    """

    code = "invalid_input"


class TooLarge(Rejected):
    """
    A payload, group or entry is over its limit.
    """

    code = "too_large"


class RuleBroken(Rejected):
    """
    A command contradicts the state of the ledger.
    """

    code = "rule_broken"


class InsufficientFunds(RuleBroken):
    """
    The account's available amount would fall below its floor.
    """

    code = "insufficient_funds"


class Unbalanced(RuleBroken):
    """
    Postings do not sum to zero per asset.
    """

    code = "unbalanced"


class PeriodIsClosed(RuleBroken):
    """
    The event counts for a day whose period is closed.
    """

    code = "period_closed"


class VersionConflict(Rejected):
    """
    A stream is not at the version the caller expected.
    """

    code = "version_conflict"
    exit_status = 7


class IdempotencyConflict(Rejected):
    """
    The key was used before, with another request.
    """

    code = "idempotency_conflict"
    exit_status = 7


class StaleEpoch(Rejected):
    """
    The writer belongs to a reign that has ended.
    """

    code = "stale_epoch"


class NotPrimary(Rejected):
    """
    This region applies; it may not append.
    """

    code = "not_primary"


class NotPermitted(Rejected):
    """
    The database role may not do this.
    """

    code = "not_permitted"


class UnknownChain(Rejected):
    """
    No chain of that origin is in this database; the message lists those present.
    """

    code = "unknown_chain"


class NotFound(Rejected):
    """
    A read names an account, order or stream that the chain did not know then.
    """

    code = "not_found"


class NoSuchMoment(Rejected):
    """
    A read names a seq, a time or a day at which there was nothing to read, or none yet.
    """

    code = "no_such_moment"


class SchemaVersion(Rejected):
    """
    The database's schema is not the one this program was written for.
    """

    code = "schema_version"


class Closed(Rejected):
    """
    The ledger was closed, or belongs to the parent of a forked process.
    """

    code = "closed"


class Unavailable(LedgerError):
    """
    The same request, under the same key, may succeed later.
    """

    code = "unavailable"
    exit_status = 5


class DatabaseDown(Unavailable):
    """
    PostgreSQL cannot be reached or ended the connection.
    """

    code = "database_down"


class BrokerDown(Unavailable):
    """
    Kafka cannot be reached or refused the record.
    """

    code = "broker_down"


class StorageFull(Unavailable):
    """
    The server has no room to write; nothing was committed.
    """

    code = "storage_full"


class OutcomeUnknown(Unavailable):
    """
    The answer to COMMIT was lost; ask `lookup` with the same key.
    """

    code = "outcome_unknown"


class ClockUnsafe(Unavailable):
    """
    The clocks of process, database and chain head disagree by too much to stamp an event.
    """

    code = "clock_unsafe"


class RpoExceeded(Unavailable):
    """
    Replicas have not acknowledged for so long that another event might be lost with this region.
    """

    code = "rpo_exceeded"
    exit_status = 6


class UnsafeSettings(Unavailable):
    """
    The server is configured so that a commit could be lost; the message names each setting.
    """

    code = "unsafe_settings"


class SetupNeeded(Unavailable):
    """
    Something this machine or database must have first is missing; the message says how to get it.
    """

    code = "setup_needed"


class Corrupt(LedgerError):
    """
    History or state is not what it was; stop, keep the evidence, verify.
    """

    code = "corrupt"
    exit_status = 3


class SequenceGap(Corrupt):
    """
    The next event's seq is not one more than the last.
    """

    code = "sequence_gap"


class HashMismatch(Corrupt):
    """
    A stored hash is not the hash of what is stored beside it.
    """

    code = "hash_mismatch"


class SignatureInvalid(Corrupt):
    """
    A signature is missing, or not by a key that the chain names.
    """

    code = "signature_invalid"


class ProofInvalid(Corrupt):
    """
    A proof does not show what it was given for: another tree, another entry, or too few or too many hashes.
    """

    code = "proof_invalid"


class Divergence(Corrupt):
    """
    Two copies of one chain differ at one seq.
    """

    code = "divergence"


class StateMismatch(Corrupt):
    """
    Read models are not what the events make of them.
    """

    code = "state_mismatch"


class UnknownFormat(Corrupt):
    """
    The bytes are of a version this program does not know; it will not guess.
    """

    code = "unknown_format"
