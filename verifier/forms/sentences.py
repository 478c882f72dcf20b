"""
Say in one sentence what a verification came to, in words that need no explaining, for every form that people read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from verifier.report import BROKEN, VERIFIED, Ended, Finding, Outcome, Report

DOUBTFUL: Final = "What is doubtful itself"
LATER: Final = "Do nothing about these yet: look at them again once that event is mended."


def counted(count: int, one: str, more: str | None = None) -> str:
    """
    Return so many of a thing: "1 event", "2,000 events".
    """
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def amount(report: Report) -> str:
    """
    Return how much was verified.
    """
    return counted(report.events, "receipt" if report.region_mode == "receipts" else "event")


def pace(report: Report) -> str:
    """
    Return how long it took, and how many were verified a second where that says anything.
    """
    quick = report.seconds < 1 or not report.events
    return f"{report.seconds} s" if quick else f"{report.seconds} s, {report.events / report.seconds:,.0f} a second"


def subject(report: Report) -> str:
    """
    Return what was verified.
    """
    kinds = {
        "archive": "the archive", "primary": "the primary region", "replica": "the replica region",
        "proof": "the proof of one event", "receipts": "the engine's receipts",
    }  # fmt: skip
    return f"{kinds.get(report.region_mode, 'a region')} of {report.origin}"


def verdict(outcome: Outcome) -> str:
    """
    Return the verdict as a sentence.
    """
    if isinstance(outcome, Ended):
        if outcome.verdict == BROKEN:
            return f"Something is wrong, and it kept the rest from being checked: {outcome.message}."
        return f"Nothing was verified, so nothing here may be relied on: {outcome.message}."
    if outcome.verdict == VERIFIED:
        if outcome.region_mode == "proof":
            return "The proof holds: what it says was recorded, and was not changed since."
        if outcome.region_mode == "receipts":
            return f"All of {counted(outcome.events, 'receipt')} fit what is recorded."
        return _fits(outcome)
    wrong = _wrong(outcome)
    if outcome.last_good_seq and outcome.region_mode == "two copies":
        return f"{wrong} Both have the same {counted(outcome.last_good_seq, 'event')} before that."
    if outcome.last_good_seq:
        return f"{wrong} {_whole(outcome)}"
    return wrong


def _wrong(report: Report) -> str:
    """Return how much is wrong: what may only follow from an event that is not known is counted beside it."""
    own, following = report.split()
    kinds = counted(len({finding.kind for finding in own}), "kind")
    wrong = f"{counted(len(own), 'thing is', 'things are')} wrong, of {kinds}"
    return f"{wrong}; {follows(following)}." if following else f"{wrong}."


def follows(findings: Sequence[Finding]) -> str:
    """
    Return as words that so many *findings*, at least one, may be no more than what another brings about.
    """
    return f"{len(findings):,} more may only follow from event {findings[0].after}, which is missing or not known"


def vouched(report: Report) -> int:
    """
    Return up to which event others than the region are known to have seen the history: the newest accepted checkpoint.
    """
    return max((seen.size for seen in report.checkpoints if seen.accepted), default=0)


def last_read(report: Report) -> int:
    """
    Return the last event that was read; 0 where none was.
    """
    if report.spans is not None:
        return max((last for _, last in report.spans), default=0)
    seq = report.head.get("seq")
    return seq if isinstance(seq, int) else report.events


def _fits(report: Report) -> str:
    """Return what it comes to that nothing is wrong: as it was recorded is what others have seen, and no more."""
    count = counted(report.events, "event")
    if report.region_mode == "two copies":
        return f"Both agree in every hash that was compared, on {count}."
    last, seen = last_read(report), vouched(report)
    if report.spans is not None and not last:
        head = f"What was asked of the head fits what others have seen: {counted(seen or report.events, 'event')}."
        is_more = 0 < seen < report.events
        return head + (f" Nobody outside is known to have seen {_after(seen, report.events)} yet." if is_more else "")
    if seen >= last:
        return f"Everything that was checked is as it was recorded: {count}."
    if not seen:
        return (
            f"Everything that was checked fits together: {count}. Nobody outside is known to have seen it, so that a "
            "history which was rewritten as a whole would fit together too: give --policy, to a mode that takes it."
        )
    return (
        f"Everything that was checked fits together: {count}. Up to event {seen:,} it is as it was recorded; nobody "
        f"outside is known to have seen {_after(seen, last)} yet."
    )


def _after(seen: int, last: int) -> str:
    return f"events {seen + 1:,} to {last:,}" if seen + 1 < last else f"event {last:,}"


def _whole(report: Report) -> str:
    """Return what is known of the events before those of which something is wrong."""
    last, seen = report.last_good_seq, min(report.last_good_seq, vouched(report))
    said = f"The first {counted(seen, 'event')} are as they were recorded." if seen else ""
    said = said.replace("The first 1 event are as they were", "The first event is as it was")
    if seen == last:
        return said
    # Whoever can write the newest events can write them with good hashes, and then it is the books that are right.
    more = f"Events {seen + 1:,} to {last:,} fit" if seen + 1 < last else f"Event {last:,} fits"
    # Who cosigned a checkpoint that was not accepted has seen other events, or too few have.
    refused = max((checkpoint.size for checkpoint in report.checkpoints if not checkpoint.accepted), default=0)
    why = (
        f", since the checkpoint of {counted(refused, 'event')} is of others than these, or the policy refuses it"
        if refused > last else ""
    )  # fmt: skip
    return (
        f"{said} {more} what is before, and nobody outside is known to have seen so much{why}: hold receipts or a "
        "replica against it before books are made to fit it."
    ).strip()
