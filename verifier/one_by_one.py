"""
Look for whatever is wrong with a chain, event by event and row by row; and say what reading it came to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from ledger.domain.rows import TABLES, ChainKey
from ledger.evidence.checkpoint import Checkpoint
from ledger.spill.spill import Spill
from verifier import compare, due, held, region
from verifier.acknowledgements import AcknowledgementCheck
from verifier.chain import ChainCheck
from verifier.commits import CommitCheck
from verifier.kept import KeptCheck
from verifier.keys import KeyCheck
from verifier.reader import Reader
from verifier.report import Findings
from verifier.sealed import SealedCheck
from verifier.state import Replay
from verifier.stored import ChainRow
from verifier.walk.books import NO_TREE, Tree
from verifier.walk.good import Whole

STOPPED: Final = (
    "what follows from event {0} and those after it, which a newer program has recorded: their rules, read models, the "
    "state digest, what is kept of the past since, and what replicas and checkpoints say under keys that they name; "
    "verify with the newest release"
)

Progress = Callable[[str, int], None]
"""Is told what is being done, and how many events or rows of it."""


class Came(msgspec.Struct):
    """
    What reading the events came to: how many were checked, the last up to which nothing is wrong, the head, how many
    rows each table has, and the chain's keys.

    From `lost` on findings may follow from a missing event; `unread` says what was not looked at. `whole` is there
    where the chain was shown to be good at once, without a finding of any event or row.
    """

    events: int
    last_good: int
    head: dict[str, object]
    rows: dict[str, int] = msgspec.field(default_factory=dict)
    keys: list[ChainKey] = msgspec.field(default_factory=list)
    lost: int | None = None
    unread: list[str] = msgspec.field(default_factory=list)
    whole: Whole | None = None
    last: int = 0
    """The last event that there is."""
    tree: Tree = NO_TREE
    torn: int | None = None
    """How many events there are before the first of which no leaf is known: no root of more of them was made."""
    stopped: int | None = None
    """The first event that only a newer program knows: of what it and those after it do nothing is said."""
    unseen: bool = False
    """By the auditor's policy nobody is known to have seen this replica's history: it keeps no checkpoint."""


def look(
    reader: Reader, chain: ChainRow, findings: Findings, progress: Progress, expected: Sequence[Checkpoint]
) -> Came:
    """Look for whatever is wrong, event by event and row by row."""
    rows: dict[str, int] = {}
    with Spill() as spill:
        walked, replay, torn = _walk(reader, chain.chain_id, findings, spill, progress, expected)
        findings.add(region.head(chain, walked))
        lost = walked.lost or (walked.seq + 1 if region.is_truncated(chain, walked) else None)
        if replay.stopped is None:
            for table in TABLES:
                progress(f"comparing {table}", 0)
                rows[table], wrong = compare.compare(table, reader.rows(table), replay.state, spill)
                findings.add(wrong)
            findings.add(held.check(replay.state))
            findings.add(region.digest(reader, replay.digest, walked.seq))
        keys = list(replay.state.chain_keys.rows.values())
    head: dict[str, object] = {"seq": walked.seq, "hash": (walked.hash or b"").hex()}
    unread = [] if replay.stopped is None else [STOPPED.format(replay.stopped)]
    good = walked.last_good if replay.stopped is None else min(walked.last_good, replay.stopped - 1)
    return Came(walked.seq, good, head, rows, keys, lost, unread, last=walked.seq, torn=torn, stopped=replay.stopped)


def _walk(
    reader: Reader,
    chain_id: bytes,
    findings: Findings,
    spill: Spill,
    progress: Progress,
    expected: Sequence[Checkpoint],
) -> tuple[ChainCheck, Replay, int | None]:
    chain = reader.chain
    replay, keys = Replay(spill, findings), KeyCheck(reader.keys())
    others = [other.chain_id for other in reader.chains if other.chain_id != chain_id]
    check = ChainCheck(chain, others, keys, replay.foresee, findings, edits=reader.edits)
    commits = CommitCheck(reader.commits(), reader.seq_recorded_at)
    acknowledged = AcknowledgementCheck(chain_id, reader.acknowledgements(), reader.now())
    kept, count = KeptCheck(reader, findings), 0
    sealed = sealed_check(reader, expected)
    for event in check.walk(reader.events()):
        replay.apply(event)
        if replay.stopped == event.seq:
            kept.stop(event.seq)
        acknowledged.pass_by(event)
        if event.seq in acknowledged.seqs:
            acknowledged.reach(event, replay.state_digest())
        digest = replay.state_digest() if kept.wants(event.seq) else None
        commits.reach(event, replay.state_digest)
        kept.reach(event, replay.changes, digest)
        findings.add(sealed.reach(event))
        count += 1
        if count % 1000 == 0:
            progress("checking events", count)
    progress("checking events", count)
    findings.add(keys.findings())
    findings.add(commits.end(check.seq))
    kept.end()
    findings.add(sealed.end())
    findings.add(acknowledged.findings(replay.state, stopped=replay.stopped is not None))
    return check, replay, sealed.torn


def sealed_check(reader: Reader, expected: Sequence[Checkpoint]) -> SealedCheck:
    return SealedCheck(due.due(reader).leaves, reader.tiles, reader.checkpoints("sealed"), reader.now(), expected,
                       may_be_behind=reader.chain.mode == "replica")  # fmt: skip
