"""
Verify everything there is of one chain in one region.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ledger.domain.rows import ChainKey
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.policy import Policy
from ledger.spill.spill import Spill
from verifier import catalogue, identity, indexes, region
from verifier.identity import Identity
from verifier.one_by_one import Came, Progress, look, sealed_check
from verifier.reader import Reader
from verifier.report import (
    AROUND,
    BROKEN,
    COVERED,
    COVERED_BEFORE,
    NO_POLICY,
    NOT_COVERED,
    VERIFIED,
    Finding,
    Findings,
    Report,
    SeenCheckpoint,
)
from verifier.sealed import SealedCheck, not_here_yet
from verifier.signed import Signed
from verifier.stored import ChainRow, ChainsLost, Unreadable
from verifier.vouching import NOBODYS, Judged, before_its_events
from verifier.walk import before, gone_on, leaves
from verifier.walk.again import two_readings, unfit
from verifier.walk.beside import kept_late
from verifier.walk.books import UNREAD, Books, Tree, Verified, is_of_the_disk, unread
from verifier.walk.good import check
from verifier.walk.replaying import Doubt

SEEN_BY_NOBODY: Final = (
    "who has seen this history: bring a checkpoint of it with --expect, such as one that the primary or a witness shows"
)


def verify(
    reader: Reader,
    progress: Progress = lambda what, count: None,
    jobs: int = 1,
    books: Books | None = None,
    *,
    trust: Policy | None = None,
    expected: Sequence[Checkpoint] = (),
    notes: Sequence[bytes] = (),
    settled: Identity | None = None,
) -> Report:
    """
    Return the report on the reader's chain, which so many processes read.

    With *books* it goes on from where an earlier verification of the chain came to, which the report says, all read
    models are compared, and the books then have what the chain came to where nothing is found; what it came to
    meanwhile is kept in any case.

    With the auditor's policy the newest checkpoint that it accepts is looked for, and *expected* are checkpoints that
    the auditor has seen: the history must still hold what they covered. Of those the *notes* count as well as what is
    kept here, where the policy accepts them: a replica's region may keep none of its own. Whose events these are is
    *settled* where that was asked already.

    Raises:
        Unreadable: there is nothing to check, or nothing wrong with a replica of which, with a policy, no checkpoint
            says who has seen it, or that has fewer events than an expected one covers.
    """
    started, findings = time.monotonic(), Findings()
    settled = settled or identity.settle(reader)
    chain = settled.chain
    findings.add(settled.findings)
    findings.add(region.chains(reader, chain))
    findings.add(region.strays(reader))
    # What the books say changes while they are brought up to the head.
    said = None if books is None else books.said
    if books is not None and said is not None:
        findings.add(before.convict(reader, chain, said, books.path, renamed=bool(settled.findings)))
    clean = not len(findings)
    if not settled.readable:
        came = Came(0, 0, {"seq": chain.seq, "hash": chain.hash.hex()},
                    unread=["events, keys, commits and read models: whose rows they are is not known"])  # fmt: skip
    else:
        came = (clean and _good(reader, chain, findings, progress, jobs, books, expected)) or look(
            reader, chain, findings, progress, expected
        )
    judged = _signed(reader, chain, came, trust, findings, notes, expected) if settled.readable else None
    if clean and settled.readable and came.whole is None and came.events and not len(findings):
        findings.add([two_readings(1, came.events) if books is None or said is None
                      else unfit(books.path, said.at.end.seq, came.events, "what follows from events")])  # fmt: skip
        came.last_good = 0
    if came.whole is None and not came.events and not findings.all(None):
        raise Unreadable(f"chain {chain.origin} has no events: there is nothing to verify")
    progress("checking the guards", 0)
    findings.add(catalogue.check(reader.connection))
    came.unread += catalogue.unseen(reader.query)
    everything = said is None and settled.readable
    if everything:
        looked_up = None if came.whole is None else came.whole.looked_up
        lacking, unchecked = looked_up or indexes.check(reader.connection, progress)
        findings.add(lacking)
        came.unread += unchecked
    else:
        came.unread.append(indexes.NOT_LOOKED_UP)
    found = findings.all(came.lost)
    late = _late(chain, came, expected)
    came.unread += late
    if not found:
        _check_seen(chain, came, late)
    # What is not found good at once is looked for from the first event on.
    since = said if came.whole is not None else None
    if books is not None and came.whole is not None and not found:
        came.head["root"] = came.whole.frontier.root().hex()
        books.save(came.whole.replay.state, came.whole.said(chain, came.tree))
    return Report(
        BROKEN if found else VERIFIED, chain.origin, chain.mode, came.events, came.head, found, came.rows,
        [*_covered(since, came, settled), *([indexes.LOOKED_UP] if everything else [])],
        _not_covered(trust) + came.unread,
        [*settled.assumed, *reader.vouched(), *catalogue.holders(reader.query)],
        0 if any(one.after is None for one in _others(found)) else came.last_good, round(time.monotonic() - started, 3),
        checkpoints=[] if judged is None else [_met(judged, found, came)],
        trusted=[] if trust is None else [NOBODYS] if judged is None else judged.sentences(trust),
        spans=[(since.at.end.seq + 1, came.last)] if since is not None and came.events else None,
    )  # fmt: skip


def _covered(since: Verified | None, came: Came, settled: Identity) -> list[str]:
    """Return what was checked of what there is: all, or what came *since* an earlier verification."""
    if not settled.readable:
        return AROUND
    if came.stopped is not None:
        return [line.format(came.stopped) for line in COVERED_BEFORE]
    return COVERED if since is None else gone_on.covered(since, came.last)


def _check_seen(chain: ChainRow, came: Came, late: list[str]) -> None:
    """Raise Unreadable where nothing is wrong with a replica, and too little says that others have seen the same."""
    good = f"the replica of {chain.origin} is good by itself, and"
    if late:
        raise Unreadable(f"{good} lacks {late[0]}; let it catch up and verify it again, or bring a checkpoint of at "
                         f"most {came.last} events")  # fmt: skip
    if came.unseen:
        raise Unreadable(f"{good} keeps no checkpoint: {SEEN_BY_NOBODY}")


def _late(chain: ChainRow, came: Came, expected: Sequence[Checkpoint]) -> list[str]:
    """Return what the largest checkpoint that was brought covers and a replica has not got, as a sentence, if any."""
    size = max((stated.size for stated in expected), default=0)
    if chain.mode != "replica" or size <= came.last:
        return []
    return [not_here_yet(came.last, size, f"the {size} that a checkpoint covers")]


def _signed(
    reader: Reader,
    chain: ChainRow,
    came: Came,
    trust: Policy | None,
    findings: Findings,
    notes: Sequence[bytes],
    expected: Sequence[Checkpoint],
) -> Judged | None:
    """Check who signed the checkpoints and what else follows from the events; return the newest that is trusted."""
    unknown = [seq for seq in (came.lost, came.stopped) if seq is not None]
    signed = Signed(chain.origin, came.keys, trust, came.torn, min(unknown, default=None))
    for row in reader.checkpoints("signed"):
        # Which keys the chain names since it stopped, nobody here can say.
        findings.add(one for one in signed.check(row) if one.after is None or one.after != came.stopped)
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
    sizes = [stated.size for stated in expected] + ([] if newest is None else [newest.checkpoint.size])
    came.unread += _not_held(came, sizes)
    shown = signed.met or newest
    return None if shown is None else Judged(shown.checkpoint, shown, [])


def _not_held(came: Came, sizes: Sequence[int]) -> list[str]:
    """Return what of the tree was not checked, and which of these checkpoints no root was held against."""
    if came.torn is None:
        return []
    lost = f"of event {came.torn + 1} nothing is known"
    behind = [str(size) for size in sorted(set(sizes)) if size > came.torn]
    said = [f"whether events 1 to {came.torn} are those that checkpoints of {', '.join(behind)} events cover: {lost}, "
            "so that no root was held against theirs"]  # fmt: skip
    return [f"tiles and checkpoints of more than {came.torn} events: {lost}", *(said if behind else [])]


def _met(judged: Judged, found: Sequence[Finding], came: Came) -> SeenCheckpoint:
    """Return the newest checkpoint that the policy accepts: accepted here where the events have its root too."""
    seen = judged.seen()
    wrong = any(one.table == "checkpoints" and one.key == (str(seen.size),) for one in found) or bool(_others(found))
    reached = came.last if came.torn is None else came.torn
    return msgspec.structs.replace(seen, accepted=seen.accepted and not wrong and seen.size <= reached)


def _others(found: Sequence[Finding]) -> list[Finding]:
    """Return that the history is another than a checkpoint that was brought: which of its events are, it cannot say."""
    return [one for one in found if one.kind == "INCONSISTENT" and one.table is None]


def _not_covered(trust: Policy | None) -> list[str]:
    return NOT_COVERED if trust is not None else [*NOT_COVERED, NO_POLICY]


def _good(
    reader: Reader,
    chain: ChainRow,
    findings: Findings,
    progress: Progress,
    jobs: int,
    books: Books | None,
    expected: Sequence[Checkpoint],
) -> Came | None:
    """
    Return what a good chain came to, checked at speed, with what is wrong with its tree among the findings; None where
    something else is wrong: then it has to be looked for.
    """
    said = None if books is None else books.said
    try:
        with contextlib.nullcontext(books) if books is not None else Spill() as kept:
            whole = check(reader, chain, kept, progress, jobs, look_up=said is None)
        sealed = sealed_check(reader, expected)
        findings.add(list(tree_of(reader, chain, sealed, progress)))
    except Doubt:
        return None
    except UNREAD as error:
        if books is None or (books.said is None and not is_of_the_disk(error)):
            raise
        raise unread(books.path, error) from error
    end = whole.end
    keys = [row for row in reader.rows("chain_keys") if isinstance(row, ChainKey)]
    came = Came(end.seq, end.seq, {"seq": end.seq, "hash": end.hash.hex()}, whole.counts, keys, whole=whole,
                tree=Tree.of(sealed), last=end.seq)  # fmt: skip
    if books is not None and said is not None:
        came.events -= said.at.end.seq
        came.unread = [*gone_on.left(said, books.path), *kept_late(said, whole.kept_to), *whole.notes]
    return came


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


def without_chains(lost: ChainsLost, origin: str | None) -> Report:
    """
    Return the report where rows are there and no row says which chain they are of.
    """
    found = [
        Finding("CHAIN_MISMATCH", "a row", "no such row", table="chains", key=(number,)) for number in lost.numbers
    ]
    return Report(BROKEN, origin or "unknown", "unknown", 0, {}, found, {}, [], [*NOT_COVERED, str(lost)], [], 0, 0.0)
