"""
Walk a stretch of a chain again, event by event, to say what is wrong with it.

The fast walk only knows that something there does not fit. This one is `verifier.chain`'s, begun at the start of a
group that is known to be good, so its findings are those of a full verification, but for one thing: what the rules
would make of an event is not known here, and a column that only they can tell from another is named among suspects.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from ledger.chain.entry import RecordedEvent
from verifier.chain import ChainCheck
from verifier.keys import KeyCheck
from verifier.reader import Reader
from verifier.report import Finding, Findings
from verifier.walk.layout import End

LOOK_BACK: Final = 2000
"""How many events before the stretch are read for what their columns hold: candidates for one that was changed."""
GROUP_LIMIT: Final = 10_000
"""No group has more events."""
END: Final = 2**63 - 1


def walk(reader: Reader, first: int, last: int, following: End | None, findings: Findings) -> ChainCheck:
    """
    Return the check that walked events *first* to *last*, and add to *findings* what is wrong with them.

    *following* is the first good event after the stretch: the walk goes on to the end of its group, so that the link to
    it is checked. Without one it goes on to the end of the chain.
    """
    # Events before the first of a chain are of this stretch too: nobody else reads them.
    begin = -END if first <= 1 + LOOK_BACK else _group_start(reader, first - LOOK_BACK)
    end = END if following is None else following.seq - following.group[1] + following.group[2] - 1
    others = [other.chain_id for other in reader.chains if other.chain_id != reader.chain.chain_id]
    # No consequence is known without the rules; `full` asks them too.
    check = ChainCheck(reader.chain, others, KeyCheck(reader.keys(begin, end)), _nothing, findings, edits=reader.edits)
    before = next(reader.events(begin - 1, begin - 1), None) if begin > 1 else None
    if before is not None:
        check.start_after(before.seq, before.hash, before.recorded_at, before.epoch)
    for _ in check.walk(reader.events(begin, end)):
        pass
    findings.add(Finding("BYTES_MODIFIED", "NULL", "zeros", seq=seq, column=column) for seq, column in reader.zero_ids)
    return check


def two_readings(first: int, last: int) -> Finding:
    """
    Return that two ways to read events *first* to *last* differ: that is no verification, whichever is wrong.
    """
    return Finding(
        "CHAIN_BREAK", "events that two ways to read them agree on",
        f"up to event {last}: one found nothing wrong, the other that they do not fit", seq=first,
    )  # fmt: skip


def unfit(path: Path, seq: int, last: int, part: str) -> Finding:
    """
    Return that the file at *path*, which is of event *seq*, does not fit this *part* of a chain of *last* events that
    is good by itself.
    """
    return Finding(
        "CHAIN_BREAK", f"a history that goes on as the state {path} has it",
        f"another, in {part}: by themselves all {last} events and what follows from them are good, and the state does "
        "not fit; one of both was changed: keep the file as evidence, hold this region against another copy (`diff`), "
        "and go on with another file",
        seq=seq,
    )  # fmt: skip


def _group_start(reader: Reader, seq: int) -> int:
    found = next(reader.events(seq, seq), None)
    if found is None or not 0 <= found.group_index < min(GROUP_LIMIT, seq):
        return -END
    start = seq - found.group_index
    return start if start > 1 else -END


def _nothing(event: RecordedEvent) -> dict[str, list[Any]]:
    return {}
