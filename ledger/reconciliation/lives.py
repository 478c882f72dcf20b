"""
Tell the life of each break from the events that named it: since when, how it changed, and how it ended, by whom.

A break ends when a statement says so no more, which is by the books having changed where it is the same statement, or
by another statement; or when someone resolves it. The rows of the read model say which are open; who and how is
in the events, and only there.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ledger.chain.entry import RecordedEvent, split_payload
from ledger.domain import registry
from ledger.domain.events.control import ReconciliationRecorded
from ledger.errors import UnknownFormat


class Life(msgspec.Struct):
    """
    One break from the event that opened it to the one that ended it; `closed_seq` is None while it is open.

    `how` is `statement` (another one says otherwise), `books` (the same statement agrees now), or what someone decided:
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
    statements: set[tuple[str, int]]
    """(hash, as_of) of each statement that was compared."""
    last: ReconciliationRecorded | None
    version: int
    seq: int

    def accepted(self) -> dict[str, tuple[str, str]]:
        """
        Return the two values of each break whose last life somebody ended.
        """
        last = {life.key: life for life in self.lives}
        return {key: (x.ledger, x.external) for key, x in last.items() if x.how not in (None, "statement", "books")}


def follow(events: Iterable[RecordedEvent]) -> Followed:
    """
    Return the breaks that *events*, the stream of one issuer's reconciliations, are about.
    """
    found = Followed([], set(), None, 0, 0)
    opened: dict[str, Life] = {}
    for event in events:
        given = split_payload(event.payload)[1]
        recorded = registry.decode_given(event.event_type, event.schema_version, given)
        if not isinstance(recorded, ReconciliationRecorded):
            raise UnknownFormat(
                f"seq {event.seq} is a {event.event_type} in a stream of reconciliations; verify the ledger"
            )
        _apply(found, opened, event, recorded)
        found.last, found.version, found.seq = recorded, event.stream_version, event.seq
        if not recorded.resolved:
            found.statements.add((recorded.statement_hash, recorded.as_of))
    return found


def _apply(found: Followed, opened: dict[str, Life], event: RecordedEvent, recorded: ReconciliationRecorded) -> None:
    for one in recorded.resolved:
        life = opened.pop(one.key)
        life.closed_seq, life.closed_by, life.how = event.seq, one.proposed_by, one.how
        life.reason, life.ref, life.approved_by = one.reason, one.ref, one.approved_by
    named = {difference.key for difference in recorded.breaks}
    for key in [key for key in opened if key not in named]:
        life = opened.pop(key)
        same = life.statement_hash == recorded.statement_hash
        life.closed_seq, life.closed_by, life.how = event.seq, event.actor, "books" if same else "statement"
    for difference in recorded.breaks:
        known = opened.get(difference.key)
        if known is None:
            opened[difference.key] = Life(
                recorded.origin, difference.key, difference.ledger, difference.external, event.seq, event.actor,
                recorded.statement_hash, [],
            )  # fmt: skip
            found.lives.append(opened[difference.key])
        elif (known.ledger, known.external) != (difference.ledger, difference.external):
            known.ledger, known.external = difference.ledger, difference.external
            known.statement_hash = recorded.statement_hash
            known.changed_seqs.append(event.seq)
