"""
Publish a chain: from the topic's own tail on, signed, and stop at any doubt.

A publisher keeps no offset. It reads the tail of the topic and holds it against the database: equal or behind, it
goes on; different, the two histories disagree and it halts. It is crash-only: an error ends the process, and the next
one begins by reading the tail again. It also takes in what replicas acknowledge, and checks each word of it against
the primary's own rows.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from ledger.chain import acknowledgement
from ledger.chain.signatures import KeyPair
from ledger.domain.rows import ChainKey
from ledger.errors import (
    Corrupt,
    Divergence,
    InvalidInput,
    LedgerError,
    NotPrimary,
    SequenceGap,
    SignatureInvalid,
    Unavailable,
)
from ledger.storage import acknowledgements as stored
from ledger.storage import chains, database, events, outbox, read_models
from ledger.storage.database import Connection
from replicator import segment, transport
from replicator.keyring import Keyring
from replicator.lag import Lag

COMMITS_AT_ONCE: Final = 200
_NO_WAIT_MS: Final = 1
LEAST_WAIT_MS: Final = 5
MOST_WAIT_MS: Final = 50
"""How long a publisher waits for acknowledgements before it looks for commits again: each time longer, up to this."""
COMMITS_WAITING: Final = 1000
"""So many unacknowledged commits are kept in mind; the age is that of the oldest, so later ones can be read later."""


class Status(msgspec.Struct):
    """
    How far the publisher and the replicas are.
    """

    published_seq: int = 0
    acknowledged_seq: int = 0
    rpo_seconds: float = 0.0
    max_rpo_seconds: float = 0.0
    acknowledgements: int = 0
    repeated_acknowledgements: int = 0
    rejected_records: int = 0


def public_key(connection: Connection, chain: int, key_id: str, purpose: str) -> bytes:
    """
    Return the key that the chain names for *purpose* under *key_id*.

    Raises:
        SignatureInvalid: it names none, or revoked it.
    """
    row = read_models.load(connection, chain, "chain_keys", (key_id,))
    if not isinstance(row, ChainKey) or row.purpose != purpose or row.revoked:
        raise SignatureInvalid(f"key {key_id} is none that this chain names for a {purpose}")
    return bytes.fromhex(row.public_key)


class Publisher:
    """
    The one publisher of a chain in its primary region.

    *older* are keys that the chain named before *key*: they sign what leads up to its naming, where that is still to
    be published. *again_after* publishes once more what follows that event, for a topic that lost records; replicas
    skip the rest.
    """

    _seq: int

    def __init__(
        self,
        dsn: str,
        origin: str | None,
        bootstrap: str,
        key: KeyPair,
        *,
        older: Sequence[KeyPair] = (),
        again_after: int | None = None,
    ) -> None:
        self._connection = database.connect(dsn, "ledger publisher")
        self._open = contextlib.ExitStack()
        self._open.callback(self._connection.close)
        # Each look for commits is one statement, and so one round trip: a transaction around it would be two more.
        self._connection.autocommit = True
        try:
            for pair in (key, *older):
                if pair.purpose != segment.PURPOSE:
                    raise InvalidInput(f"found a {pair.purpose}'s key; segments are signed by a publisher's: give that")
            database.check_role(self._connection, "ledger_publisher")
            self._begin(origin, bootstrap, [key, *older], again_after or 0)
            if again_after is not None:
                self._seq = min(self._seq, self._commit_before(again_after))
        except BaseException:
            self.close()
            raise

    def _begin(self, origin: str | None, bootstrap: str, pairs: Sequence[KeyPair], least: int) -> None:
        self._chain = chains.find(self._connection, origin)
        head = chains.head(self._connection, self._chain.chain)
        if head.mode != "primary":
            raise NotPrimary("this region is a replica of the chain; publish where it is primary")
        if not 0 <= least <= head.seq:
            raise InvalidInput(f"found event {least} to publish again after; the chain has events 1 to {head.seq}")
        if not outbox.lock(self._connection, outbox.PUBLISHER, self._chain.chain):
            raise Unavailable("another publisher of this chain is running in this region; stop it first")
        self._open.callback(outbox.unlock, self._connection)
        try:
            public_key(self._connection, self._chain.chain, pairs[0].key_id, "publisher")
        except SignatureInvalid as error:
            raise InvalidInput(f"{error}: give the file of one that it names") from error
        self._pairs = pairs
        self._keyring = Keyring(self._connection, self._chain)
        self._keyring.refresh()
        transport.make_topics(bootstrap, self._chain.chain_id)
        topic = transport.segments_topic(self._chain.chain_id)
        self._sender = transport.Sender(bootstrap, topic, f"ledger-publisher-{self._chain.chain_id.hex()}")
        self._open.callback(self._sender.close)
        self._acknowledged = transport.Receiver(bootstrap, transport.acknowledgements_topic(self._chain.chain_id))
        self._open.callback(self._acknowledged.close)
        self.status = Status()
        self._lag = Lag()
        self._recall()
        self._noted = self._lag.acknowledged
        self._seq = self._tail(bootstrap, topic)

    def close(self) -> None:
        """
        Give up the lock and every connection.
        """
        self._open.close()

    def _tail(self, bootstrap: str, topic: str) -> int:
        """Return the seq to go on from: the last that the topic holds under a key that counts for it."""
        receiver = transport.Receiver(bootstrap, topic)
        try:
            for value in receiver.newest_first():
                try:
                    _, claimed, first_seq, _ = segment.peek(value)
                    term = self._keyring.terms.get(claimed)
                    if term is None or not term.counts(first_seq):
                        raise SignatureInvalid(f"key {claimed} does not count for event {first_seq}")
                    last = segment.decode(value, term.public_key)
                    if last.chain_id != self._chain.chain_id:
                        raise SignatureInvalid("a segment of another chain")
                except LedgerError:
                    # Anybody may write to the topic; what no publisher of the chain signed is not ours.
                    self.status.rejected_records += 1
                    continue
                self._check_own(last.last_seq, last.head_hash)
                return last.last_seq
        finally:
            receiver.close()
        return 0

    def _commit_before(self, seq: int) -> int:
        """Return the last seq of the commit at or before *seq*: segments are cut from commits on."""
        found = stored.commits(self._connection, self._chain.chain, seq, 1)
        return min(seq, found[0].first_seq - 1) if found else seq

    def _recall(self) -> None:
        """Take up what replicas said before, checked again: a row that was edited could shut their next word out."""
        connection, chain = self._connection, self._chain
        for row in stored.read(connection, chain.chain):
            said = acknowledgement.Acknowledgement(
                chain.chain_id, row.epoch, row.seq, row.hash, row.state_digest, row.applied_at, row.replica
            )
            key = read_models.load(connection, chain.chain, "chain_keys", (row.replica,))
            if isinstance(key, ChainKey) and key.revoked:
                # What it said then counts no more, and may stay.
                continue
            try:
                acknowledgement.check(said, row.signature, public_key(connection, chain.chain, row.replica, "replica"))
            except LedgerError as error:
                raise Divergence(
                    f"the acknowledgement kept of replica {row.replica} is not one that it signed: {error}; verify, "
                    "and remove it as the tables' owner"
                ) from error
            self._check_own(row.seq, row.hash)
            self._lag.acknowledge(row.seq, time.monotonic_ns())
            self.status.acknowledged_seq = max(self.status.acknowledged_seq, row.seq)

    def _check_own(self, seq: int, head: bytes) -> None:
        chain = self._chain
        own = events.read_seqs(self._connection, chain.chain, chain.chain_id, [seq]).get(seq)
        if own is None:
            raise Divergence(
                f"the topic holds event {seq}, which this database has not: it lost events that were published; "
                "import them from the topic before anything is appended"
            )
        if own.hash != head:
            raise Divergence(
                f"event {seq} has hash {own.hash.hex()} here and {head.hex()} in the topic: halt, verify both"
            )

    def step(self, wait_ms: int = _NO_WAIT_MS) -> bool:
        """
        Publish what was committed since, take in what is acknowledged within *wait_ms*; return whether anything was
        published.
        """
        published = False
        if self._has_news():
            self._note()
            published = self._publish()
        self._take_in(_NO_WAIT_MS if published else wait_ms)
        self.status.rpo_seconds = round(self._lag.seconds(time.monotonic_ns()), 3)
        self.status.max_rpo_seconds = round(self._lag.max_seconds, 3)
        return published

    def _has_news(self) -> bool:
        """Return whether there are commits that were not published yet, or not noted for want of room."""
        head = chains.head(self._connection, self._chain.chain).seq
        noted = max(self._noted, self._lag.acknowledged)
        return head > self._seq or (head > noted and self._lag.waiting < COMMITS_WAITING)

    def _note(self) -> None:
        """Take note of commits that no replica has, published or not, by this process or one before it."""
        self._noted = max(self._noted, self._lag.acknowledged)
        room = COMMITS_WAITING - self._lag.waiting
        for commit in stored.commits(self._connection, self._chain.chain, self._noted, room):
            self._lag.committed(commit.last_seq, time.time_ns() - commit.committed_at, time.monotonic_ns())
            self._noted = commit.last_seq

    def _publish(self) -> bool:
        chain, connection = self._chain, self._connection
        found = stored.commits(connection, chain.chain, self._seq, COMMITS_AT_ONCE)
        if not found:
            return False
        if found[0].first_seq > self._seq + 1:
            raise SequenceGap(
                f"found no commit of event {self._seq + 1}; the next starts at {found[0].first_seq}: verify"
            )
        self._keyring.refresh()
        key = self._keyring.signer(self._pairs, found[0].first_seq)
        turn = self._keyring.turn(found[0].first_seq)
        # A commit that changes a key ends a segment: what follows is another key's, however often it is cut.
        found = [commit for commit in found if turn is None or commit.first_seq <= turn]
        count = found[-1].last_seq - self._seq
        run = events.read(connection, chain.chain, chain.chain_id, self._seq, count)
        ends = {commit.last_seq: (commit.state_digest, commit.committed_at) for commit in found}
        for made in segment.cut(run, ends, key.key_id, self._seq + 1):
            headers = [
                ("format", b"1"), ("epoch", str(made.epoch).encode()), ("first_seq", str(made.first_seq).encode()),
                ("last_seq", str(made.last_seq).encode()), ("head_hash", made.head_hash.hex().encode()),
            ]  # fmt: skip
            self._sender.send([(chain.chain_id, segment.encode(made, key), headers)])
            self._seq = made.last_seq
        if self._seq != found[-1].last_seq:
            raise SequenceGap(f"found no event {self._seq + 1}; a commit ends at {found[-1].last_seq}: verify")
        self.status.published_seq = self._seq
        return True

    def _take_in(self, wait_ms: int) -> None:
        for _, value in self._acknowledged.poll(wait_ms):
            try:
                key_id = acknowledgement.peek(value)
                key = public_key(self._connection, self._chain.chain, key_id, "replica")
                said = acknowledgement.decode(value, key)
                if said.chain_id != self._chain.chain_id:
                    raise SignatureInvalid("an acknowledgement of another chain")
            except (Corrupt, LedgerError):
                self.status.rejected_records += 1
                continue
            self._count(said, value)

    def _count(self, said: acknowledgement.Acknowledgement, value: bytes) -> None:
        chain = self._chain
        self._check_own(said.seq, said.hash)
        boundary = [x for x in stored.commits(self._connection, chain.chain, said.seq - 1, 1) if x.last_seq == said.seq]
        if not boundary:
            raise Divergence(f"replica {said.key_id} acknowledged event {said.seq}, where no commit ends here: verify")
        if boundary[0].state_digest != said.state_digest:
            raise Divergence(
                f"the two regions' books differ at seq {said.seq}, though the events agree: replica {said.key_id} has "
                f"digest {said.state_digest.hex()}, this region {boundary[0].state_digest.hex()}; verify both"
            )
        kept = stored.Acknowledgement(
            said.key_id,
            said.epoch,
            said.seq,
            said.hash,
            said.state_digest,
            said.applied_at,
            time.time_ns(),
            value[-64:],
        )
        is_new = stored.upsert(self._connection, chain.chain, kept)
        if not is_new:
            self.status.repeated_acknowledgements += 1
            return
        self._lag.acknowledge(said.seq, time.monotonic_ns())
        self.status.acknowledgements += 1
        self.status.acknowledged_seq = max(self.status.acknowledged_seq, said.seq)

    def run(self, stopped: Callable[[], bool], told: Callable[[Status], None]) -> None:
        """
        Publish until *stopped*; *told* gets the status after every step.
        """
        wait_ms = LEAST_WAIT_MS
        while not stopped():
            published = self.step(wait_ms)
            told(self.status)
            wait_ms = LEAST_WAIT_MS if published else min(2 * wait_ms, MOST_WAIT_MS)
