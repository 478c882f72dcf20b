"""
Verify everything there is of one chain in one region.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from ledger.domain.rows import TABLES, ChainKey
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.policy import Policy
from verifier import catalogue, compare, held, identity, region
from verifier.acknowledgements import AcknowledgementCheck
from verifier.chain import ChainCheck
from verifier.commits import CommitCheck
from verifier.kept import KeptCheck
from verifier.keys import KeyCheck
from verifier.reader import Reader
from verifier.report import BROKEN, COVERED, NO_POLICY, NOT_COVERED, VERIFIED, Finding, Findings, Report, SeenCheckpoint
from verifier.sealed import SealedCheck, not_here_yet
from verifier.signed import Signed
from verifier.spill import Spill
from verifier.state import Replay
from verifier.stored import ChainRow, ChainsLost, Unreadable
from verifier.vouching import NOBODYS, Judged, before_its_events
from verifier.walk import before, leaves
from verifier.walk.again import two_readings
from verifier.walk.beside import kept_late
from verifier.walk.books import NO_TREE, UNREAD, Books, Tree, unread
from verifier.walk.good import Whole, check
from verifier.walk.replaying import Doubt

SEEN_BY_NOBODY: Final = (
    "who has seen this history: bring a checkpoint of it with --expect, such as one that the primary or a witness shows"
)

Progress = Callable[[str, int], None]
"""Is told what is being done, and how many events or rows of it."""


def verify(
    reader: Reader,
    progress: Progress = lambda what, count: None,
    jobs: int = 1,
    books: Books | None = None,
    *,
    trust: Policy | None = None,
    expected: Sequence[Checkpoint] = (),
    notes: Sequence[bytes] = (),
) -> Report:
    """
    Return the report on the reader's chain, which so many processes read.

    With *books* it goes on from where an earlier verification of the chain came to, all read models are compared, and
    the books then have what the chain came to where nothing is found; what it came to meanwhile is kept in any case.

    With the auditor's policy the newest checkpoint that it accepts is looked for, and *expected* are checkpoints that
    the auditor has seen: the history must still hold what they covered. Of those the *notes* count as well as what is
    kept here, where the policy accepts them: a replica's region may keep none of its own.

    Raises:
        Unreadable: there is nothing to check, or nothing wrong with a replica of which, with a policy, no checkpoint
            says who has seen it, or that has fewer events than an expected one covers.
    """
    started, findings = time.monotonic(), Findings()
    settled = identity.settle(reader)
    chain = settled.chain
    findings.add(settled.findings)
    findings.add(region.chains(reader, chain))
    findings.add(region.strays(reader))
    # What the books say changes while they are brought up to the head.
    said = None if books is None else books.said
    if books is not None and said is not None:
        findings.add(before.convict(reader, chain, said, books.path, renamed=bool(settled.findings)))
    doubted = False
    if not settled.readable:
        came = _Came(0, 0, {"seq": chain.seq, "hash": chain.hash.hex()},
                    unread=["events, keys, commits and read models: whose rows they are is not known"])  # fmt: skip
    elif not len(findings) and (good := _good(reader, chain, progress, jobs, books, expected)):
        came = _of_good(reader, *good, findings)
        if books is not None and said is not None:
            came.events -= said.at.end.seq
            came.unread = [f"events 1 to {said.at.end.seq} again: an earlier verification checked them, in whichever "
                           f"region it read, as {books.path} says", *kept_late(said, good[0].kept_to)]  # fmt: skip
    else:
        doubted = not len(findings)
        came = _one_by_one(reader, chain, findings, progress, expected)
    judged = _signed(reader, chain, came, trust, findings, notes) if settled.readable else None
    if doubted and came.events and not len(findings):
        findings.add([two_readings(1, came.events)])
    if came.whole is None and not came.events and not findings.all(None):
        raise Unreadable(f"chain {chain.origin} has no events: there is nothing to verify")
    progress("checking the guards", 0)
    findings.add(catalogue.check(reader))
    came.unread += catalogue.unseen(reader)
    found = findings.all(came.lost)
    late = _late(chain, came, expected)
    if late and not found:
        raise Unreadable(f"the replica of {chain.origin} is good by itself, and lacks {late[0]}; let it catch up and "
                         f"verify it again, or bring a checkpoint of at most {came.last} events")  # fmt: skip
    came.unread += late
    if came.unseen and not found:
        raise Unreadable(f"the replica of {chain.origin} is good by itself, and keeps no checkpoint: {SEEN_BY_NOBODY}")
    if books is not None and came.whole is not None and not found:
        came.head["root"] = came.whole.frontier.root().hex()
        books.save(came.whole.replay.state, came.whole.said(chain, came.tree))
    return Report(
        BROKEN if found else VERIFIED, chain.origin, chain.mode, came.events, came.head, found, came.rows,
        COVERED if settled.readable else COVERED[-2:], _not_covered(trust) + came.unread,
        [*reader.vouched(), *catalogue.holders(reader)],
        0 if any(one.after is None for one in _others(found)) else came.last_good, round(time.monotonic() - started, 3),
        checkpoints=[] if judged is None else [_met(judged, found, came)],
        trusted=[] if trust is None else [NOBODYS] if judged is None else judged.sentences(trust),
    )  # fmt: skip


class _Came(msgspec.Struct):
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
    unseen: bool = False
    """By the auditor's policy nobody is known to have seen this replica's history: it keeps no checkpoint."""


def _of_good(reader: Reader, whole: Whole, wrong: list[Finding], tree: Tree, findings: Findings) -> _Came:
    """Return what a good chain came to; what is *wrong* is with its tree, of which *tree* is to be kept."""
    findings.add(wrong)
    end = whole.end
    keys = [row for row in reader.rows("chain_keys") if isinstance(row, ChainKey)]
    return _Came(end.seq, end.seq, {"seq": end.seq, "hash": end.hash.hex()}, whole.counts, keys, whole=whole,
                 tree=tree, last=end.seq)  # fmt: skip


def _one_by_one(
    reader: Reader, chain: ChainRow, findings: Findings, progress: Progress, expected: Sequence[Checkpoint]
) -> _Came:
    """Look for whatever is wrong, event by event and row by row."""
    rows: dict[str, int] = {}
    with Spill() as spill:
        walked, replay = _walk(reader, chain.chain_id, findings, spill, progress, expected)
        findings.add(region.head(chain, walked))
        lost = walked.lost or (walked.seq + 1 if region.is_truncated(chain, walked) else None)
        for table in TABLES:
            progress(f"comparing {table}", 0)
            rows[table], wrong = compare.compare(table, reader.rows(table), replay.state, spill)
            findings.add(wrong)
        findings.add(held.check(replay.state))
        findings.add(region.digest(reader, replay.digest, walked.seq))
        keys = list(replay.state.chain_keys.rows.values())
    head: dict[str, object] = {"seq": walked.seq, "hash": (walked.hash or b"").hex()}
    return _Came(walked.seq, walked.last_good, head, rows, keys, lost, last=walked.seq)


def _late(chain: ChainRow, came: _Came, expected: Sequence[Checkpoint]) -> list[str]:
    """Return what the largest checkpoint that was brought covers and a replica has not got, as a sentence, if any."""
    size = max((stated.size for stated in expected), default=0)
    if chain.mode != "replica" or size <= came.last:
        return []
    return [not_here_yet(came.last, size, f"the {size} that a checkpoint covers")]


def _signed(
    reader: Reader, chain: ChainRow, came: _Came, trust: Policy | None, findings: Findings, notes: Sequence[bytes]
) -> Judged | None:
    """Check who signed the checkpoints and what else follows from the events; return the newest that is trusted."""
    signed = Signed(chain.origin, came.keys, trust)
    for row in reader.checkpoints("signed"):
        findings.add(signed.check(row))
    for data in notes:
        signed.bring(data)
    came.unseen = trust is not None and signed.is_empty and chain.mode == "replica"
    # A primary without any has lost them; a replica never had one.
    findings.add([] if came.unseen else signed.end())
    came.unread += [SEEN_BY_NOBODY] if came.unseen else []
    came.unread += signed.nobodys()
    findings.add(region.position(reader, came.last_good if came.whole is not None else came.events))
    findings.add(Finding("BYTES_MODIFIED", "NULL", "zeros", seq=seq, column=column) for seq, column in reader.zero_ids)
    newest = signed.newest
    last = None if newest is None else next(reader.events_at([newest.checkpoint.size]), None)
    if trust is not None and last is not None:
        findings.add(before_its_events(trust, newest, last.seq, last.recorded_at))
    return None if newest is None else Judged(newest.checkpoint, newest, [])


def _met(judged: Judged, found: Sequence[Finding], came: _Came) -> SeenCheckpoint:
    """Return the newest checkpoint that the policy accepts: accepted here where the events have its root too."""
    seen = judged.seen()
    wrong = any(one.table == "checkpoints" and one.key == (str(seen.size),) for one in found) or bool(_others(found))
    return msgspec.structs.replace(seen, accepted=seen.accepted and not wrong and seen.size <= came.last)


def _others(found: Sequence[Finding]) -> list[Finding]:
    """Return that the history is another than a checkpoint that was brought: which of its events are, it cannot say."""
    return [one for one in found if one.kind == "INCONSISTENT" and one.table is None]


def _not_covered(trust: Policy | None) -> list[str]:
    return NOT_COVERED if trust is not None else [*NOT_COVERED, NO_POLICY]


def _good(
    reader: Reader,
    chain: ChainRow,
    progress: Progress,
    jobs: int,
    books: Books | None,
    expected: Sequence[Checkpoint],
) -> tuple[Whole, list[Finding], Tree] | None:
    """
    Return what a good chain is, checked at speed, and what is wrong with its tree, and what to keep of that; None where
    something else is: then it has to be looked for.
    """
    try:
        if books is None:
            with Spill() as spill:
                whole = check(reader, chain, spill, progress, jobs)
        else:
            whole = check(reader, chain, books, progress, jobs)
        sealed = _sealed(reader, expected)
        wrong = list(tree_of(reader, chain, sealed, progress))
        return whole, wrong, Tree.of(sealed)
    except Doubt:
        return None
    except UNREAD as error:
        if books is None or books.said is None:
            raise
        raise unread(books.path, error) from error


def _sealed(reader: Reader, expected: Sequence[Checkpoint]) -> SealedCheck:
    return SealedCheck(reader.tree_size(), reader.tiles, reader.checkpoints("sealed"), reader.now(), expected,
                       may_be_behind=reader.chain.mode == "replica")  # fmt: skip


def tree_of(reader: Reader, chain: ChainRow, check: SealedCheck, progress: Progress) -> Iterator[Finding]:
    """
    Yield what is wrong about tiles and checkpoints of a good chain; one that is not sealed is not read again.
    """
    if check.is_empty:
        return
    for seq, recorded_at, leaf in leaves.read(reader, chain, check.covered.size + 1):
        yield from check.take(seq, recorded_at, leaf)
        if seq % 1000 == 0:
            progress("checking the tree", seq)
    yield from check.end()


def _walk(
    reader: Reader,
    chain_id: bytes,
    findings: Findings,
    spill: Spill,
    progress: Progress,
    expected: Sequence[Checkpoint],
) -> tuple[ChainCheck, Replay]:
    chain = reader.chain
    replay, keys = Replay(spill, findings), KeyCheck(reader.keys())
    others = [other.chain_id for other in reader.chains if other.chain_id != chain_id]
    check = ChainCheck(chain, others, keys, replay.foresee, findings)
    commits = CommitCheck(reader.commits(), reader.seq_recorded_at)
    acknowledged = AcknowledgementCheck(chain_id, reader.acknowledgements(), reader.now())
    kept, count = KeptCheck(reader, findings), 0
    sealed = _sealed(reader, expected)
    for event in check.walk(reader.events()):
        replay.apply(event)
        acknowledged.pass_by(event)
        if event.seq in acknowledged.seqs:
            acknowledged.reach(event, replay.digest.digest())
        digest = replay.digest.digest() if kept.wants(event.seq) else None
        commits.reach(event, replay.digest.digest)
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
    findings.add(acknowledged.findings(replay.state))
    return check, replay


def without_chains(lost: ChainsLost, origin: str | None) -> Report:
    """
    Return the report where rows are there and no row says which chain they are of.
    """
    found = [
        Finding("CHAIN_MISMATCH", "a row", "no such row", table="chains", key=(number,)) for number in lost.numbers
    ]
    return Report(BROKEN, origin or "unknown", "unknown", 0, {}, found, {}, [], [*NOT_COVERED, str(lost)], [], 0, 0.0)
