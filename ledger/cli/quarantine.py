"""
Look at the facts that fit no rule, and record what someone decided about each.

A decision is an event like any other: it names who proposed and who approved it, and it is made once. A fact that fits
by now is accepted as it came, which records it again; one that was wrong, by what should have been said and the seq
that it got. What is recorded as it came is not discarded.
"""

from __future__ import annotations

import contextlib
from typing import Annotated, Any, Final

import msgspec
import typer

from ledger.chain.entry import RecordedEvent, split_payload
from ledger.cli import access as connections
from ledger.cli.answer import check_row_format, print_json, show_rows
from ledger.cli.options import Dsn, Origin
from ledger.domain import registry
from ledger.domain.events.executions import FactQuarantined, QuarantineResolved
from ledger.domain.events.fields import Event
from ledger.domain.fold import original_of
from ledger.domain.rows import Quarantined
from ledger.domain.rules.ground import TO_COME
from ledger.errors import IdempotencyConflict, InvalidInput, NotFound, RuleBroken, VersionConflict
from ledger.journal.ledger import Ledger
from ledger.queries import At, Books

app = typer.Typer(no_args_is_help=True, help="List, read and resolve the facts that fit no rule.")
SOURCE = "operator"
_TRIES: Final = 8
"""How often a fact is tried to be recorded while others come to wait."""

Seq = Annotated[int, typer.Argument(help="Seq of the quarantined fact, as `list` prints it.")]


@app.command("list")
def list_facts(
    dsn: Dsn = None,
    origin: Origin = None,
    every: Annotated[bool, typer.Option("--all", help="Those decided on as well.")] = False,
    format: Annotated[str, typer.Option("--format", help="table, json, jsonl or csv.")] = "table",
) -> None:
    """
    List the facts that wait for a decision, by seq.
    """
    check_row_format(format)
    with connections.access(dsn) as found, Books(found.dsn("reader"), origin) as books:
        known = books.table("quarantine") if every else books.quarantine()
    facts = sorted(known.value, key=lambda row: row.seq)
    show_rows("quarantine", Quarantined, At(known.seq, facts, known.by), format)


@app.command("show")
def show(seq: Seq, dsn: Dsn = None, origin: Origin = None) -> None:
    """
    Print one fact whole, as JSON: the original as it came, the rule it broke, and what was decided by `at_seq`.
    """
    with connections.access(dsn) as found, Books(found.dsn("reader"), origin) as books:
        answer = books.quarantined(seq)
    row, event = answer.value
    kept = _made(event)
    if not isinstance(kept, FactQuarantined):
        raise InvalidInput(f"seq {seq} is a {event.event_type} and no FactQuarantined; run tradeledger-verify")
    original: Any = kept.original
    if kept.original_version is not None:
        original = msgspec.Raw(kept.original.encode())
    print_json(
        {
            "seq": seq, "original_type": kept.original_type, "rule": kept.rule, "detail": kept.detail,
            "recorded_at": event.recorded_at, "actor": event.actor, "source": event.source, "original": original,
            "status": row.status, "accepted_as": row.resolution, "proposed_by": row.proposed_by,
            "approved_by": row.approved_by, "at_seq": answer.seq,
        }
    )  # fmt: skip


def _made(stored: RecordedEvent) -> Event:
    return registry.decode_given(stored.event_type, stored.schema_version, split_payload(stored.payload)[1])


def _recorded(ledger: Ledger, decision: QuarantineResolved, decided: str) -> int | None:
    """
    Record the fact that *decision* accepts as it came, and return its seq; nothing is recorded if it may not be.

    Where a decision was recorded under the key *decided* before, return what that one accepted it as, if it did.
    """
    seq, key = decision.ref, f"accept-{decision.ref}"
    first = ledger.lookup(decided)
    if first is not None:
        # The fact may have been recorded under another key, by who told it again.
        kept_decision = _made(ledger.events_at([first.seq])[first.seq])
        return kept_decision.accepted_seq if isinstance(kept_decision, QuarantineResolved) else None
    again = ledger.lookup(key)
    if again is not None:
        return again.seq
    for _ in range(_TRIES):
        # Whether these persons may decide on this fact is asked of a decision that needs nothing recorded.
        (allowed,) = ledger.dry_run(msgspec.structs.replace(decision, resolution="discarded"))
        fact, occurred_at = _fitting(ledger, seq)
        # Nobody may have decided on it since: the books would have what the chain says is discarded.
        before = {allowed.stream: allowed.stream_version - 1}
        with contextlib.suppress(VersionConflict):
            actor = decision.proposed_by
            return ledger.append(fact, key=key, actor=actor, occurred_at=occurred_at, expected=before).seq
    raise VersionConflict(f"other facts came to wait each time that the one of seq {seq} was to be recorded; try again")


def _fitting(ledger: Ledger, seq: int) -> tuple[Event, int | None]:
    """Return the fact of *seq* as it came and when it occurred (None: now), or raise if it still fits no rule."""
    stored = ledger.events_at([seq])[seq]
    kept = _made(stored)
    if not isinstance(kept, FactQuarantined) or kept.original_version is None:
        raise InvalidInput(f"seq {seq} is text that could not be read: record what it says, and give --accepted-seq")
    fact = original_of(kept)
    # What was announced happens on its day, and not when it was announced.
    occurred_at = None if kept.rule.endswith(TO_COME) else stored.occurred_at
    for foreseen in ledger.dry_run(fact, occurred_at=occurred_at):
        if foreseen.rule is not None:
            raise RuleBroken(
                f"the fact of seq {seq} still fits no rule ({foreseen.rule}): {foreseen.detail}; record first what it "
                "needs, or what it should have said and give --accepted-seq"
            )
    return fact, occurred_at


def _standing(ledger: Ledger, seq: int) -> tuple[Quarantined, int | None] | None:
    """Return the row of what waits or waited at *seq*, and where this very fact is recorded since, if it is."""
    try:
        with ledger.books() as books:
            row, waiting = books.quarantined(seq).value
    except NotFound:
        return None
    since = row.answered_seq
    if since is not None and _made(ledger.events_at([since])[since]) != original_of(_made(waiting)):
        since = None
    return row, since


def _check_not_recorded(ledger: Ledger, seq: int) -> None:
    """Raise RuleBroken where the fact that waits at *seq* is recorded since: then it cannot be discarded."""
    standing = _standing(ledger, seq)
    if standing is not None and standing[0].status == "open" and standing[1] is not None:
        raise RuleBroken(
            f"the fact of seq {seq} is recorded since, as it came, at seq {standing[1]}: resolve it as accepted, or as "
            "a duplicate; if it should not be in the books, take back what was recorded"
        )


def _decided(ledger: Ledger, seq: int) -> IdempotencyConflict | None:
    """Return that the fact of *seq* was decided on otherwise, if it was."""
    standing = _standing(ledger, seq)
    if standing is None or standing[0].status == "open":
        return None
    row, since = standing
    agreed = f" and {row.approved_by}" if row.approved_by is not None else ""
    stays = ""
    if row.status == "discarded" and since is not None:
        stays = f"; what it says is recorded all the same, at seq {since}"
    return IdempotencyConflict(
        f"the fact of seq {seq} is {row.status}, as {row.proposed_by}{agreed} decided{stays}; a decision is made once, "
        "and what came of it is put right by events of its own"
    )


@app.command("resolve")
def resolve(
    seq: Seq,
    resolution: Annotated[str, typer.Option("--as", help="accepted, duplicate or discarded.")],
    proposed_by: Annotated[str, typer.Option(help="Who decided.")],
    approved_by: Annotated[str | None, typer.Option(help="Who else agreed, if the chain asks for it.")] = None,
    accepted_seq: Annotated[
        int | None,
        typer.Option(help="With 'accepted': the event that says it right; left out, the fact is recorded as it came."),
    ] = None,
    dsn: Dsn = None,
    origin: Origin = None,
    source: Annotated[str, typer.Option(help="As which source to append.")] = SOURCE,
) -> None:
    """
    Decide on one fact; said again, the same decision answers with the seq it has.
    """
    event = QuarantineResolved(
        ref=seq,
        resolution=resolution,  # type: ignore[arg-type]  # any other word is refused as the event is made
        accepted_seq=accepted_seq,
        proposed_by=proposed_by,
        approved_by=approved_by,
    )
    with (
        connections.access(dsn) as found,
        Ledger.open(found.dsn("writer"), origin=origin, source=source) as ledger,
    ):
        key = f"resolve-{seq}"
        try:
            if resolution == "discarded":
                _check_not_recorded(ledger, seq)
            if resolution == "accepted" and accepted_seq is None:
                event = msgspec.structs.replace(event, accepted_seq=_recorded(ledger, event, key))
            receipt = ledger.append(event, key=key, actor=proposed_by)
        except (IdempotencyConflict, RuleBroken) as error:
            if (decided := _decided(ledger, seq)) is None:
                raise
            raise decided from error
    print(f"seq {seq} is {resolution}, recorded at seq {receipt.seq}")
