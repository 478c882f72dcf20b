"""
Tell the life of each break from the events that named it: since when, how it changed, and how it ended, by whom.

A break ends when a statement has it no more, which is by the books having changed where that statement had it before,
and is put down to the statement where it is another one; or when someone resolves it. The rows of the read model say
which are open; who and how is in the events, and only there.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ledger.chain.entry import RecordedEvent, split_payload
from ledger.domain import registry
from ledger.domain.events.control import Difference, ReconciliationRecorded
from ledger.errors import UnknownFormat


class Life(msgspec.Struct):
    """
    One break from the event that opened it to the one that ended it; `closed_seq` is None while it is open.

    `how` is `statement` (another one agrees), `books` (one that had the break agrees now), or what someone decided:
    `adjusted`, `theirs` or `explained`, with the reason and who approved.
    """

    issuer: str
    key: str
    ledger: str
    external: str
    opened_seq: int
    opened_by: str
    statement_hash: str
    changed_seqs: list[int]
    closed_seq: int | None = None
    closed_by: str | None = None
    how: str | None = None
    reason: str | None = None
    ref: int | None = None
    approved_by: str | None = None


class Followed(msgspec.Struct):
    """
    All breaks of one issuer, oldest first, and the statements that were compared.
    """

    lives: list[Life]
    decided: dict[str, Life]
    """Each break that somebody ended, until both sides agree or it opens again, by key."""
    agreed: dict[str, int]
    """As of when both sides agreed on what somebody had ended, until it opens again, by key."""
    statements: dict[tuple[str, int], int]
    """The seq at which each statement that was compared, (hash, as_of), was recorded last."""
    last: ReconciliationRecorded | None
    version: int


class _Open(msgspec.Struct):
    """
    A break that is open, as of when, and the hashes of the statements that had its external value since it was last
    another one. An older statement leaves it alone and did not have it.
    """

    life: Life
    as_of: int
    statements: set[str]


def follow(events: Iterable[RecordedEvent]) -> Followed:
    """
    Return the breaks that *events*, the stream of one issuer's reconciliations, are about.
    """
    found = Followed([], {}, {}, {}, None, 0)
    opened: dict[str, _Open] = {}
    for event in events:
        given = split_payload(event.payload)[1]
        recorded = registry.decode_given(event.event_type, event.schema_version, given)
        if not isinstance(recorded, ReconciliationRecorded):
            raise UnknownFormat(
                f"seq {event.seq} is a {event.event_type} in a stream of reconciliations; verify the ledger"
            )
        _apply(found, opened, event, recorded)
        found.last, found.version = recorded, event.stream_version
        if not recorded.resolved:
            found.statements[recorded.statement_hash, recorded.as_of] = event.seq
    return found


def _apply(found: Followed, opened: dict[str, _Open], event: RecordedEvent, recorded: ReconciliationRecorded) -> None:
    for one in recorded.resolved:
        life = opened.pop(one.key).life
        life.closed_seq, life.closed_by, life.how = event.seq, one.proposed_by, one.how
        life.reason, life.ref, life.approved_by = one.reason, one.ref, one.approved_by
        found.decided[one.key] = life
    for key in recorded.lapsed:
        found.decided.pop(key, None)
        found.agreed[key] = recorded.as_of
    named = {difference.key for difference in recorded.breaks}
    for key in [key for key in opened if key not in named]:
        known = opened.pop(key)
        had = recorded.statement_hash in known.statements
        life = known.life
        life.closed_seq, life.closed_by, life.how = event.seq, event.actor, "books" if had else "statement"
    for difference in recorded.breaks:
        if difference.key not in opened:
            life = Life(
                recorded.origin, difference.key, difference.ledger, difference.external, event.seq, event.actor,
                recorded.statement_hash, [],
            )  # fmt: skip
            opened[difference.key] = _Open(life, recorded.as_of, {recorded.statement_hash})
            found.decided.pop(difference.key, None)
            found.agreed.pop(difference.key, None)
            found.lives.append(life)
        else:
            _again(opened[difference.key], event.seq, recorded, difference)


def _again(known: _Open, seq: int, recorded: ReconciliationRecorded, difference: Difference) -> None:
    life = known.life
    if life.external != difference.external:
        known.statements.clear()
    if (life.ledger, life.external) != (difference.ledger, difference.external):
        life.ledger, life.external = difference.ledger, difference.external
        life.statement_hash, known.as_of = recorded.statement_hash, recorded.as_of
        life.changed_seqs.append(seq)
    elif difference.key in recorded.repeated:
        known.as_of = max(known.as_of, recorded.as_of)
    if recorded.as_of >= known.as_of and not recorded.resolved:
        known.statements.add(recorded.statement_hash)
