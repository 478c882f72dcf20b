"""
Turn requests into linked events, on memory alone.

A batch is what one transaction will hold: every good request's events, chained from a head, and for every request
what to answer once the batch is durable. A request that breaks a rule is refused by itself and harms no neighbour.
Answers are never given from here: they rest on effects that are not durable yet.

A key that should be new is not looked up: asking the store about each would cost more than most else. Where a request
looks wrong its key is looked up before it is refused, since the same request may have been recorded before; and where
it looks right and is not new, the store's own constraint says so, and then every key is looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from ledger.chain import entry, event_id
from ledger.chain.entry import RecordedEvent, split_payload
from ledger.chain.link import ChainHead
from ledger.domain import fold, registry
from ledger.domain.events.executions import FactQuarantined
from ledger.domain.events.fields import Event
from ledger.domain.fold import Context, DuplicateFact, Outcome
from ledger.domain.row_bytes import digest_after
from ledger.domain.state import Change, State
from ledger.errors import IdempotencyConflict, InvalidInput, LedgerError, RuleBroken, TooLarge, VersionConflict, shown
from ledger.journal.answers import Answer, Foreseen, Pending, Quarantined, Receipt, receipt_of
from ledger.journal.group import GROUP_LIMIT_BYTES, Group
from ledger.storage.scribe import Scribe, payload_of, request_hash

_NOISE_BYTES: Final = 30
"""Randomness of an event: 16 of salt, 7 of its id and 7 of its group's."""


class Batch:
    """
    One transaction in the making; see `Preparer.prepare`.

    `rows` are the events as COPY takes them, `key_rows` the idempotency keys of their groups; `replays` counts requests
    that the store had already.
    """

    def __init__(self, head: ChainHead, recorded_at: int, mark: int) -> None:
        self.base = head
        self.seq, self.hash = head.seq, head.hash
        self.recorded_at = recorded_at
        self.mark = mark
        self.end_mark = mark
        self.rows: list[bytes] = []
        self.key_rows: list[bytes] = []
        self.answers: list[tuple[Pending, Answer]] = []
        self.changes: list[Change] = []
        self.in_flight: dict[str, tuple[Group, Receipt]] = {}
        self.by_seq: dict[int, Receipt] = {}
        self.lanes = b""
        self.digest = b""
        self.replays = 0

    @property
    def head(self) -> ChainHead:
        """
        Return the head that the batch makes.
        """
        return ChainHead(self.seq, self.hash)

    def requests(self) -> list[Pending]:
        """
        Return the requests of the batch, in order.
        """
        return [pending for pending, _ in self.answers]


class Store(Protocol):
    """
    What a preparer asks of what is durable.
    """

    def find_keys(self, keys: list[str]) -> dict[str, int]:
        """
        Return the first seq of the group that used each of *keys*, for those that were used.
        """

    def group(self, first_seq: int) -> list[RecordedEvent]:
        """
        Return the events of the group from *first_seq* on.
        """


def _read(clock: Callable[[], object]) -> int:
    """Return what *clock* says, whose type nobody has checked."""
    now = clock()
    if not isinstance(now, int):
        raise InvalidInput(f"found {shown(now)} from the clock; expected nanoseconds since 1970 as an integer")
    return now


class Preparer:
    """
    Prepare batches for one chain and source, on a state that follows them.
    """

    def __init__(
        self,
        scribe: Scribe,
        state: State,
        store: Store,
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._scribe = scribe
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._noise, self._drawn = b"", 0
        self._live: list[Batch] = []
        self.state = state
        state.recorded = self._recorded

    def prepare(self, requests: list[Pending], head: ChainHead, recorded_at: int, epoch: int, lanes: bytes,
                *, look_up: bool = False) -> Batch:  # fmt: skip
        """
        Return the batch of *requests* after *head*, which was recorded at *recorded_at* (ns) and has digest *lanes*.

        With *look_up*, keys are looked up in the store before they are believed to be new.
        """
        batch = Batch(head, recorded_at, self.state.begin())
        self._live.append(batch)
        used: dict[str, int] | None = None
        if look_up:
            # What cannot be a key is refused by itself in a moment; the store would refuse the look-up of all.
            used = self._store.find_keys([pending.group.key for pending in requests if pending.group.has_key()])
        answers, answer_to = batch.answers, self._answer
        for pending in requests:
            try:
                answer = answer_to(pending, batch, epoch, used)
            except LedgerError as error:
                answer = error
            answers.append((pending, answer))
        batch.changes = self.state.changes(batch.mark)
        batch.end_mark = self.state.begin()
        digest = digest_after(lanes, batch.changes)
        batch.lanes, batch.digest = digest.lanes(), digest.digest()
        return batch

    def forget(self, batch: Batch) -> None:
        """
        Forget what of *batch* was on its way: it is durable.
        """
        self._live.remove(batch)

    def _answer(self, pending: Pending, batch: Batch, epoch: int, used: dict[str, int] | None) -> Answer:
        group = pending.group
        group.check()
        if not pending.dry:
            for earlier in self._live:
                there = earlier.in_flight.get(group.key)
                if there is not None:
                    return _again(group, *there)
            if used is not None and group.key in used:
                return self._replayed(group, used[group.key], batch)
        # A dry run never meets the store's constraints, so it has to look at every key that should be new.
        certain = self.state.certain or pending.dry
        try:
            return self._try(pending, batch, epoch, certain=certain)
        except (DuplicateFact, LedgerError) as error:
            if used is None and not pending.dry:
                known = self._store.find_keys([group.key])
                if known:
                    return self._replayed(group, known[group.key], batch)
            if certain or len(group.events) == 1 or isinstance(error, VersionConflict | TooLarge):
                return self._refused(pending, error)
        # The fold has looked twice at the event that broke a rule. Those before it in the group looked good, and may
        # clash with what memory has forgotten: then the group is refused for that.
        try:
            return self._try(pending, batch, epoch, certain=True)
        except (DuplicateFact, LedgerError) as error:
            return self._refused(pending, error)

    def _try(self, pending: Pending, batch: Batch, epoch: int, *, certain: bool) -> Answer:
        mark, before = self.state.begin(), self.state.certain
        self.state.certain = certain
        try:
            if pending.group.expected:
                self._check_expected(pending.group)
            return self._record(pending, batch, epoch, mark)
        except BaseException:
            self.state.rollback(mark)
            raise
        finally:
            self.state.certain = before

    def _refused(self, pending: Pending, error: DuplicateFact | LedgerError) -> Answer:
        if isinstance(error, LedgerError):
            return error
        return [] if pending.dry and len(pending.group.events) == 1 else self._duplicate(pending.group, error.seq)

    def _check_expected(self, group: Group) -> None:
        for stream, version in group.expected.items():
            found = fold.stream_version(self.state, stream)
            if found != version:
                raise VersionConflict(f"I4: stream {stream} is at version {found}; expected {version}: read it again")

    def _duplicate(self, group: Group, seq: int) -> Receipt:
        if len(group.events) > 1:
            raise RuleBroken(f"R1: the group holds a fact that is recorded at seq {seq}; send the others without it")
        for earlier in self._live:
            known = earlier.by_seq.get(seq)
            if known is not None:
                return msgspec.structs.replace(known, replayed=True)
        return receipt_of(self._store.group(seq)[:1])

    def _recorded(self, seq: int) -> Event | None:
        found = self._store.group(seq)
        if not found:
            return None
        given = split_payload(found[0].payload)[1]
        return registry.decode_given(found[0].event_type, found[0].schema_version, given)

    def _replayed(self, group: Group, first_seq: int, batch: Batch) -> Receipt:
        batch.replays += 1
        events = self._store.group(first_seq)
        if not events or events[0].request_hash != _hash_again(group, events):
            raise IdempotencyConflict(_conflict(group.key, first_seq))
        return receipt_of(events)

    def _record(self, pending: Pending, batch: Batch, epoch: int, mark: int) -> Answer:
        group, recorded_at, seq = pending.group, batch.recorded_at, batch.seq
        outcomes, occurred, recorded = [], [], []
        clock, state, given, alone = self._clock, self.state, group.occurred_at, len(group.events) == 1
        for event in group.events:
            recorded_at = max(_read(clock), recorded_at + 1)
            occurred_at = recorded_at if given is None else given
            seq += 1
            outcomes.append(fold.record(state, event, Context(seq, recorded_at, occurred_at), alone=alone))
            occurred.append(occurred_at)
            recorded.append(recorded_at)
        if pending.dry:
            state.rollback(mark)
            _check_size([payload_of(outcome) for outcome in outcomes])
            return [Foreseen(x.event_type, x.stream, x.stream_version, x.derived, x.rule, x.detail) for x in outcomes]
        return self._link(group, batch, epoch, outcomes, occurred, recorded)

    def _link(
        self, group: Group, batch: Batch, epoch: int, outcomes: list[Outcome], occurred: list[int], recorded: list[int]
    ) -> Receipt:
        """Chain what the fold made of a group, and lay it out; nothing of the batch changes if that fails."""
        size, first = len(outcomes), batch.seq + 1
        payloads = [payload_of(outcome) for outcome in outcomes]
        _check_size(payloads)
        noise = [self._draw() for _ in outcomes]
        asked = (group.key, group.actor, request_hash(noise[0][:16], outcomes, occurred))
        group_id = event_id.make(recorded[0], noise[0][23:])
        previous, rows = batch.hash, []
        waiting: tuple[Quarantined, ...] = ()
        for index, outcome in enumerate(outcomes):
            last_id = event_id.make(recorded[index], noise[index][16:23])
            previous, row = self._scribe.write(
                outcome, payloads[index], first + index, epoch, previous,
                (last_id, group_id, group.correlation_id, group.causation_id), (index, size),
                (occurred[index], recorded[index]), asked, noise[index][:16],
            )  # fmt: skip
            rows.append(row)
            waits = _waiting(first + index, group.events[index], outcome)
            waiting += waits
            own = Receipt(first + index, first + index, previous, recorded[index], last_id, False, waits)
            batch.by_seq[first + index] = own
        seq = first + size - 1
        receipt = Receipt(first, seq, previous, recorded[-1], last_id, False, waiting) if size > 1 else own
        batch.seq, batch.hash, batch.recorded_at = seq, previous, recorded[-1]
        batch.rows += rows
        batch.key_rows.append(self._scribe.key_row(group.key, first))
        batch.in_flight[group.key] = (group, receipt)
        return receipt

    def _draw(self) -> bytes:
        """Return the randomness of one event; asking the system for each would cost a call into it."""
        if self._drawn == len(self._noise):
            self._noise, self._drawn = self._entropy(_NOISE_BYTES * 256), 0
        self._drawn += _NOISE_BYTES
        return self._noise[self._drawn - _NOISE_BYTES : self._drawn]


def _waiting(seq: int, event: Event, outcome: Outcome) -> tuple[Quarantined, ...]:
    """Return what waits for a decision from then on: a fact that fits no rule, or text that nobody could read."""
    if outcome.rule is not None:
        return (Quarantined(seq, outcome.rule, outcome.detail or ""),)
    return (Quarantined(seq, event.rule, event.detail),) if isinstance(event, FactQuarantined) else ()


def _check_size(payloads: list[bytes]) -> None:
    if len(payloads) > 1 and sum(map(len, payloads)) > GROUP_LIMIT_BYTES:
        raise TooLarge(f"found a group of {sum(map(len, payloads))} bytes; at most {GROUP_LIMIT_BYTES}: split it")


def _again(group: Group, earlier: Group, receipt: Receipt) -> Receipt:
    occurred_at = earlier.occurred_at
    if occurred_at is None and len(earlier.events) == 1:
        occurred_at = receipt.recorded_at
    # As `_hash_again` does for what is stored: a request that names no time is the same at whichever it was recorded.
    if earlier.events != group.events or group.occurred_at not in (None, occurred_at):
        raise IdempotencyConflict(_conflict(group.key, receipt.seq))
    return msgspec.structs.replace(receipt, replayed=True)


def _conflict(key: str, seq: int) -> str:
    return f"I5: key {key!r} was used for another request, recorded at seq {seq}; use a new key for a new request"


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
    return entry.request_hash(events[0].salt, parts)
