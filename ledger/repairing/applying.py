"""
Apply a plan: prove every line of it again, and mend what is proven in one transaction, or nothing.

The plan is not believed. Its checkpoint has to be accepted by the policy that whoever applies it brings; each event is
fetched from its source at this time and has to be in the signed tree, with the hash that the plan says; tables are made
of events that have the signed root. A process that is killed leaves everything as it was, and the same again does what
is left to do.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from ledger.chain.entry import RecordedEvent
from ledger.chain.link import ChainHead, genesis
from ledger.errors import InvalidInput, LedgerError, NotPrimary, shown
from ledger.evidence import policy
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.policy import Policy
from ledger.reading.follower import Follower
from ledger.reading.kept_checkpoints import LOOKED_BACK
from ledger.repairing import histories, identity, placing, record, region, role, tail
from ledger.repairing.books import Walk
from ledger.repairing.notes import stated_by
from ledger.repairing.placing import Placing
from ledger.repairing.plan import CHAINS, DROP, REBUILD, REMOVE, RESTORE, NotProven, Plan, Write, copies_of_events
from ledger.repairing.proving import Proven, Prover, fetch, is_signed, laid_out, newest
from ledger.repairing.role import Mode, Role
from ledger.repairing.sources import Database, Source
from ledger.repairing.wanted import CHECKPOINTS, EVENTS, HEAD, HISTORIES, MADE_ANEW, SNAPSHOTS, TILES, is_after
from ledger.storage import chains, database, event_guards, events, identities, repairs, staged
from ledger.storage.chains import FORMAT_VERSION, ChainRow, Head
from ledger.storage.database import Connection
from ledger.storage.repairs import Noted

Tell = Callable[[str, int], None]
MISSING: Final = "the record would take the place of one that is missing"
HISTORIES_MADE: Final = "made the histories of balances and positions anew"
"""What is said of histories, which are made once all else is in place."""


class Mended(msgspec.Struct):
    """
    What was done, as sentences; `histories` are to be made anew after it.

    `refused` is why histories that differ are none the less left as they are. `notes` are when the plan wrote
    something, the last time first, and whether that was histories: by this run or by an earlier one, which may have
    been killed before it was recorded.
    """

    done: list[str]
    histories: bool = False
    refused: str = ""
    notes: list[Noted] = []


class Applying:
    """
    One plan, in one transaction of the owner's.

    *reading* is another connection to the same database.
    """

    def __init__(
        self,
        connection: Connection,
        reading: Connection,
        rules: Policy,
        plan: Plan,
        sources: Sequence[Source],
        reason: str,
        *,
        despite_record: bool = False,
        said: Mode | None = None,
    ) -> None:
        """
        Check that the plan can be applied at all; *despite_record* and *said* as in `planning.make`.

        Raises:
            InvalidInput: it contradicts itself, or a source that it names was not given.
            SignatureInvalid: the policy does not accept its checkpoint.
            NotPermitted: the login does not own the tables.
            NotProven: there are two signed histories.
        """
        repairs.check_owner(connection)
        self._connection, self._plan, self._rules, self._reason = connection, plan, rules, reason
        self._despite_record, self._said = despite_record, said
        self._stated = policy.check(rules, plan.checkpoint.encode()).checkpoint
        if (self._stated.origin, self._stated.size, self._stated.root.hex()) != (plan.origin, plan.size, plan.root):
            raise InvalidInput(
                f"the plan says {plan.size} events of {shown(plan.origin)} with root {shown(plan.root)}, and its "
                f"checkpoint {self._stated.size} of {self._stated.origin} with {self._stated.root.hex()}: it was "
                "edited; make it anew"
            )
        self._row = region.find(connection, plan.origin, [source.chain_id for source in sources])
        connection.rollback()
        self._local = region.here(reading, self._row)
        self._sources: dict[str, Source] = {source.kind: source for source in (self._local, *sources)}
        self._prover = Prover(self._stated, list(self._sources.values()))
        if reason := histories.second(rules, self._stated, self._prover, [self._local, *self._copies()]):
            raise NotProven(f"{reason}; nothing was written")
        for write in plan.writes:
            self._check(write)

    def _check(self, write: Write) -> None:
        known = {
            RESTORE: (EVENTS, CHAINS, CHECKPOINTS), REMOVE: (EVENTS, CHAINS, CHECKPOINTS), REBUILD: MADE_ANEW,
            DROP: (SNAPSHOTS,),
        }  # fmt: skip
        if write.table not in known[write.what]:
            raise InvalidInput(f"the plan would {write.what} {shown(write.table)}, which nothing here does")
        if write.table == CHECKPOINTS and placing.is_astray(write) and not placing.is_place(write):
            raise InvalidInput("the plan moves a checkpoint from a place that is none: it was edited; make it anew")
        if write.what == RESTORE and write.source not in self._sources:
            raise InvalidInput(f"the plan restores from the {write.source}; name it with --{write.source}")

    def role(self) -> Role:
        """
        Return the role of the region, as its rows say it now, or a copy, or who applies this.
        """
        return role.settle(self._connection, self._row.chain, self._copies(), self._said)

    def _copies(self) -> list[Source]:
        """Return the copies that were named, which this region is none of."""
        return [source for source in self._sources.values() if source is not self._local]

    def check_recorder(self, writer: Connection) -> None:
        """
        Check that what is recorded by *writer* is the primary's, and that this region is the primary nowhere else.

        Raises:
            NotPrimary: it is not, or is of another chain, whose origin may be the same.
            NotProven: the head is to be made anew, and nothing tells of which role.
        """
        settled = self.role()
        is_here = self._is_here(writer)
        self._connection.rollback()
        if settled.refused and any(write.table == HEAD for write in self._plan.writes):
            raise NotProven(f"the head is not made anew: {settled.refused}; nothing was written")
        if settled.refused and is_here:
            raise NotPrimary(
                "a repair is recorded where the chain is primary, which --writer is not known to be: "
                f"{settled.refused}; nothing was written"
            )
        number = self._number(writer)
        if number is None and not is_here:
            raise NotPrimary(
                "--writer is an address of a database that does not have this chain, by origin and id: name where it "
                "is primary, for the record; nothing was written"
            )
        if is_here:
            is_replica = settled.mode == role.FOLLOWER
        else:
            is_replica = number is not None and role.stands(writer, number) != role.PRIMARY
        if is_replica:
            raise NotPrimary("--writer is an address of a replica; name where the chain is primary, for the record")
        if settled.mode == role.PRIMARY and not is_here:
            raise NotPrimary(
                "this region would be the primary, and --writer is an address of another, where the chain is primary "
                "already: say --role replica where this one follows it, or name this one's with --writer; nothing was "
                "written"
            )

    def _is_here(self, writer: Connection) -> bool:
        found = database.place(writer) == database.place(self._connection)
        self._connection.rollback()
        return found

    def _number(self, writer: Connection) -> int | None:
        """Return the chain's number where the repair is recorded: that of a row with its id, where that is known."""
        found = (
            row.chain for row in chains.all_chains(writer)
            if row.origin == self._plan.origin and self._row.chain_id in (b"", row.chain_id)
        )  # fmt: skip
        return next(found, None)

    def awaited(self, writer: Connection) -> str:
        """
        Return what the record of the repair by *writer* waits for, or nothing.

        It takes the place behind the last event. So none may be known to come after that, and where it is this region
        that has the record, the last event has to be one that was signed, by whatever checkpoint there is by now, or
        that another region has.
        """
        self._connection.rollback()
        try:
            with database.translating():
                if self._is_here(writer):
                    chain = self._row.chain
                    last = repairs.end(self._connection, chain, repairs.head_seq(self._connection, chain))
                    return self._missing(last, [self._local]) or self._awaited(last)
                return self._awaited_there(writer, self._number(writer) or self._row.chain)
        except LedgerError as error:
            return f"whether events come after the last one is not known: {error}"
        finally:
            self._connection.rollback()

    def _awaited_there(self, writer: Connection, chain: int) -> str:
        """Return what the record waits for in another region, of which this one is a copy, and may have been ahead."""
        last = repairs.end(writer, chain, repairs.head_seq(writer, chain))
        there = Database(role.PRIMARY, writer, chain, self._row.chain_id)
        if reason := self._missing(last, [self._local, there]):
            return f"where it would be recorded {reason}"
        end = repairs.end(self._connection, self._row.chain, self._stated.size).seq
        if reason := tail.unheard(last.seq, [("events", end), *repairs.spoken(self._connection, self._row.chain)]):
            return f"where it would be recorded {reason}"
        copies = [self._local, *(copy for copy in self._copies() if not self._is_of(copy, writer))]
        stated = self._newest([there, *copies])
        return tail.hear_copies(
            writer, chain, last, stated.size, copies, Prover(stated, [there, *copies]), follows=False, by_itself=True
        ).refused  # fmt: skip

    @staticmethod
    def _is_of(copy: Source, writer: Connection) -> bool:
        return isinstance(copy, Database) and copy.is_in(writer)

    def _newest(self, copies: Sequence[Source]) -> Checkpoint:
        notes: list[Iterable[bytes]] = [[self._plan.checkpoint.encode()], *(copy.notes() for copy in copies)]
        return newest(self._rules, notes, self._stated.origin).checkpoint

    def _missing(self, last: ChainHead, keepers: Sequence[Database]) -> str:
        """Return that events are missing after the *last* one, by all that is known; *keepers* keep notes."""
        signed = self._newest([*keepers, *self._copies()]).size
        if last.seq < signed:
            return f"the events end at {last.seq} here, and {signed} were signed: {MISSING}"
        if reason := self._short(last.seq):
            return f"{reason}: {MISSING}"
        beyond = [size for keeper in keepers if (size := self._signed_beyond(keeper, last.seq)) is not None]
        if beyond:
            return f"the events end at {last.seq} here, and a log has signed {max(beyond)}, as a note says: {MISSING}"
        return ""

    def _awaited(self, last: ChainHead) -> str:
        copies = [self._local, *self._copies()]
        stated = self._newest(copies)
        prover = Prover(stated, copies)
        heard = tail.hear_copies(self._connection, self._row.chain, last, stated.size, self._copies(), prover,
                                 follows=False)  # fmt: skip
        if heard.refused or heard.is_vouched:
            return heard.refused
        if reason := tail.unheard(last.seq, repairs.spoken(self._connection, self._row.chain)):
            return f"{reason}; or name with --replica a region that ends here as well"
        event = events.read_seqs(self._connection, self._row.chain, self._row.chain_id, [last.seq], as_found=True).get(
            last.seq
        )
        if event is not None and prover.shows(event):
            return ""
        return f"the last event here, {last.seq}, is not shown to be in {prover.words()}: no event is put behind it"

    def _signed_beyond(self, keeper: Database, seq: int) -> int | None:
        """
        Return how many events the largest note of this chain there states that a log has signed, where that is past
        *seq*.
        """
        found = ((stated_by(note), note) for note in itertools.islice(keeper.notes(), LOOKED_BACK))
        # Of another origin it is of another chain, since nobody can edit what was signed.
        sizes = [
            says.size for says, note in found
            if says is not None and says.origin == self._stated.origin and says.size > seq
            and is_signed(self._rules, (), note)
        ]  # fmt: skip
        return max(sizes, default=None)

    def run(self, tell: Tell, *, dry_run: bool = False) -> Mended:
        """
        Mend, and commit; with *dry_run* do all of it and take it back.

        Raises:
            NotProven: something is not what the plan or the signed chain says.
            LedgerError: it cannot be done. Nothing was written in either case.
        """
        connection, mended = self._connection, Mended([])
        try:
            repairs.act_as_owner(connection)
            before = repairs.guards(connection)
            if any(write.table == EVENTS for write in self._plan.writes) and (reason := event_guards.amiss(connection)):
                raise NotProven(f"{reason}; nothing was written")
            if repairs.head_seq(connection, self._row.chain):
                chains.lock_head(connection, self._row.chain)
            self._mend(mended, tell)
            if any(sentence != HISTORIES_MADE for sentence in mended.done):
                repairs.note_plan(connection, self._plan.digest(), self._reason)
            mended.notes = repairs.noted(connection, self._plan.digest())
            repairs.check_guards(connection, before)
            connection.rollback() if dry_run else connection.commit()
        except BaseException:
            if not connection.broken:
                connection.rollback()
            raise
        return mended

    def _mend(self, mended: Mended, tell: Tell) -> None:
        by_what = {what: [x for x in self._plan.writes if x.what == what] for what in (RESTORE, REMOVE, REBUILD, DROP)}
        row = self._identity(by_what[RESTORE], by_what[REMOVE], mended)
        tell("proving events", 0)
        tables = [write.table for write in by_what[REBUILD]]
        restoring, removing = ([x for x in by_what[what] if x.table == EVENTS] for what in (RESTORE, REMOVE))
        self._events(restoring, removing, mended)
        notes = Placing(
            self._connection, self._row, self._rules, self._stated, self._prover, self._sources, self._reason
        )
        mended.done += notes.run(self._plan.writes)
        for write in by_what[DROP]:
            for seq in write.key or ():
                last = repairs.end(self._connection, row.chain, self._stated.size)
                heard = self._hear(last)
                refused = heard.refused if is_after(seq, self._stated.size) else ""
                if not refused and not heard.is_vouched and not self._despite_record:
                    refused = record.speaks(self._connection, row.chain, seq)
                if repairs.drop_snapshot(self._connection, row.chain, seq, self._reason):
                    if refused:
                        raise NotProven(f"{refused}; nothing was written")
                    mended.done.append(write.sentence())
        if tables:
            walk = Walk(self._connection, row, self._stated, [name for name in MADE_ANEW if name in tables])
            walk.run(tell)
            heard = self._hear(walk.head)
            contradicted = "" if heard.is_vouched or self._despite_record else walk.contradicted
            # A larger checkpoint may cover by now what came since: the record of the plan's first run.
            unknown = heard.refused and (
                tail.contradicted(self._connection, row.chain, walk.head.seq) or self._awaited(walk.head)
            )
            refused = unknown or self._short(walk.head.seq) or contradicted
            vouched = self._stated.size if unknown else walk.head.seq
            settled, before = self.role(), repairs.mode(self._connection, row.chain)
            self._check_role(settled)
            written = [made for made in walk.write(self._reason, tell, vouched, settled.mode) if made.gone or made.came]
            # What is signed proves its tiles, whoever wrote the events that come after.
            other = [made for made in written if made.table != TILES or not walk.signed_tiles]
            if refused and other:
                raise NotProven(f"{refused}; nothing was written")
            mended.refused = refused
            mended.done += [f"made {made.table} anew: {made.gone} rows went, {made.came} came" for made in written]
            if HEAD in tables and before not in ("", settled.mode):
                mended.done.append(f"let the region be {settled.mode}, which its head said was {before}")
        if HISTORIES in tables:
            mended.histories = True
            mended.done.append(HISTORIES_MADE)

    def _short(self, last: int) -> str:
        """Return why nothing is made to fit events that end at *last*; nothing where the plan knows of no more."""
        if last >= self._plan.seen:
            return ""
        return f"the events end at {last} here, and {self._plan.seen} were there when the plan or its report was made"

    def _check_role(self, settled: Role) -> None:
        """Check that a head that is made anew gets the role that the plan names."""
        head = next((write for write in self._plan.writes if (write.what, write.table) == (REBUILD, HEAD)), None)
        if head is None:
            return
        if settled.refused:
            raise NotProven(f"the head is not made anew: {settled.refused}; nothing was written")
        named = head.key[0] if head.key else "of no role"
        if settled.mode != named:
            raise NotProven(
                f"the head is not made anew: the plan is of a region that is {shown(named)}, and this one would be "
                f"{settled.mode}: say the same --role at both steps, or plan again; nothing was written"
            )

    def _hear(self, last: ChainHead) -> tail.Heard:
        """Return what rows and copies say of the events up to the *last* one here."""
        return tail.hear(
            self._connection, self._row.chain, last, self._stated.size, self._copies(), self._prover,
            follows=self.role().follows,
        )  # fmt: skip

    def _identity(self, restoring: Sequence[Write], removing: Sequence[Write], mended: Mended) -> ChainRow:
        is_restored, is_alone = (any(write.table == CHAINS for write in writes) for writes in (restoring, removing))
        if not is_restored and not is_alone:
            identity.check_ground(
                self._connection, self._row, self._stated.origin, [self._local, *self._copies()], self._prover
            )
            return self._row
        found = identity.settle(
            self._connection, self._row, self._stated.origin, self._local, self._copies(), self._prover
        )
        if not isinstance(found, str) and (
            (found.surplus and not is_alone) or (found.columns != () and not is_restored)
        ):
            found = "the plan mends one of several rows and leaves the others; make it anew"
        if isinstance(found, str):
            raise NotProven(f"the chain's own row is not mended: {found}; nothing was written")
        with identities.opened(self._connection, found.astray, found.chain.chain, self._reason):
            self._rows(found, mended)
        # What stood beside the head under the number that its row had is this chain's as well.
        brought = identities.bring_kept(self._connection, found.led, found.chain.chain)
        mended.done += [f"gave {', '.join(brought)} the number of the chain"] if brought else []
        return found.chain

    def _rows(self, found: identity.Identity, mended: Mended) -> None:
        chain = found.chain
        if found.surplus:
            identities.remove(self._connection, [row.ctid for row in found.surplus], self._reason)
            said = ", ".join(f"{row.chain}, of {shown(row.origin)}" for row in found.surplus)
            mended.done.append(f"removed what stood beside the chain's own row: {said}")
        if found.columns != ():
            identities.put(
                self._connection, None if found.row is None else found.row.ctid, chain.chain, chain.chain_id,
                chain.origin, genesis(chain.chain_id, chain.origin), FORMAT_VERSION, self._reason,
            )  # fmt: skip
            columns = ", ".join(found.columns or ("there was no such row",))
            mended.done.append(f"restored the chain's own row ({columns}) from {found.source}")

    def _events(self, restoring: Sequence[Write], removing: Sequence[Write], mended: Mended) -> None:
        proven = self._proven(restoring, removing)
        if not proven:
            return
        connection, chain = self._connection, self._row.chain
        staged.stage(connection, chain, (one.event for one in proven.values()))
        restored = {write.seq for write in restoring}
        wrong = [x for x in staged.standing(connection, chain) if x.columns != () and x.seq in restored]
        keys = {write.key for write in removing}
        strays = [x for x in staged.misplaced(connection, chain) if x.key in keys]
        if wrong or strays:
            end = repairs.end(connection, chain, self._stated.size)
            known = proven[end.seq].event.hash if end.seq in proven else end.hash
            with repairs.lent_head(connection, chain, ChainHead(end.seq, known)):
                staged.restore(connection, chain, [x.seq for x in wrong], [x.ctid for x in strays], self._reason)
            self._move_head(mended)
        for one in wrong:
            columns = ", ".join(one.columns or ("there was no such row",))
            mended.done.append(f"restored event {one.seq} ({columns}) from {proven[one.seq].source}")
        mended.done += [f"removed {rows}" for rows in copies_of_events([(x.key, x.seq) for x in strays])]

    def _move_head(self, mended: Mended) -> None:
        """
        Let a head that events follow go on to the last of them, and be that event's, whether the rest is made anew or
        not.

        One that is gone is made of all the events, like whatever follows from them; one that says more is disputed.
        """
        connection, chain = self._connection, self._row.chain
        last = repairs.end(connection, chain, repairs.head_seq(connection, chain))
        if not repairs.has_head(connection, chain):
            return
        event = events.read_seqs(connection, chain, self._row.chain_id, [last.seq], as_found=True).get(last.seq)
        mode = self.role().mode
        if event is not None and mode is not None and self._is_known(event):
            # It keeps the role that it says: another one is a change that the plan names.
            kept = repairs.said_mode(connection, chain) or mode
            head = Head(last.seq, last.hash, event.recorded_at, event.epoch, kept)
            moved = repairs.set_head(connection, chain, head, last.seq, self._reason)
            mended.done += [f"let the head be event {last.seq}"] if any(moved) else []

    def _is_known(self, event: RecordedEvent) -> bool:
        """Return whether the last event here is one that was signed, or that another region has as well."""
        if event.seq <= self._stated.size and self._prover.shows(event):
            return True
        heard = self._hear(ChainHead(event.seq, event.hash))
        return heard.is_vouched and not heard.refused and laid_out(event) is not None

    def _proven(self, restoring: Sequence[Write], removing: Sequence[Write]) -> dict[int, Proven]:
        """Return the events that the plan names, each from its source at this time, proven anew."""
        proven: dict[int, Proven] = {}
        for kind, source in self._sources.items():
            seqs = sorted({write.seq for write in restoring if write.source == kind and write.seq is not None})
            found, reasons = fetch(seqs, [source], self._prover)
            if reasons:
                raise NotProven(f"{next(iter(reasons.values()))}; nothing was written")
            proven |= found
        for write in restoring:
            one = proven.get(write.seq or 0)
            if one is None or (write.hash, write.leaf) != (one.event.hash.hex(), one.leaf.hex()):
                raise NotProven(
                    f"the plan says that event {write.seq} has hash {write.hash} and leaf {write.leaf}, and signed is "
                    f"{'no such event' if one is None else f'{one.event.hash.hex()} and {one.leaf.hex()}'}: it was "
                    "edited; make it anew; nothing was written"
                )
        # What is only taken away is a copy of an event that stands elsewhere, in any copy.
        more = sorted({write.seq for write in removing if write.seq is not None} - set(proven))
        found, reasons = fetch(more, list(self._sources.values()), self._prover)
        if reasons:
            raise NotProven(f"{next(iter(reasons.values()))}; nothing was written")
        return proven | found


def make_histories(dsn: str, plan: Plan, reason: str, mended: Mended, tell: Tell) -> None:
    """
    Make the histories of balances and positions anew, in a transaction of their own, and keep there that the plan did
    where they differ from what stood there; *mended* then says so, or no more that they were made.

    Raises:
        NotProven: they differ, and are not to be made to fit the events that there are.
    """

    notes: list[Noted] = []

    def note(connection: Connection) -> None:
        if mended.refused:
            raise NotProven(f"{mended.refused}; they stay as they are")
        repairs.act_as_owner(connection)
        repairs.note_plan(connection, plan.digest(), reason, histories=True)
        notes.extend(repairs.noted(connection, plan.digest()))

    with Follower(dsn, plan.origin) as keeper:
        # How far they are is forgotten with them, and not before: else rows that stay would be taken for ones too many.
        keeper.rebuild(lambda count: tell("making histories anew", count), forget=True, changed=note)
    if notes:
        mended.notes = notes
    else:
        mended.done.remove(HISTORIES_MADE)
