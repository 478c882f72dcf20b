"""
Look at the facts that fit no rule, and record what someone decided about each.

A decision is an event like any other: it names who proposed and who approved it, and it is made once. A fact that fits
by now is accepted as it came, which records it again; one that was wrong, by what should have been said and the seq
that it got.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from ledger.chain.entry import split_payload
from ledger.cli import access as connections
from ledger.cli.answer import check_row_format, print_json, show_rows
from ledger.cli.options import Dsn, Origin
from ledger.domain import registry
from ledger.domain.events.executions import FactQuarantined, QuarantineResolved
from ledger.domain.rows import Quarantined
from ledger.domain.rules.ground import TO_COME
from ledger.errors import IdempotencyConflict, InvalidInput, RuleBroken
from ledger.journal.ledger import Ledger
from ledger.queries import At, Books

app = typer.Typer(no_args_is_help=True, help="List, read and resolve the facts that fit no rule.")
SOURCE = "operator"

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
    _, given = split_payload(event.payload)
    kept = registry.decode_given(event.event_type, event.schema_version, given)
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


def _recorded(ledger: Ledger, decision: QuarantineResolved, decided: str) -> int | None:
    """
    Record the fact that *decision* accepts as it came, and return its seq; nothing is recorded if it may not be.

    Where a decision was recorded under the key *decided* before, return what that one accepted it as, if it did.
    """
    seq, key = decision.ref, f"accept-{decision.ref}"
    first = ledger.lookup(decided)
    if first is not None:
        # The fact may have been recorded under another key, by who told it again.
        made = ledger.events_at([first.seq])[first.seq]
        kept_decision = registry.decode_given(made.event_type, made.schema_version, split_payload(made.payload)[1])
        return kept_decision.accepted_seq if isinstance(kept_decision, QuarantineResolved) else None
    again = ledger.lookup(key)
    if again is not None:
        return again.seq
    # Whether these persons may decide on this fact is asked of a decision that needs nothing recorded.
    ledger.dry_run(msgspec.structs.replace(decision, resolution="discarded"))
    stored = ledger.events_at([seq])[seq]
    _, given = split_payload(stored.payload)
    kept = registry.decode_given(stored.event_type, stored.schema_version, given)
    if not isinstance(kept, FactQuarantined) or kept.original_version is None:
        raise InvalidInput(f"seq {seq} is text that could not be read: record what it says, and give --accepted-seq")
    fact = registry.decode_given(kept.original_type, kept.original_version, kept.original)
    # What was announced happens on its day, and not when it was announced.
    occurred_at = None if kept.rule.endswith(TO_COME) else stored.occurred_at
    for foreseen in ledger.dry_run(fact, occurred_at=occurred_at):
        if foreseen.rule is not None:
            raise RuleBroken(
                f"the fact of seq {seq} still fits no rule ({foreseen.rule}): {foreseen.detail}; record first what it "
                "needs, or what it should have said and give --accepted-seq"
            )
    return ledger.append(fact, key=key, actor=decision.proposed_by, occurred_at=occurred_at).seq


def _decided(dsn: str, origin: str | None, seq: int) -> IdempotencyConflict:
    """Return that the fact of *seq* was decided on otherwise: its key is that decision's."""
    with Books(dsn, origin) as books:
        row, _ = books.quarantined(seq).value
    agreed = f" and {row.approved_by}" if row.approved_by is not None else ""
    return IdempotencyConflict(
        f"the fact of seq {seq} is {row.status}, as {row.proposed_by}{agreed} decided; a decision is made once, and "
        "what came of it is put right by events of its own"
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
        if resolution == "accepted" and accepted_seq is None:
            event = msgspec.structs.replace(event, accepted_seq=_recorded(ledger, event, key))
        try:
            receipt = ledger.append(event, key=key, actor=proposed_by)
        except IdempotencyConflict as error:
            raise _decided(found.dsn("reader"), origin, seq) from error
    print(f"seq {seq} is {resolution}, recorded at seq {receipt.seq}")
