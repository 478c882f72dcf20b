"""
Replay a chain, and say what its events make: balances, positions, and the roots that were sealed in it.

Nothing of the read models is looked at: what comes out follows from the hashed bytes and the rules alone, so it can be
held against what the database, an export or a venue says.
"""

from __future__ import annotations

import os
import time
from typing import Any, Final

import msgspec

from ledger.chain.digest import StateDigest
from ledger.chain.entry import RecordedEvent, split_payload
from ledger.domain import amounts
from ledger.domain.rows import TABLES
from ledger.domain.state import State
from ledger.spill.spill import Spill
from verifier import full, identity, indexes, region
from verifier.connection import open_connection
from verifier.reader import Reader
from verifier.report import VERIFIED, Report
from verifier.walk import ranges
from verifier.walk.beside import Tell
from verifier.walk.layout import End
from verifier.walk.others import Others
from verifier.walk.replaying import Doubt, NetReplay, same
from verifier.walk.requests import Requests
from verifier.walk.runs import runs, without_gap

COVERED: Final = [
    "every column of every event, against its hash and the hash chain from the genesis of this origin",
    "seqs, recorded times, event ids, groups, stream versions and request hashes",
    "every rule and consequence, by replaying the fold: the balances and positions are what that makes",
    "the head and the chain's own row",
]
NOT_COVERED: Final = [
    "read models, keys, commits, what is kept of the past, acknowledgements, tiles, checkpoints and guards as they are "
    "stored: `tradeledger-verify full` checks them",
    indexes.NOT_LOOKED_UP,
    "whether a sealed root is that of the events: hold it against a signed checkpoint and the archive",
    "a rewrite of all events alike: compare the head with one that was kept outside",
    "events that were never appended: reconcile with the venue",
]
_SEALED: Final = "CheckpointSealed"


class Replayed(Report):
    """
    A report with what the events make: rows by column, amounts as text, and (seq, size, root) of what was sealed.
    """

    balances: list[dict[str, Any]] = msgspec.field(default_factory=list)
    positions: list[dict[str, Any]] = msgspec.field(default_factory=list)
    sealed: list[dict[str, Any]] = msgspec.field(default_factory=list)
    state_digest: str = ""


def verify(reader: Reader, tell: Tell, jobs: int = 1) -> Report:
    """
    Return the report on a chain's events and rules, with the state they make where nothing is wrong.

    The rules are applied in one order, by this process; with several *jobs* the others hash and link beside it.

    Raises:
        Unreadable: there is nothing to check.
    """
    started, settled = time.monotonic(), identity.settle(reader)
    if settled.readable and not settled.findings and not region.chains(reader, settled.chain) and reader.last_seq():
        try:
            with Spill() as spill:
                return _replay(reader, spill, tell, started, jobs)
        except Doubt:
            pass
    # Something is wrong, and the checks that say what are those of a full verification.
    return full.verify(reader, tell, jobs, settled=settled)


def _replay(reader: Reader, spill: Spill, tell: Tell, started: float, jobs: int) -> Replayed:
    chain, sealed = reader.chain, list[dict[str, Any]]()
    replay, requests = NetReplay(spill, State(spill.load, certain=True), StateDigest()), Requests()
    end: End | None = None
    last, snapshot, absent = reader.last_seq() or 0, reader.snapshot(), os.urandom(16)
    without_gap(reader, 1, last)
    tasks = [
        ranges.Task(reader.dsn, snapshot, chain.chain, chain.chain_id, absent, *ends, leaves=False)
        for ends in ranges.cut(1, last)
    ]
    others = Others(chain, tasks, [], None, None)
    with others.at_work(jobs - 1), open_connection(reader.dsn, snapshot) as connection:
        for parsed, end in runs(connection, chain, absent, None, None, last=last, hashed=jobs == 1):
            for event in parsed.events(chain.chain_id):
                replay.apply(event, *requests.take(event))
                if event.event_type == _SEALED:
                    sealed.append(_sealed(event))
            tell("replaying events", end.seq)
        if jobs > 1 and end is not None:
            others.reach(end)
            same(others.is_done, True)
    if end is None or not end.closes:
        raise Doubt
    digest = replay.digest()
    same(region.head(chain, end), [])
    return Replayed(
        verdict=VERIFIED, origin=chain.origin, region_mode=chain.mode, events=end.seq,
        head={"seq": end.seq, "hash": end.hash.hex()}, findings=[], rows=dict(replay.made), covered=COVERED,
        not_covered=NOT_COVERED, vouched=[], last_good_seq=end.seq, seconds=round(time.monotonic() - started, 3),
        balances=_rows(replay.state, "balances"), positions=_rows(replay.state, "positions"), sealed=sealed,
        state_digest=digest.digest().hex(),
    )  # fmt: skip


def _sealed(event: RecordedEvent) -> dict[str, Any]:
    given = msgspec.json.decode(split_payload(event.payload)[1], type=dict[str, Any])
    return {"seq": event.seq, "size": given["size"], "root": given["root"]}


def _rows(state: State, table: str) -> list[dict[str, Any]]:
    spec = TABLES[table]
    found = sorted(state.table(table).rows.items())
    return [
        {
            name: amounts.render(value) if name in spec.amounts and value is not None else value
            for name, value in msgspec.structs.asdict(row).items()
        }
        for _, row in found
    ]


def lines(report: Report) -> list[str]:
    """
    Return balances, positions and sealed roots for people to read.
    """
    if not isinstance(report, Replayed):
        return []
    found = [f"state digest {report.state_digest}"]
    found += [
        f"  {row['account']} {row['asset']}: settled {row['settled']}, unsettled {row['unsettled']}, held {row['held']}"
        for row in report.balances
    ]
    found += [f"  {row['account']} {row['instrument']}: {row['qty']} at cost {row['cost']}" for row in report.positions]
    found += [f"  sealed by event {row['seq']}: {row['size']} events, root {row['root']}" for row in report.sealed]
    return found
