"""
Turn requests into linked events, on memory alone.

A batch is what one transaction will hold: every good request's events, chained from a head, and for every request
what to answer once the batch is durable. A request that breaks a rule is refused by itself and harms no neighbour.
Answers are never given from here: they rest on effects that are not durable yet.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final

import msgspec

from ledger.chain import event_id
from ledger.chain.digest import StateDigest
from ledger.chain.entry import RecordedEvent, request_hash, split_payload
from ledger.chain.link import ChainHead
from ledger.domain import fold, registry
from ledger.domain.fold import Context, DuplicateFact, Outcome
from ledger.domain.row_bytes import row_bytes
from ledger.domain.rows import TABLES
from ledger.domain.state import Change, State
from ledger.errors import IdempotencyConflict, LedgerError, RuleBroken, TooLarge, VersionConflict
from ledger.journal.group import GROUP_LIMIT_BYTES, Group

_EPOCH: Final = datetime.date(1970, 1, 1)
_NO_HASH: Final = b""


class Quarantined(msgspec.Struct, frozen=True):
    """
    A fact of the group that was recorded as quarantined, and why.
    """

    seq: int
    rule: str
    detail: str


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """
    What was recorded: the group's first and last seq, and the last event's hash, time (ns) and id.

    `replayed` says that an earlier request was answered again; `quarantined` lists facts that wait for a decision.
    """

    seq: int
    last_seq: int
    hash: bytes
    recorded_at: int
    event_id: bytes
    replayed: bool = False
    quarantined: tuple[Quarantined, ...] = ()


class Foreseen(msgspec.Struct, frozen=True):
    """
    What a dry run of one event would record.
    """

    event_type: str
    stream: str
    stream_version: int
    derived: bytes
    rule: str | None
    detail: str | None


class Pending:
    """
    A request on its way, and the future that its caller waits for.
    """

    __slots__ = ("dry", "future", "group")

    def __init__(self, group: Group, dry: bool = False) -> None:
        self.group = group
        self.dry = dry
        self.future: Future[Any] = Future()


Answer = Receipt | LedgerError | list[Foreseen]


class Batch:
    """
    One transaction in the making; see `Preparer.prepare`.
    """

    def __init__(self, head: ChainHead, recorded_at: int, mark: int) -> None:
        self.base = head
        self.head = head
        self.base_recorded_at = recorded_at
        self.recorded_at = recorded_at
        self.mark = mark
        self.end_mark = mark
        self.events: list[RecordedEvent] = []
        self.keys: list[tuple[str, str, int]] = []
        self.answers: list[tuple[Pending, Answer]] = []
        self.changes: list[Change] = []
        self.lanes = b""
        self.digest = b""
        self.loaded = 0

    def requests(self) -> list[Pending]:
        """
        Return the requests of the batch, in order.
        """
        return [pending for pending, _ in self.answers]


StoredGroup = Callable[[int], list[RecordedEvent]]


def receipt_of(events: list[RecordedEvent], *, replayed: bool = True) -> Receipt:
    """
    Return the receipt of a stored group.
    """
    last = events[-1]
    waiting = tuple(
        Quarantined(event.seq, *_reason(event)) for event in events if event.event_type == "FactQuarantined"
    )
    return Receipt(events[0].seq, last.seq, last.hash, last.recorded_at, last.event_id, replayed, waiting)


def _reason(event: RecordedEvent) -> tuple[str, str]:
    given = msgspec.json.decode(split_payload(event.payload)[1])
    return given["rule"], given["detail"]


class Preparer:
    """
    Prepare batches for one chain and source, on a state that follows them.
    """

    def __init__(
        self, chain_id: bytes, source: str, state: State, clock: Callable[[], int], entropy: Callable[[int], bytes]
    ) -> None:
        self._chain_id = chain_id
        self._source = source
        self._clock = clock
        self._entropy = entropy
        self.state = state
        self.in_flight: dict[str, tuple[Group, Receipt]] = {}
        self._by_seq: dict[int, Receipt] = {}

    def prepare(
        self,
        requests: list[Pending],
        head: tuple[ChainHead, int, int],
        lanes: bytes,
        used: Mapping[str, int],
        stored: StoredGroup,
    ) -> Batch:
        """
        Return the batch of *requests* after *head*: (chain head, its recorded_at, epoch).

        *used* are the idempotency keys among them that the store has, with the first seq of their group; *stored*
        reads such a group.
        """
        batch = Batch(head[0], head[1], self.state.begin())
        for pending in requests:
            try:
                answer = self._answer(pending, batch, head[2], used, stored)
            except LedgerError as error:
                answer = error
            batch.answers.append((pending, answer))
        batch.changes = self.state.changes(batch.mark)
        batch.end_mark = self.state.begin()
        digest = StateDigest.from_lanes(lanes)
        for change in batch.changes:
            spec = TABLES[change.table]
            if change.old is not None:
                digest.take_out(change.table, row_bytes(spec, change.old))
            digest.put_in(change.table, row_bytes(spec, change.new))
        batch.lanes, batch.digest = digest.lanes(), digest.digest()
        batch.loaded = len(self.state.loaded)
        return batch

    def forget(self, batch: Batch) -> None:
        """
        Forget which keys and seqs of *batch* are on their way: it is durable, or dropped.
        """
        for _, key, seq in batch.keys:
            self.in_flight.pop(key, None)
            self._by_seq.pop(seq, None)

    def _answer(
        self, pending: Pending, batch: Batch, epoch: int, used: Mapping[str, int], stored: StoredGroup
    ) -> Answer:
        group = pending.group
        group.check()
        if not pending.dry:
            if group.key in self.in_flight:
                earlier, receipt = self.in_flight[group.key]
                if (earlier.events, earlier.occurred_at) != (group.events, group.occurred_at):
                    raise IdempotencyConflict(_conflict(group.key, receipt.seq))
                return msgspec.structs.replace(receipt, replayed=True)
            if group.key in used:
                return self._replayed(group, stored(used[group.key]))
        for stream, version in group.expected.items():
            found = fold.stream_version(self.state, stream)
            if found != version:
                raise VersionConflict(f"stream {stream} is at version {found}; expected {version}: read it again")
        mark = self.state.begin()
        try:
            return self._record(pending, batch, epoch)
        except DuplicateFact as duplicate:
            self.state.rollback(mark)
            if len(group.events) > 1:
                raise RuleBroken(
                    f"the group holds a fact that is recorded at seq {duplicate.seq}; send the others without it"
                ) from None
            known = self._by_seq.get(duplicate.seq)
            if known is not None:
                return msgspec.structs.replace(known, replayed=True)
            return receipt_of(stored(duplicate.seq)[:1])
        except BaseException:
            self.state.rollback(mark)
            raise

    def _replayed(self, group: Group, events: list[RecordedEvent]) -> Receipt:
        if not events or events[0].request_hash != _hash_again(group, events):
            raise IdempotencyConflict(_conflict(group.key, events[0].seq if events else 0))
        return receipt_of(events)

    def _record(self, pending: Pending, batch: Batch, epoch: int) -> Answer:
        group, mark = pending.group, self.state.begin()
        first, outcomes, times = batch.head.seq + 1, [], []
        recorded_at = batch.recorded_at
        for offset, event in enumerate(group.events):
            recorded_at = max(self._clock(), recorded_at + 1)
            occurred_at = recorded_at if group.occurred_at is None else group.occurred_at
            times.append((recorded_at, occurred_at))
            outcomes.append(fold.record(self.state, event, Context(first + offset, recorded_at, occurred_at)))
        if pending.dry:
            self.state.rollback(mark)
            return [Foreseen(x.event_type, x.stream, x.stream_version, x.derived, x.rule, x.detail) for x in outcomes]
        events = self._linked(group, outcomes, times, batch.head, epoch)
        head = batch.head
        for linked in events:
            msgspec.structs.force_setattr(linked, "prev_hash", head.hash)
            head = head.extend(linked)
            msgspec.structs.force_setattr(linked, "hash", head.hash)
        waiting = tuple(
            Quarantined(first + offset, x.rule, x.detail or "")
            for offset, x in enumerate(outcomes)
            if x.rule is not None
        )
        receipt = Receipt(first, head.seq, head.hash, recorded_at, events[-1].event_id, False, waiting)
        batch.head, batch.recorded_at = head, recorded_at
        batch.events += events
        batch.keys.append((self._source, group.key, first))
        self.in_flight[group.key] = (group, receipt)
        self._by_seq[first] = receipt
        return receipt

    def _linked(
        self, group: Group, outcomes: list[Outcome], times: list[tuple[int, int]], head: ChainHead, epoch: int
    ) -> list[RecordedEvent]:
        size = len(outcomes)
        noise = self._entropy(16 + 23 * size)
        salts = [noise[16 + 23 * n : 32 + 23 * n] for n in range(size)]
        payloads = [b'{"derived":' + x.derived + b',"given":' + x.given + b"}" for x in outcomes]
        if sum(map(len, payloads)) > GROUP_LIMIT_BYTES:
            raise TooLarge(f"found a group of {sum(map(len, payloads))} bytes; at most {GROUP_LIMIT_BYTES}: split it")
        asked = request_hash(
            salts[0],
            [
                (x.event_type, x.schema_version, occurred_at, x.given)
                for x, (_, occurred_at) in zip(outcomes, times, strict=True)
            ],
        )
        group_id = event_id.make(times[0][0], noise[:7])
        return [
            RecordedEvent(
                chain_id=self._chain_id, seq=head.seq + 1 + n, epoch=epoch,
                prev_hash=_NO_HASH, hash=_NO_HASH,
                event_id=event_id.make(times[n][0], noise[32 + 23 * n : 39 + 23 * n]), event_type=x.event_type,
                schema_version=x.schema_version, stream=x.stream, stream_version=x.stream_version,
                group_id=group_id, group_index=n, group_size=size, idempotency_key=group.key, request_hash=asked,
                occurred_at=times[n][1], recorded_at=times[n][0], effective_on=(x.effective_on - _EPOCH).days,
                actor=group.actor, source=self._source, correlation_id=group.correlation_id,
                causation_id=group.causation_id, salt=salts[n], payload=payloads[n],
            )
            for n, x in enumerate(outcomes)
        ]  # fmt: skip


def _conflict(key: str, seq: int) -> str:
    return f"key {key!r} was used for another request, recorded at seq {seq}; use a new key for a new request"


def _hash_again(group: Group, events: list[RecordedEvent]) -> bytes:
    """Return the request hash that *group* would have had in the place of the stored *events*."""
    if len(events) != len(group.events):
        return b""
    parts = []
    for event, stored in zip(group.events, events, strict=True):
        occurred_at = stored.occurred_at if group.occurred_at is None else group.occurred_at
        given = split_payload(stored.payload)[1]
        kept = fold.original_of(registry.decode_given(stored.event_type, stored.schema_version, given))
        if kept != event:
            return b""
        parts.append((stored.event_type, stored.schema_version, occurred_at, given))
    return request_hash(events[0].salt, parts)
