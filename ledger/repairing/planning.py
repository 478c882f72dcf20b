"""
Make the plan of a repair: hold what a report names against copies that are proven, and say what will be written.

Nothing is changed. Rows are compared by the database with proven events that are staged for it, in a transaction that
is given up.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from ledger.errors import InvalidInput, LedgerError, shown
from ledger.evidence.policy import Policy, Trusted
from ledger.repairing import histories, identity, neighbours, record, region, role
from ledger.repairing.books import Walk, tree_size
from ledger.repairing.draft import BESIDE, Draft, Place, Reasons
from ledger.repairing.ending import Ending
from ledger.repairing.identity import Identity
from ledger.repairing.judging import OWN_ROW, judge
from ledger.repairing.notes import Notes
from ledger.repairing.plan import CHAINS, DROP, REBUILD, REMOVE, REPLAY, RESTORE, Judged, Plan, Write
from ledger.repairing.proving import EVENTS_LIMIT, Proven, Prover, fetch, newest
from ledger.repairing.reports import Found, ReportFile
from ledger.repairing.role import Mode
from ledger.repairing.sources import Database, Source
from ledger.repairing.wanted import (
    CHECKPOINTS,
    EVENTS,
    FOLDED,
    HEAD,
    MADE_ANEW,
    OF_RECORD,
    PLACE,
    SNAPSHOTS,
    STRAY_ROWS,
    TILES,
    UNKNOWN_FORMAT,
    Wanted,
    all_wanted,
    is_after,
    number_of,
    seen,
)
from ledger.storage import event_guards, identities, repairs, staged
from ledger.storage.chains import ChainRow
from ledger.storage.database import Connection

AFTER_ROW: Final = (
    "no row of chains has the number of these events, so nothing else could be looked at; mend that row, verify, and "
    "plan again"
)

NO_PLACE: Final = (
    "this region is the primary, which has no place in a topic: DELETE FROM ledger.replica_state WHERE chain = {}, as "
    "the tables' owner"
)

STRAYS_AT_ONCE: Final = 10_000
"""So many events under a number that no chain has are looked at in one plan."""


def origin_of(rules: Policy, report: ReportFile) -> str:
    """
    Return the origin of the log that the report is about.

    Raises:
        InvalidInput: the policy is for other logs.
    """
    if rules.logs_of(report.origin):
        return report.origin
    named = sorted({log.key.name for log in rules.logs})
    # Where the row of chains was changed, so was the report's origin; the policy is the operator's own.
    if len(named) == 1 and any(found.table == CHAINS for found in report.findings):
        return named[0]
    raise InvalidInput(
        f"the policy is for other logs ({', '.join(named) or 'none'}), and the report is of {shown(report.origin)}"
    )


def _check_count(count: int) -> None:
    if count > EVENTS_LIMIT:
        raise InvalidInput(
            f"found {count} events to restore; at most {EVENTS_LIMIT} are mended one by one: make this region anew "
            "from another one, or from a backup"
        )


class Planning:
    """
    The plan of one report, as it comes together.
    """

    def __init__(
        self,
        connection: Connection,
        row: ChainRow,
        rules: Policy,
        trusted: Trusted,
        local: Database,
        sources: Sequence[Source],
        findings: Sequence[Found] = (),
        read: int = 0,
        *,
        despite_record: bool = False,
        said: Mode | None = None,
    ) -> None:
        """
        Begin the plan of a report with these *findings*, for which so many events were *read*; *despite_record* and
        *said* as in `make`.
        """
        self._connection, self._row = connection, row
        self._role = role.settle(connection, row.chain, sources, said)
        self._findings, self._despite_record = findings, despite_record
        self._local, self._sources = local, list(sources)
        self._stated = trusted.checkpoint
        self.size = self._stated.size
        """How many events were signed."""
        self._prover = Prover(self._stated, [local, *sources])
        self.two_histories = histories.second(rules, self._stated, self._prover, [local, *sources])
        """Why nothing at all is planned: which of two signed histories is the true one nobody here knows."""
        self._notes = Notes(connection, row, rules, self._stated, self._prover, [local, *sources])
        self.draft = Draft(self._stated.origin)
        self._proven: dict[int, Proven] = {}
        """The events that were asked for and are proven, by seq."""
        self._free: list[int] = []
        """The seqs of this chain at which copies stand that the plan takes away."""
        self.ending = Ending(
            connection, row.chain, self._sources, self._prover, self._proven, seen(findings), read,
            follows=self._role.follows,
        )  # fmt: skip

    @property
    def _why(self) -> Reasons:
        return self.draft.reasons

    def seqs(self, want: Wanted) -> range | tuple[int, ...]:
        """
        Return the events that a finding is about.
        """
        if want.onward is not None:
            return self._signed(want.onward, self.ending.last)
        if want.gap is not None:
            end = staged.missing_from(self._connection, self._row.chain, want.gap)
            return self._signed(want.gap, min(end, self.ending.last))
        # A leaf beyond what was signed is made of whatever event there is, if anything is made there.
        last = self._stated.size if want.signed or want.tables == (TILES,) else self.ending.last
        found = tuple(seq for seq in want.seqs if 1 <= seq <= last)
        if want.strays is None:
            return found
        beside = identities.seqs_under(self._connection, want.strays, self._stated.size, STRAYS_AT_ONCE)
        return tuple(dict.fromkeys((*found, *beside)))

    def _signed(self, first: int, last: int) -> range:
        """
        Return the seqs *first* to *last* as far as they were signed, and one more that stands for all after them: a
        head that was set far ahead names seqs without end.
        """
        found = range(first, min(last, max(self._stated.size + 1, first)) + 1)
        _check_count(len(found))
        return found

    def events(self, seqs: Sequence[int], copied: Sequence[int]) -> None:
        """
        Plan what these events need, and those beside them that were hashed again with them; of those *copied* a row
        stands at a place of none.
        """
        signed = sorted({seq for seq in (*seqs, *copied) if seq <= self._stated.size})
        _check_count(len(signed))
        for each, why in ((seqs, self._why.events), (copied, self._why.copies)):
            for seq in (seq for seq in each if seq > self._stated.size):
                why[seq] = self.ending.after(seq)
        asked, more = set[int](), signed
        while True:
            proven, reasons = fetch(more, [self._local, *self._sources], self._prover)
            self._why.events |= reasons
            self._proven |= proven
            asked |= {*more}
            staged.stage(self._connection, self._row.chain, (one.event for one in self._proven.values()))
            stands = staged.standing(self._connection, self._row.chain)
            wrong = {one.seq: one.columns for one in stands if one.columns != ()}
            planned = {seq: self._proven[seq].event for seq in wrong}
            links = staged.links(self._connection, self._row.chain, neighbours.around(planned))
            more = neighbours.unasked(planned, links, asked, self._stated.size)
            if not more:
                break
            _check_count(len(asked) + len(more))
        for seq, near in neighbours.unlinked(planned, links).items():
            self._why.events[seq] = f"its neighbour, event {near}, does not link with it and is not mended"
            del wrong[seq]
        strays = []
        for stray in staged.misplaced(self._connection, self._row.chain):
            if stray.key[0] == str(self._row.chain) and self.ending.has_place(stray.key[1]):
                # Their ids are the same, and there can be one of each.
                wrong.pop(stray.seq, None)
                self._why.events |= dict.fromkeys(
                    (stray.seq, int(stray.key[1])),
                    f"a copy of event {stray.seq} stands behind the last event, at {stray.key[1]}, and no repair "
                    "empties a place of the chain: find out who put it there, and take another region as the primary",
                )
            else:
                strays.append(stray)
        self._free = [int(stray.key[1]) for stray in strays if stray.key[1].isdecimal()]
        if (wrong or strays) and (reason := event_guards.amiss(self._connection)):
            self._why.events |= dict.fromkeys(wrong, reason)
            self._why.copies |= dict.fromkeys((stray.seq for stray in strays), reason)
            return
        for seq, columns in wrong.items():
            one = self._proven[seq]
            self.draft.writes.add(
                Write(
                    what=RESTORE, table=EVENTS, source=one.source, seq=seq, hash=one.event.hash.hex(),
                    leaf=one.leaf.hex(), columns=columns or (), proven_by=one.by,
                ), str(seq),
            )  # fmt: skip
        for stray in strays:
            one = self._proven[stray.seq]
            self.draft.writes.add(
                Write(what=REMOVE, table=EVENTS, source=one.source, seq=stray.seq, key=stray.key, proven_by=one.by),
                "/".join(stray.key),
            )

    def tables(self, names: set[str]) -> None:
        """
        Plan to make these tables anew, unless an event that they follow from is not mended.
        """
        if HEAD in names and self._role.refused:
            self._why.head, names = self._role.refused, names - {HEAD}
        if names & {*OF_RECORD} and (reason := self._unknown()):
            self._why.record, names = reason, names - {*OF_RECORD}
        if names and not self._why.events and (reason := self.ending.short(self._free)):
            self._why.events[self._stated.size] = reason
        if self._why.events:
            return
        if names and self._is_refused:
            # What is signed proves its tiles, whoever wrote the events that come after.
            is_proven = tree_size(self._connection, self._row.chain, self._stated.size) <= self._stated.size
            names &= {TILES} if is_proven and any(one.table == TILES for one in self._findings) else set()
        if names & {*OF_RECORD} and (reason := self._contradicted()):
            self._why.record, names = reason, names - {*OF_RECORD}
        if HEAD in names and not self.draft.writes.has_events and (reason := self.ending.disputed()):
            self._why.head, names = reason, names - {HEAD}
        mode = self._role.mode
        for table in MADE_ANEW:
            if table in names:
                # By the time the plan is applied the head that says it may be gone.
                of = (mode,) if table == HEAD and mode is not None else ()
                self.draft.writes.add(Write(what=REBUILD, table=table, source=REPLAY, key=of or None), "")

    def _new_role(self) -> tuple[str, ...]:
        """Return the role that the region is to have, where its head says another."""
        there, mode = repairs.mode(self._connection, self._row.chain), self._role.mode
        return (mode,) if there and mode is not None and there != mode else ()

    def of_place(self, finding: Found, want: Wanted) -> Wanted:
        """
        Return what a finding is about, which of a place in a topic depends on the region's role.
        """
        if want.reason != PLACE:
            return want
        if self._new_role():
            return Wanted(tables=(HEAD,))
        if self._role.refused:
            return Wanted(reason=self._role.refused)
        return Wanted(reason=NO_PLACE.format(self._row.chain)) if self._role.mode == role.PRIMARY else want

    def of_moved(self, finding: Found, want: Wanted) -> Wanted:
        """
        Return what a finding is about, which of the chain's number is every event, where these were read under another;
        so it is of its id, where the row has that as it was signed, and no event fits it.
        """
        read = number_of(finding.expected) if finding.table == CHAINS and finding.column == "chain" else None
        is_of_events = (
            finding.table == CHAINS and finding.column == "chain_id" and self._why.row == OWN_ROW
            and self._stated.size <= EVENTS_LIMIT
        )  # fmt: skip
        moved = read not in (None, self._row.chain) or is_of_events
        return msgspec.structs.replace(want, onward=1) if moved else want

    def _unknown(self) -> str:
        """Return why nothing that the rules make of the events is made anew: one of them a newer program recorded."""
        found = (one.seq for one in self._findings if one.kind == UNKNOWN_FORMAT and one.table is None)
        seq = next((seq for seq in found if seq is not None and (EVENTS, str(seq)) not in self.draft.writes), None)
        return (
            ""
            if seq is None
            else (f"what event {seq} does only a newer program knows: verify and plan with the newest release")
        )

    def _contradicted(self) -> str:
        """Return why what the region recorded of itself is not made to fit the events: it is at one against them."""
        if self._despite_record or self.ending.heard.is_vouched or self.draft.writes.has_events:
            # With events that are restored the state is another, which is seen when the plan is applied.
            return ""
        accused = record.accused(self._connection, self._row.chain, self._findings)
        if not accused:
            return ""
        # Books that are behind are of a state that the events made: which of both it is, these tell.
        walk = Walk(self._connection, self._row, self._stated, FOLDED)
        try:
            walk.run(lambda what, count: None)
        except LedgerError:
            return accused[0].reason()
        return walk.contradicted

    @functools.cached_property
    def _is_refused(self) -> bool:
        """Whether nothing may be made to fit the events here; the reason is kept."""
        if self.ending.heard.refused:
            self._why.events[self.ending.last] = self.ending.heard.refused
        return bool(self.ending.heard.refused)

    def note(self, size: int) -> None:
        """
        Plan what becomes of the row for the checkpoint of *size* events.
        """
        if (CHECKPOINTS, str(size)) in self.draft.writes or (CHECKPOINTS, f"from {size}") in self.draft.writes:
            return
        found = self._notes.settle(size)
        if isinstance(found, str):
            self._why.checkpoints[size] = found
            return
        for write in found:
            self.draft.writes.add(write, f"from {write.key[0]}" if write.key else str(write.size))

    def notes_under(self, number: int) -> None:
        """
        Plan what becomes of checkpoints under a number that no chain has.
        """
        brought, places = self._notes.bring(number), list[Place]()
        for write in brought:
            if (CHECKPOINTS, str(write.size)) not in self.draft.writes:
                place = f"from {'/'.join(write.key or ())}"
                self.draft.writes.add(write, place)
                places.append((CHECKPOINTS, place))
        self.draft.brought[number] = places, len(brought)

    def identity(self) -> str:
        """
        Plan to restore the chain's own row, and to take away what stands beside it; return why not, or nothing.
        """
        self._why.row = self._planned_row()
        return self._why.row

    def _planned_row(self) -> str:
        found = self._identity
        if isinstance(found, str):
            return found
        self.draft.names = found.names
        if found.columns != ():
            self.draft.writes.add(
                Write(what=RESTORE, table=CHAINS, source=found.source, columns=found.columns or (), proven_by=found.by),
                "",
            )
            self.draft.is_of_another_id = "chain_id" in (found.columns or ())
        if found.surplus:
            of = tuple(str(row.chain) for row in found.surplus)
            self.draft.writes.add(
                Write(what=REMOVE, table=CHAINS, source=found.source, key=of, proven_by=found.by), BESIDE
            )
        return "" if found.surplus or found.columns != () else OWN_ROW

    @functools.cached_property
    def _identity(self) -> Identity | str:
        """Who the chain is, or why nothing shows it."""
        return identity.settle(
            self._connection, self._row, self._stated.origin, self._local, self._sources, self._prover
        )

    @property
    def is_in_the_way(self) -> bool:
        """Whether the row that has the chain's number is of another chain: nothing here is known to be its own then."""
        there = identities.standing(self._connection)
        named = any(each.chain == self._row.chain and each.origin != self._row.origin for each in there)
        return isinstance(self._identity, str) and named

    def drop(self, seq: str) -> None:
        """
        Plan to throw the snapshot at *seq* away, unless an event that it follows from is not mended.
        """
        if self._why.events:
            return
        if is_after(seq, self.ending.there) and (EVENTS, seq) in self.draft.writes:
            # It was held against a history that lacked the events which this plan brings back.
            return
        # An older one is told from a good one by what was signed; this one speaks for or against what was not.
        if is_after(seq, self._stated.size) and self._is_refused:
            return
        is_settled = self._despite_record or self.ending.heard.is_vouched
        if not is_settled and (reason := record.speaks(self._connection, self._row.chain, seq)):
            self._why.snapshots[seq] = reason
            return
        self.draft.writes.add(Write(what=DROP, table=SNAPSHOTS, source=REPLAY, key=(seq,)), seq)


def make(
    connection: Connection,
    reading: Connection,
    rules: Policy,
    report: ReportFile,
    digest: str,
    sources: Sequence[Source],
    given: Sequence[bytes],
    *,
    despite_record: bool = False,
    said: Mode | None = None,
) -> Plan:
    """
    Return the plan of *report*, whose file has this *digest*.

    *reading* is another connection to the same database, in which a statement may fail; *given* are signed checkpoints
    that were brought: where there are any, no other is looked for. *despite_record*: whoever plans has held the events
    against receipts, and they fit, so that what the region recorded of itself may be made to fit them, too.
    *said* is which role the region has, as that person knows it, where its rows do not tell.

    Raises:
        InvalidInput: the policy is for other logs, or there is too much to mend one by one.
        NotPermitted: the login may make no temporary tables, in which rows are compared.
        SetupNeeded, SignatureInvalid: no checkpoint is accepted by the policy, so nothing can be proven.
    """
    origin = origin_of(rules, report)
    repairs.check_temporary(connection)
    row = region.find(connection, origin, [source.chain_id for source in sources])
    local = region.here(reading, row)
    notes: list[Iterable[bytes]] = [[one] for one in given]
    notes = notes or [source.notes() for source in (local, *sources)]
    trusted = newest(rules, notes, origin)
    planning = Planning(
        connection,
        row,
        rules,
        trusted,
        local,
        sources,
        report.findings,
        report.read,
        despite_record=despite_record,
        said=said,
    )
    judged = (
        tuple(Judged(finding=finding, reason=planning.two_histories) for finding in report.findings)
        if planning.two_histories
        else _judged(connection, row, planning, report)
    )
    connection.rollback()
    stated = trusted.checkpoint
    return Plan(
        origin=origin, chain_id=row.chain_id.hex(), report=digest, checkpoint=trusted.note.encode().decode(),
        size=stated.size, root=stated.root.hex(), seen=planning.ending.seen, findings=judged,
        writes=tuple(planning.draft.writes),
    )  # fmt: skip


def _judged(connection: Connection, row: ChainRow, planning: Planning, report: ReportFile) -> tuple[Judged, ...]:
    """Plan what the findings of a report need, and return what mends each or why nothing does."""
    wants = [
        planning.of_place(finding, want)
        for finding, want in zip(report.findings, all_wanted(report.findings), strict=True)
    ]
    # Whatever the report is about: a row that says another chain's number or id hides what else is wrong.
    reason = planning.identity()
    if region.is_lost(connection, row) or planning.is_in_the_way:
        # Rows under a number that no chain has are taken for strays: first there is to be a chain.
        after = Wanted(reason=f"{AFTER_ROW}: {reason}" if reason else f"{AFTER_ROW}: this plan does")
        wants = [want if want.identity or want.reason else after for want in wants]
    else:
        wants = [planning.of_moved(finding, want) for finding, want in zip(report.findings, wants, strict=True)]
    asked, copied = set[int](), set[int]()
    for finding, want in zip(report.findings, wants, strict=True):
        (copied if finding.kind == STRAY_ROWS else asked).update(planning.seqs(want))
    # With the events that were cut off went whatever followed from them.
    cut = planning.ending.cut() if any(want.tables for want in wants) else range(0)
    asked.update(cut)
    planning.events(sorted(asked), sorted(copied))
    if cut:
        # With them went the row of the checkpoint by which they are proven.
        planning.note(planning.size)
    planning.tables({table for want in wants for table in want.tables} | ({*MADE_ANEW} if cut else set()))
    for finding, want in zip(report.findings, wants, strict=True):
        if want.snapshot is not None and finding.after is None:
            planning.drop(want.snapshot)
    for want in (want for want in wants if not want.reason):
        if want.notes_under is not None:
            planning.notes_under(want.notes_under)
        if want.checkpoint is not None:
            planning.note(want.checkpoint)
    return tuple(
        judge(planning.draft, finding, want, planning.seqs(want))
        for finding, want in zip(report.findings, wants, strict=True)
    )
