"""
Apply a chain in another region, believing nothing that is not signed, linked and by the rules.

Every record is judged against the replica's own head: what follows it is applied, what is there already is skipped,
what leaves a hole is waited for, and what contradicts it stops the replica with the evidence. Events are hashed and
replayed again; the read models are this region's own work, and its digest must be the primary's.

A chain has one applier in a region, by a lock. Who lost that is told so, and accuses no event: each is judged under the
head's own lock, against rows that this applier left there.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Final

import msgspec

from ledger.chain import acknowledgement
from ledger.chain.digest import StateDigest
from ledger.chain.entry import RecordedEvent, split_payload
from ledger.chain.link import ChainHead, genesis
from ledger.chain.signatures import KeyPair, key_id
from ledger.domain import fold, registry, schemas
from ledger.domain.events.control import ChainCreated
from ledger.domain.fold import Context
from ledger.domain.row_bytes import digest_after
from ledger.domain.rows import Row
from ledger.domain.state import Key, State
from ledger.errors import (
    Corrupt,
    Divergence,
    HashMismatch,
    InvalidInput,
    NotPermitted,
    SignatureInvalid,
    StateMismatch,
    Unavailable,
    UnknownChain,
)
from ledger.storage import chains, database, events, outbox, read_models
from replicator import segment, transport
from replicator.judgement import Verdict, judge
from replicator.segment import Segment

GAP_PATIENCE_S: Final = 10.0
REPEAT_S: Final = 1.0
"""An acknowledgement that may be lost is said again after this long."""
_NAMING: Final = ("ChainCreated", "KeyRotated")
_ANOTHER: Final = "another applier of this chain is running in this region; stop it first"


class Status(msgspec.Struct):
    """
    What the replica did so far; *reasons* are the last ten for which a record, or its own word, does not count.
    """

    applied_seq: int = 0
    duplicates: int = 0
    rejected_records: int = 0
    relocations: int = 0
    reasons: list[str] = []


def _check_replica(head: chains.Head) -> None:
    """Raise NotPermitted where this region is the primary: its own word on itself would count as a second copy."""
    if head.mode != "replica":
        raise NotPermitted(
            "this region is the primary: nothing is applied to it, and it acknowledges nothing; give the address of "
            "the other region's database"
        )


class Applier:
    """
    A replica of one chain.

    *trusted* is the publisher's public key, as the operator was told it: it vouches for the first segment, which
    brings the chain's own list of keys.
    """

    def __init__(self, dsn: str, origin: str, chain_id: bytes, bootstrap: str, trusted: bytes, key: KeyPair) -> None:
        if key.purpose != "replica":
            raise InvalidInput(f"found a {key.purpose}'s key; a replica acknowledges with its own: give that file")
        self._open = contextlib.ExitStack()
        try:
            self._begin(dsn, origin, chain_id, bootstrap, trusted, key)
        except BaseException:
            self.close()
            raise

    def _begin(self, dsn: str, origin: str, chain_id: bytes, bootstrap: str, trusted: bytes, key: KeyPair) -> None:
        self._connection = self._open.enter_context(contextlib.closing(database.connect(dsn, "ledger applier")))
        database.check_role(self._connection, "ledger_applier")
        reading = database.connect(dsn, "ledger applier (reads)")
        self._reading = self._open.enter_context(contextlib.closing(reading))
        self._origin, self._chain_id, self._trusted, self._key = origin, chain_id, trusted, key
        self._topic = transport.segments_topic(chain_id)
        self._chain = self._find()
        if not outbox.lock(self._connection, outbox.APPLIER, self._chain):
            raise Unavailable(_ANOTHER)
        self._open.callback(outbox.unlock, self._connection)
        self.status = Status()
        self._load()
        transport.make_topics(bootstrap, chain_id)
        self._topic_id = transport.topic_id(bootstrap, self._topic)
        known, offset = outbox.position(self._connection, self._chain)
        self._connection.rollback()
        # An offset means nothing in a topic that was made anew: there the place is found by seq.
        self._receiver = transport.Receiver(bootstrap, self._topic, offset if known == self._topic_id else None)
        self._open.callback(self._receiver.close)
        self._sender = transport.Sender(bootstrap, transport.acknowledgements_topic(chain_id))
        self._open.callback(self._sender.close)
        self._held: dict[int, RecordedEvent] = {}
        self._gap_since: float | None = None
        self._gap_offset: int | None = None
        self._unnamed_offset: int | None = None
        self._refusal = ""
        self._searched_seq: int | None = None
        self._seek_to: int | None = None
        self._next_offset = offset
        # A predecessor may have ended between its commit and its word on it.
        self._said_seq, self._said_at = 0, -REPEAT_S

    def close(self) -> None:
        """
        End every connection.
        """
        self._open.close()

    def _find(self) -> int:
        try:
            found = chains.find(self._connection, self._origin)
        except UnknownChain:
            for other in chains.all_chains(self._connection):
                if other.chain_id == self._chain_id:
                    raise InvalidInput(
                        f"the chain with id {self._chain_id.hex()} is called {other.origin} here, not {self._origin}"
                    ) from None
            made = self._create()
            if made is None:
                return self._find()
            found = made
        if found.chain_id != self._chain_id:
            raise InvalidInput(
                f"the chain {self._origin} here has id {found.chain_id.hex()}, not {self._chain_id.hex()}"
            )
        self._connection.commit()
        return found.chain

    def _create(self) -> chains.ChainRow | None:
        """Make the chain and return it; None where somebody else made one meanwhile, which may be this one."""
        start = genesis(self._chain_id, self._origin)
        try:
            return chains.create(self._connection, self._chain_id, self._origin, start, "replica")
        except database.DriverError as error:
            if not database.is_taken(error):
                raise
            self._connection.rollback()
            return None

    def _load(self) -> None:
        # Locked, so that the rows are of this head also where somebody else applies.
        head = chains.lock_head(self._connection, self._chain)
        _check_replica(head)
        self._head, self._epoch = ChainHead(head.seq, head.hash), head.epoch
        self._lanes = chains.read_lanes(self._connection, self._chain)[1]
        self._state = State(self._load_row, runs=self._load_run)
        for table, row in read_models.load_open(self._connection, self._chain):
            self._state.add(table, row)
        self._connection.rollback()
        schemas.check_all(self._state.schemas.rows.values())
        self.status.applied_seq = head.seq

    def _load_row(self, table: str, key: Key) -> Row | None:
        row = read_models.load(self._reading, self._chain, table, key)
        self._reading.rollback()
        return row

    def _load_run(self, table: str, key: Key, count: int) -> list[Row]:
        found = read_models.load_run(self._reading, self._chain, table, key, count)
        self._reading.rollback()
        return found

    def _hash_at(self, seq: int) -> bytes | None:
        found = events.read_seqs(self._reading, self._chain, self._chain_id, [seq]).get(seq)
        self._reading.rollback()
        return None if found is None else found.hash

    def _public_key(self, claimed: str) -> bytes:
        row = self._state.chain_keys.get(claimed)
        if row is not None:
            if row.purpose != "publisher" or row.revoked:
                raise SignatureInvalid(f"key {claimed} is no valid publisher's")
            return bytes.fromhex(row.public_key)
        if self._head.seq == 0 and claimed == key_id("publisher", self._trusted):
            return self._trusted
        raise SignatureInvalid(f"key {claimed} is none that this chain names for a publisher")

    def step(self, wait_ms: int = 100) -> bool:
        """
        Take what the topic has, apply whole commits and acknowledge; return whether anything was applied.

        Raises:
            Unavailable: another applier went on from this one's head.
            Corrupt: the topic, or this region, is not what it should be; the evidence stays where it is.
        """
        applied = False
        try:
            found = self._receiver.poll(wait_ms)
        except transport.OffsetLost:
            # Retention took the start, or the topic was made anew. From the first record on, what is here already is
            # skipped and what is missing is noticed: no offset is ever guessed.
            self.status.relocations += 1
            self._receiver.seek(self._receiver.begin())
            return False
        for offset, value in found:
            self._next_offset = offset + 1
            signed = self._read(offset, value)
            if signed is None:
                continue
            applied |= self._consider(signed, offset)
            if self._seek_to is not None:
                self._receiver.seek(self._seek_to)
                self._seek_to = None
                break
        if self._gap_since is not None and time.monotonic() - self._gap_since > GAP_PATIENCE_S:
            raise Corrupt(
                f"the topic has a hole after event {self._ahead().seq}{self._refusal}; publish again from there "
                f"(tradeledger-replicator publish --again-after {self._ahead().seq}), or rebuild this replica"
            )
        if 0 < self._head.seq != self._said_seq and time.monotonic() - self._said_at >= REPEAT_S:
            # Said outside the transaction that applied it: the region may have become primary since.
            _check_replica(chains.head(self._reading, self._chain))
            self._reading.rollback()
            self._acknowledge()
        return applied

    def _read(self, offset: int, value: bytes) -> Segment | None:
        """Return the segment in a record if it counts; one that does not, and claims what is missing here, is a gap."""
        named, last_seq = True, 0
        try:
            chain_id, claimed, _, claimed_seq = segment.peek(value)
            if chain_id != self._chain_id:
                raise SignatureInvalid("a segment of another chain")
            last_seq = claimed_seq
            named = self._state.chain_keys.get(claimed) is not None
            return segment.decode(value, self._public_key(claimed))
        except Corrupt as error:
            self.status.rejected_records += 1
            self.status.reasons = [*self.status.reasons[-9:], str(error)]
            if last_seq > self._ahead().seq:
                self._gap_since = self._gap_since or time.monotonic()
                self._refusal = f", and what claims to follow was refused: {error}"
                if not named and self._unnamed_offset is None:
                    self._unnamed_offset = offset
        return None

    def _ahead(self) -> ChainHead:
        if not self._held:
            return self._head
        last = next(reversed(self._held.values()))
        return ChainHead(last.seq, last.hash)

    def _consider(self, found: Segment, offset: int) -> bool:
        ahead = self._ahead()
        verdict = judge(found, ahead, self._epoch, self._held, self._hash_at)
        if verdict is Verdict.WAIT:
            self._wait(offset)
            return False
        if verdict is Verdict.SKIP:
            self.status.duplicates += 1
            # It is published again perhaps because our word on it was lost.
            self._said_seq = 0
            return False
        if self._gap_offset is not None and offset > self._gap_offset:
            # What was passed while waiting follows now, so it is read again; until then this is the place to restart.
            self._seek_to = self._next_offset = self._gap_offset
        self._gap_since, self._gap_offset, self._refusal = None, None, ""
        self._held |= {event.seq: event for event in found.events if event.seq > ahead.seq}
        if not found.ends_commit:
            return False
        run = list(self._held.values())
        if self._unnamed_offset is not None and any(event.event_type in _NAMING for event in run):
            # The key of a segment that was refused may be named now.
            self._seek_to = self._next_offset = min(self._unnamed_offset, self._next_offset)
            self._unnamed_offset = None
        self._apply(run, found)
        self._held = {}
        return True

    def _wait(self, offset: int) -> None:
        """Look for what is missing in the whole topic once, then wait for it to come."""
        ahead = self._ahead().seq
        if self._searched_seq != ahead:
            self._searched_seq = ahead
            self._seek_to = self._receiver.begin()
        else:
            self._gap_since = self._gap_since or time.monotonic()
            self._gap_offset = offset if self._gap_offset is None else min(offset, self._gap_offset)

    def _check_head(self, found: chains.Head) -> None:
        """Raise Unavailable where another applier moved the head, Divergence where it is no event's that is here."""
        own = self._head
        if (found.seq, found.hash) == (own.seq, own.hash):
            return
        went_on = found.seq > own.seq and (own.seq == 0 or self._hash_at(own.seq) == own.hash)
        if went_on and self._hash_at(found.seq) == found.hash:
            raise Unavailable(_ANOTHER)
        raise Divergence(
            f"the head here was event {own.seq} with hash {own.hash.hex()}, and is {found.seq} with {found.hash.hex()} "
            "now, which nobody applied; verify"
        )

    def _apply(self, run: list[RecordedEvent], last: Segment) -> None:
        """Make the events of whole commits, which *last* ends, durable here in one transaction, and say so."""
        try:
            self._commit(run, last)
        except BaseException:
            if not self._connection.closed:
                self._connection.rollback()
            raise
        self._acknowledge()

    def _commit(self, run: list[RecordedEvent], last: Segment) -> None:
        connection, chain = self._connection, self._chain
        # Looked at before any event is judged: rows that somebody else moved on would make it look wrong.
        locked = chains.lock_head(connection, chain)
        self._check_head(locked)
        _check_replica(locked)
        mark, head = self._state.begin(), self._head
        for event in run:
            head = head.check(event)
            self._replay(event)
        changes = self._state.changes(mark)
        digest = digest_after(self._lanes, changes)
        if digest.digest() != last.state_digest:
            raise StateMismatch(
                f"after event {last.last_seq} the books here have another digest than the primary's: verify both"
            )
        chains.advance(connection, chain, head.seq, head.hash, run[-1].recorded_at, run[-1].epoch)
        events.insert(connection, chain, run)
        keys = [(event.source, event.idempotency_key, event.seq) for event in run if event.group_index == 0]
        events.insert_keys(connection, chain, keys)
        read_models.write(connection, chain, changes)
        chains.write_lanes(connection, chain, head.seq, digest.lanes())
        chains.insert_commit(connection, chain, self._head.seq + 1, head.seq, digest.digest(), last.committed_at)
        outbox.move(connection, chain, self._topic, self._topic_id, self._next_offset)
        connection.commit()
        self._head, self._lanes, self._epoch = head, digest.lanes(), run[-1].epoch
        self._state.durable(self._state.begin())
        self.status.applied_seq = head.seq

    def _replay(self, event: RecordedEvent) -> None:
        if event.chain_id != self._chain_id:
            raise HashMismatch(f"event {event.seq} is of another chain")
        derived, given = split_payload(event.payload)
        stored = (event.stream, event.stream_version, event.effective_on)
        context = Context(event.seq, event.recorded_at, event.occurred_at)
        wrong = fold.replay(self._state, event.event_type, event.schema_version, given, derived, stored, context)
        if wrong:
            raise StateMismatch(f"event {event.seq} is not by the rules: {wrong[0].column}: {wrong[0].actual[:200]}")
        if event.seq == 1:
            created = registry.decode_given(event.event_type, event.schema_version, given)
            if not isinstance(created, ChainCreated) or created.origin != self._origin:
                raise Divergence(f"the first event does not create the chain {self._origin}")

    def _acknowledge(self) -> None:
        named = self._state.chain_keys.get(self._key.key_id)
        unheard = f"key {self._key.key_id} is none that the chain names for a replica: no word of this replica counts"
        if (named is None or named.purpose != "replica" or named.revoked) and unheard not in self.status.reasons:
            self.status.reasons = [*self.status.reasons[-9:], unheard]
        digest = StateDigest.from_lanes(self._lanes).digest()
        said = acknowledgement.Acknowledgement(
            self._chain_id, self._epoch, self._head.seq, self._head.hash, digest, time.time_ns(), self._key.key_id
        )
        self._sender.send([(self._key.key_id.encode(), acknowledgement.encode(said, self._key), [])])
        self._said_seq, self._said_at = self._head.seq, time.monotonic()

    def run(self, stopped: Callable[[], bool], told: Callable[[Status], None]) -> None:
        """
        Apply until *stopped*; *told* gets the status after every step.
        """
        while not stopped():
            self.step()
            told(self.status)
