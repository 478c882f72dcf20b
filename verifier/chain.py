"""
Follow the chain event by event: bytes, links, seqs, times, groups, streams, keys and request hashes.

A broken place is reported once, and the check goes on from what is stored after it, so that one edit is one finding
and not a finding for every event that follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from ledger.chain.entry import RecordedEvent, request_hash, split_payload
from ledger.chain.link import genesis
from ledger.errors import LedgerError
from verifier import conviction
from verifier.conviction import Witnesses
from verifier.keys import KeyCheck
from verifier.report import Finding, Findings
from verifier.stored import ChainRow

Foresee = Callable[[RecordedEvent], dict[str, list[Any]]]
"""What the rules would make of an event: candidates for its columns."""

DEEP_LIMIT = 100
"""For how many broken events every small edit is tried (up to a second each); after them only what others state."""
SEEN_LIMIT = 500
"""How many values of a column are remembered, as candidates for a broken one."""
MISSING_LIMIT = 1000
"""How many missing events are remembered, to tell an event that was moved from one that was copied."""

_SEEN = ("actor", "source", "epoch", "correlation_id", "causation_id", "event_type", "schema_version")


class ChainCheck:
    """
    The state of one walk along a chain.

    *others* are the ids of the other chains in the database; *foresee* asks the rules; *edits* is whether small edits
    of broken events are tried.
    """

    def __init__(
        self, chain: ChainRow, others: list[bytes], keys: KeyCheck, foresee: Foresee, findings: Findings,
        *, edits: bool = True,
    ) -> None:  # fmt: skip
        self._chain, self._others, self._keys, self._foresee = chain, others, keys, foresee
        self._findings = findings
        self._seen: dict[str, dict[Any, None]] = {name: {} for name in _SEEN}
        self._missing: set[int] = set()
        self._group: list[RecordedEvent] = []
        self._before: RecordedEvent | None = None
        self.seq = 0
        self.hash: bytes | None = genesis(chain.chain_id, chain.origin)
        """The hash that the next event has to name; None where the event before it is not known."""
        self.recorded_at = 0
        self.epoch = 1
        self.lost: int | None = None
        """The first event that is missing, or whose content is not known: what follows from it is not known either."""
        self.last_good = 0
        self._wrong = 0
        self._convicted = 0
        self._deep_limit = DEEP_LIMIT if edits else 0

    def start_after(self, seq: int, hashed: bytes, recorded_at: int, epoch: int) -> None:
        """
        Begin behind an event that ends a group, in place of the genesis; what is asked of the next one rests on it.
        """
        self.seq, self.hash, self.last_good = seq, hashed, seq
        self.recorded_at, self.epoch = recorded_at, epoch

    def walk(self, events: Iterable[RecordedEvent]) -> Iterator[RecordedEvent]:
        """
        Yield each event as it was recorded: as stored, or mended where the original is known.
        """
        waiting: RecordedEvent | None = None
        for event in events:
            if waiting is not None and (good := self._check(waiting, event)) is not None:
                yield good
            waiting = event
        if waiting is not None and (good := self._check(waiting, None)) is not None:
            yield good
        self._end_group()

    def _found(self, kind: str, expected: str, actual: str, **place: Any) -> None:
        self._wrong += 1
        self._findings.add([Finding(kind, expected, actual, **place)])

    def _lose(self, seq: int) -> None:
        self.lost = seq if self.lost is None else min(self.lost, seq)

    def _check(self, event: RecordedEvent, following: RecordedEvent | None) -> RecordedEvent | None:
        count = self._wrong
        if event.seq != self.seq + 1:
            moved = self._out_of_place(event)
            if moved is None:
                return None
            event = moved
        true_hash = self._true_hash(event, following)
        if not conviction.hashes_to(event, true_hash):
            convicted = self._broken(event, true_hash, following)
            if convicted is None:
                return None
            event = convicted
        if event.hash != true_hash and conviction.hashes_to(event, true_hash):
            self._found("BYTES_MODIFIED", true_hash.hex(), event.hash.hex(), seq=event.seq, column="hash")
            event = msgspec.structs.replace(event, hash=true_hash)
        if self.hash is not None and event.prev_hash != self.hash:
            self._found("CHAIN_BREAK", self.hash.hex(), event.prev_hash.hex(), seq=event.seq, column="prev_hash")
        self._times(event)
        self._epoch(event)
        self._groups(event)
        self._remember(event)
        self.seq, self.hash = event.seq, event.hash
        self.recorded_at, self.epoch = event.recorded_at, event.epoch
        self._before = event
        if self._wrong == count and self.last_good == event.seq - 1:
            self.last_good = event.seq
        return event

    def _remember(self, event: RecordedEvent) -> None:
        for name, seen in self._seen.items():
            value = getattr(event, name)
            if value not in seen:
                if len(seen) >= SEEN_LIMIT:
                    del seen[next(iter(seen))]
                seen[value] = None

    def _out_of_place(self, event: RecordedEvent) -> RecordedEvent | None:
        """Name what is wrong about an event that is not the next; return it if the chain goes on with it."""
        if event.seq <= self.seq:
            self._found("SEQ_DUP", "one row", "another with this seq", seq=event.seq, column="seq")
            return None
        if not conviction.hashes_to(event, event.hash):
            # Only the seq may be another than it was: it says where it belongs by its hash.
            for seq in (self.seq + 1, *sorted(self._missing)):
                mended = msgspec.structs.replace(event, seq=seq)
                if conviction.hashes_to(mended, event.hash):
                    self._found("BYTES_MODIFIED", str(seq), str(event.seq), seq=event.seq, column="seq")
                    return mended if seq == self.seq + 1 else None
        missing = f"{self.seq + 1}" if event.seq == self.seq + 2 else f"{self.seq + 1} to {event.seq - 1}"
        self._found("SEQ_GAP", f"event {missing}", "no such row", seq=self.seq + 1, column="seq")
        self._lose(self.seq + 1)
        self._end_group(self.seq + 1)
        self._missing.update(range(self.seq + 1, min(event.seq, self.seq + 1 + MISSING_LIMIT - len(self._missing))))
        self.hash = None
        return event

    def _true_hash(self, event: RecordedEvent, following: RecordedEvent | None) -> bytes:
        """Return the hash the event had: its own column, unless its successor and its bytes agree on another."""
        if conviction.hashes_to(event, event.hash) or following is None or following.seq != event.seq + 1:
            if following is None and event.seq == self._chain.seq and not conviction.hashes_to(event, event.hash):
                return self._chain.hash if conviction.hashes_to(event, self._chain.hash) else event.hash
            return event.hash
        return following.prev_hash if conviction.hashes_to(event, following.prev_hash) else event.hash

    def _displaced(self, event: RecordedEvent, column: str, value: Any) -> bool:
        """Return whether the row holds an event of another place or chain, so that its own is not known."""
        if column == "chain_id":
            self._found("BYTES_MODIFIED", "an event of this chain", f"one of chain {value.hex()}", seq=event.seq,
                        column="chain")  # fmt: skip
        elif column == "seq" and value != event.seq:
            if value <= self.seq and value not in self._missing:
                self._found("SEQ_DUP", "no such row", f"a copy of event {value}", seq=event.seq, column="seq")
                return True
            self._found("BYTES_MODIFIED", str(value), str(event.seq), seq=event.seq, column="seq")
        else:
            return False
        if event.seq <= self._chain.seq:
            # Past the head it stands in nobody's place.
            self._lose(event.seq)
            self._end_group(event.seq)
            self._missing.add(event.seq)
            self.seq, self.hash = event.seq, None
        return True

    def _broken(self, event: RecordedEvent, true_hash: bytes, following: RecordedEvent | None) -> RecordedEvent | None:
        stated = self._foresee(event)
        stated["chain_id"] = list(self._others)
        stated["seq"] = [self.seq + 1, *sorted(self._missing)]
        stated["prev_hash"] = [] if self.hash is None else [self.hash]
        stated["epoch"] = [self._before.epoch] if self._before else [1]
        pair = self._keys.pair_at(event.seq)
        if pair is not None:
            stated["source"], stated["idempotency_key"] = [pair[0]], [pair[1]]
        for first in self._group[:1]:
            for name in ("source", "idempotency_key", "actor", "request_hash"):
                stated[name] = [*stated.get(name, []), getattr(first, name)]
        time = conviction.event_time(event.event_id)
        stated["recorded_at"] = [] if time is None else [time]
        stated["group_index"] = [0, len(self._group), event.seq - 1 - self.seq]
        stated["group_size"] = [1, *([self._group[0].group_size] if self._group else [])]
        stated["group_id"] = [*(first.group_id for first in self._group[:1]), *self._group_id_behind(event, following)]
        if event.group_size == 1:
            stated["request_hash"] = [*stated.get("request_hash", []), *self._asked([event])]
        self._convicted += 1
        deep = self._convicted <= self._deep_limit
        found = conviction.convict(event, true_hash, Witnesses(stated, self._seen), deep=deep)
        if found is not None and self._displaced(event, *found):
            return None
        if found is None:
            self._lose(event.seq)
            column = conviction.suspects(event, self._confirmed(event, stated))
            actual = "; ".join(("other bytes", *(f"{x} is {said}" for x, said in conviction.broken(event).items())))
            self._found("BYTES_MODIFIED", f"bytes of hash {true_hash.hex()}", actual, seq=event.seq, column=column)
            return msgspec.structs.replace(event, hash=true_hash)
        column, value = found
        self._found("BYTES_MODIFIED", _text(value), _text(getattr(event, column)), seq=event.seq, column=column)
        return msgspec.structs.replace(event, **{column: value})

    def _group_id_behind(self, event: RecordedEvent, following: RecordedEvent | None) -> list[bytes]:
        """Return what the next event says the group is, of which this may be the first one."""
        if following is None:
            return []
        # Where both say the same and the next one was changed too, neither vouches for the other.
        is_no_witness = following.group_id == event.group_id and not conviction.hashes_to(following, following.hash)
        return [] if is_no_witness else [following.group_id]

    def _confirmed(self, event: RecordedEvent, stated: dict[str, list[Any]]) -> set[str]:
        return {column for column, values in stated.items() if getattr(event, column) in values}

    def _asked(self, events: list[RecordedEvent]) -> list[bytes]:
        try:
            parts = [(e.event_type, e.schema_version, e.occurred_at, split_payload(e.payload)[1]) for e in events]
            return [request_hash(events[0].salt, parts)]
        except LedgerError:
            return []

    def _times(self, event: RecordedEvent) -> None:
        if event.recorded_at <= self.recorded_at:
            self._found("CLOCK", f"later than {self.recorded_at}", str(event.recorded_at), seq=event.seq,
                        column="recorded_at")  # fmt: skip
        if conviction.event_time(event.event_id) != event.recorded_at:
            self._found("CLOCK", f"an id of time {event.recorded_at}", event.event_id.hex(), seq=event.seq,
                        column="event_id")  # fmt: skip

    def _epoch(self, event: RecordedEvent) -> None:
        if event.epoch < self.epoch:
            self._found("STATE_MISMATCH", f"at least {self.epoch}", str(event.epoch), seq=event.seq, column="epoch")

    def _groups(self, event: RecordedEvent) -> None:
        if event.group_index == 0:
            self._end_group()
            self._group = [event]
            if self._before is not None and event.group_id == self._before.group_id:
                self._found("GROUP_PARTIAL", "a group of its own", "that of the event before", seq=event.seq,
                            column="group_id")  # fmt: skip
        else:
            self._group.append(event)
            first = self._group[0]
            same = ("group_id", "group_size", "idempotency_key", "request_hash", "source", "actor")
            wrong = [name for name in same if getattr(event, name) != getattr(first, name)]
            if wrong or event.group_index != len(self._group) - 1:
                column = wrong[0] if wrong else "group_index"
                expected = "the next event of its group"
                self._found("GROUP_PARTIAL", expected, f"another {column}", seq=event.seq, column=column)
        if len(self._group) == event.group_size:
            self._end_group()

    def _end_group(self, lost: int | None = None) -> None:
        group, self._group = self._group, []
        if not group:
            return
        first = group[0]
        if len(group) != first.group_size:
            self._found(
                "GROUP_PARTIAL",
                f"{first.group_size} events",
                f"{len(group)}",
                seq=first.seq,
                column="group_size",
                after=lost,
            )
        elif self._asked(group) != [first.request_hash]:
            # It may be the content that is not known, of any event of the group, and not what was asked.
            unknown = next((event.seq for event in group if not conviction.hashes_to(event, event.hash)), None)
            self._found("REQUEST_MISMATCH", "the hash of what was asked", first.request_hash.hex(), seq=first.seq,
                        column="request_hash", after=unknown)  # fmt: skip
        self._keys.use(first)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode() if value.startswith(b"{") else value.hex()
        except UnicodeDecodeError:
            return value.hex()
    return str(value)
