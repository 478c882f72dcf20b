"""
Reconcile: read the books as of a statement, compare, and record what came of it as one event.

The same statement again records nothing, unless the books have changed what it comes to. Breaks are findings: the
run succeeds with them. A resolution is an event of the same stream, so that whoever reads it has the whole life of
each break in one place.
"""

from __future__ import annotations

import datetime
from typing import Any, Final

import msgspec
from blake3 import blake3

from ledger.domain import registry
from ledger.domain.events.control import BreakResolution, Difference, ReconciliationRecorded
from ledger.domain.rows import Break
from ledger.errors import InvalidInput, NotFound, TooLarge, closest
from ledger.journal.ledger import Ledger
from ledger.queries import At, Books, Known, Moment, RecordedAt
from ledger.reconciliation import adjustment, comparison, lives
from ledger.reconciliation.adjustment import Traded
from ledger.reconciliation.comparison import Decision, Outcome
from ledger.reconciliation.lives import Followed, Life
from ledger.reconciliation.ours import Ours, first_names
from ledger.reconciliation.statement import Statement

STREAM: Final = "reconciliation/"
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class Report(msgspec.Struct):
    """
    What a statement came to: figures that agree, breaks that stand, those that ended, and where it is recorded.

    `seq` is where the books were read; `recorded_seq` the newest event of this statement, `appended` whether it is new.
    """

    issuer: str
    statement_hash: str
    as_of: int
    seq: int
    matched: int
    breaks: list[dict[str, Any]]
    closed: list[dict[str, Any]]
    resolved_before: list[str]
    newer: list[str]
    recorded_seq: int
    appended: bool
    schema_version: int = 1


def reconcile(ledger: Ledger, books: Books, statement: Statement, actor: str) -> Report:
    """
    Compare *statement* with the books, record the outcome where it is new, and return it.

    Raises:
        InvalidInput: it names what the ledger does not know, or is of a day or time that has not come for it.
        VersionConflict: the issuer was reconciled meanwhile; run it again.
    """
    # What stands and what was decided are of one seq: meanwhile somebody else may reconcile, and then this is refused.
    breaks = books.table("breaks")
    before = _followed(ledger, statement.issuer, breaks.seq)
    # One that was decided is as of its own day until both sides agree, and then as of that.
    of_issuer: list[Break] = [
        msgspec.structs.replace(row, as_of=before.agreed.get(row.key, row.as_of))
        for row in breaks.value if row.source == statement.issuer
    ]  # fmt: skip
    seq, ours = _ours(books, statement)
    outcome = comparison.compare(statement, ours, of_issuer, _decisions(ledger, before, statement.as_of))
    recorded = ReconciliationRecorded(
        origin=statement.issuer, statement_hash=statement.hash, as_of=statement.as_of, matched=outcome.matched,
        breaks=outcome.standing, lapsed=outcome.lapsed, repeated=outcome.repeated,
    )  # fmt: skip
    appended = _is_new(statement, before, [row for row in of_issuer if row.closed_seq is None], outcome)
    if appended:
        _append(ledger, recorded, before.version, actor)
    after = _followed(ledger, statement.issuer) if appended else before
    return _report(statement, seq, outcome, after, appended)


def _followed(ledger: Ledger, issuer: str, last_seq: int | None = None) -> Followed:
    """Return what was recorded of *issuer*, up to *last_seq* if given; of one that was never reconciled, nothing."""
    try:
        events = ledger.stream(STREAM + issuer)
    except NotFound:
        return lives.follow([])
    return lives.follow(event for event in events if last_seq is None or event.seq <= last_seq)


def _decisions(ledger: Ledger, before: Followed, as_of: int) -> dict[str, Decision]:
    """Return what was decided, and whether the event that is said to have mended it is among the books of *as_of*."""
    events = ledger.events_at(sorted({life.ref for life in before.decided.values() if life.ref is not None}))
    return {
        key: Decision(
            life.ledger, life.external, life.ref is not None and adjustment.counted(events[life.ref], as_of)
        )
        for key, life in before.decided.items()
    }  # fmt: skip


def _is_new(statement: Statement, before: Followed, open_breaks: list[Break], outcome: Outcome) -> bool:
    standing = {(row.key, row.ledger_value, row.external_value) for row in open_breaks}
    found = {(one.key, one.ledger, one.external) for one in outcome.standing}
    is_known = (statement.hash, statement.as_of) in before.statements
    return found != standing or bool(outcome.lapsed) or bool(outcome.repeated) or not is_known


def _append(ledger: Ledger, recorded: ReconciliationRecorded, version: int, actor: str) -> int:
    stream = STREAM + recorded.origin
    digest = blake3(registry.encode_given(recorded)).hexdigest()[:16]
    try:
        # The same content at the same version of the stream is the same request, also after a lost answer.
        return ledger.append(
            recorded, key=f"reconcile:{recorded.origin}:{version + 1}:{digest}", actor=actor,
            expected={stream: version},
        ).seq  # fmt: skip
    except TooLarge as error:
        raise InvalidInput(
            f"found {len(recorded.breaks):,} differences, more than one event carries ({error}); is it the right day "
            "and chain? Else reconcile its accounts one by one, each under an issuer of its own"
        ) from error


def _moment(books: Books, statement: Statement) -> Moment:
    """Return the moment of the books that *statement* is about; a day that has not begun for the ledger is refused."""
    with_head = books.recorded_at()
    last = (_EPOCH + datetime.timedelta(microseconds=with_head // 1000)).date()
    if statement.day is None:
        if statement.as_of > with_head:
            raise InvalidInput(
                f"the statement is as of {statement.as_of}, and the ledger's last event was recorded at {with_head} "
                "(ns since 1970); record what happened until then first, or reconcile the day: --as-of with a date"
            )
        return RecordedAt(statement.as_of)
    if statement.day > last:
        raise InvalidInput(
            f"the statement is as of {statement.day}, and the ledger's last event was recorded on {last}; record what "
            "happened until then first"
        )
    return Known(with_head, statement.day)


def _ours(books: Books, statement: Statement) -> tuple[int, Ours]:
    at = _moment(books, statement)
    try:
        balances = books.balances(at=at)
        positions = books.positions(at=at).value if statement.positions is not None else []
        # How much of a trade has settled no statement of trades says.
        executions = books.versions(at=at).value if statement.trades is not None else []
    except NotFound as error:
        if statement.day is None:
            raise
        raise NotFound(
            f"{error}; of a statement name the time: --as-of {statement.day}T23:59:59Z, or the like, is held against "
            "what was recorded by then"
        ) from None
    ours = Ours(
        frozenset(row.account for row in books.table("accounts").value),
        {row.asset: row.kind for row in books.table("assets").value},
        first_names(books.table("instruments").value),
        balances.value if statement.balances is not None else [],
        positions,
        executions,
    )
    return balances.seq, ours


def _in_report(life: Life) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(life).items() if name not in ("issuer", "reason")}


def _report(statement: Statement, seq: int, outcome: Outcome, after: Followed, appended: bool) -> Report:
    standing = {one.key for one in outcome.standing}
    opened = {life.key: life for life in after.lives if life.closed_seq is None}
    breaks = [
        {**_in_report(opened[key]), "of_this_statement": key in outcome.found}
        for key in sorted(standing & opened.keys())
    ]
    recorded = after.statements[statement.hash, statement.as_of]
    closed = [_in_report(life) for life in after.lives if appended and life.closed_seq == recorded]
    return Report(
        statement.issuer, statement.hash, statement.as_of, seq, outcome.matched, breaks, closed,
        list(outcome.accepted), list(outcome.newer), recorded, appended,
    )  # fmt: skip


def all_lives(books: Books, issuer: str | None = None) -> At[list[Life]]:
    """
    Return the life of every break, open and closed, of *issuer* or of all, oldest first, and the seq it is true at.
    """
    breaks = books.table("breaks")
    issuers = {row.source for row in breaks.value}
    if issuer is not None and issuer not in issuers:
        _check_reconciled(books, issuer, issuers)
    chosen = issuers if issuer is None else {issuer}
    found: list[Life] = []
    for one in sorted(chosen):
        # A stream only grows: up to the seq of the rows it is what it was when they were read.
        events = [event for event in books.stream(STREAM + one) if event.seq <= breaks.seq]
        found += lives.follow(events).lives
    return At(breaks.seq, sorted(found, key=lambda life: (life.opened_seq, life.key)), "replay")


def _check_reconciled(books: Books, issuer: str, known: set[str]) -> None:
    """Raise InvalidInput unless a statement of *issuer* was compared; *known* are those with breaks."""
    try:
        books.stream(STREAM + issuer)
    except NotFound:
        there = ", ".join(sorted(known)) or "none"
        raise InvalidInput(
            f"found issuer {issuer!r}{closest(issuer, known)}, of which nothing was reconciled; of {there} there are "
            "breaks"
        ) from None


def resolve(ledger: Ledger, books: Books, issuer: str, resolution: BreakResolution) -> int:
    """
    Record what someone decided about an open break, and return the seq; the same again answers with the same seq.

    Raises:
        InvalidInput: no such break is open, or no reason is given. RuleBroken: a second person is needed.
    """
    if not resolution.reason.strip():
        raise InvalidInput(f"found no reason for {resolution.how!r}; expected what was found out")
    breaks = books.breaks()
    rows = {row.key: row for row in breaks.value if row.source == issuer}
    before = _followed(ledger, issuer, breaks.seq)
    if resolution.key not in rows:
        return _resolved_before(before, issuer, resolution, rows)
    last = before.last
    assert last is not None, "an open break was opened by an event"
    if resolution.how == "adjusted" and resolution.ref is not None:
        _check_adjusted(ledger, books, before, rows[resolution.key], resolution.ref)
    # As of the statements that had it, whatever else was compared since: differences of later days are not decided.
    recorded = ReconciliationRecorded(
        origin=issuer, statement_hash=last.statement_hash, as_of=rows[resolution.key].as_of, matched=0,
        breaks=tuple(
            Difference(key=key, ledger=row.ledger_value, external=row.external_value)
            for key, row in sorted(rows.items()) if key != resolution.key
        ),
        resolved=(resolution,),
    )  # fmt: skip
    return _append(ledger, recorded, before.version, resolution.proposed_by)


def _check_adjusted(ledger: Ledger, books: Books, before: Followed, row: Break, ref: int) -> None:
    """Raise InvalidInput unless the event of *ref* can have mended the break, since it was told as it stands."""
    key, as_of = row.key, row.as_of
    lives_of = [life for life in before.lives if life.key == key]
    life, event = lives_of[-1], ledger.events_at([ref]).get(ref)
    told, found = max([life.opened_seq, *life.changed_seqs]), f"found no event at seq {ref}"
    if event is not None:
        why = adjustment.why_not(life, event, _traded(books, key))
        found = f"seq {ref} is {why}"
        if why is None and ref < told and adjustment.counted(event, as_of):
            found = f"seq {ref} counted when the break was found as it is, at seq {told}"
        elif why is None and any(earlier.ref == ref for earlier in lives_of):
            found = f"seq {ref} ended this break before, and it opened again"
        elif why is None:
            return
    raise InvalidInput(
        f"break {key!r} is not resolved (break_ref): R6: {found}; expected the event that mended it: of the same "
        "account and figure, or trade, and recorded since"
    )


def _traded(books: Books, key: str) -> Traded:
    if not key.startswith(("trade:", "position:")):
        return Traded([], [], [])
    return Traded(books.executions().value, books.table("allocations").value, books.table("instruments").value)


def _resolved_before(before: Followed, issuer: str, resolution: BreakResolution, rows: dict[str, Break]) -> int:
    if not before.version:
        raise InvalidInput(f"found issuer {issuer!r}, of which nothing was reconciled; name it as the statement does")
    ended = [life for life in before.lives if life.key == resolution.key]
    last = ended[-1] if ended else None
    if last is not None and last.closed_seq is not None:
        given = (resolution.how, resolution.reason, resolution.ref, resolution.proposed_by, resolution.approved_by)
        if (last.how, last.reason, last.ref, last.closed_by, last.approved_by) == given:
            return last.closed_seq
        raise InvalidInput(
            f"break {resolution.key!r} ended at seq {last.closed_seq} ({last.how}); nothing is left to resolve"
        )
    raise InvalidInput(
        f"found no open break {resolution.key!r} of {issuer}{closest(resolution.key, rows)}; `tradeledger reconcile "
        "list` shows them"
    )
