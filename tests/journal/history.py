"""
Judge a history: is every answer that clients were given explained by one order of their calls, which is the chain's?

A call is what a client asked, when, and what it was told and when. The chain says in which order groups were accepted;
every other answer (a refusal, a receipt given again, a look-up) must be what the ledger would say after some prefix of
the chain. A call comes after all calls that had returned before it was invoked: so places are given in the order of
invocation, each the first that fits. Since a place only pushes later ones back, the first that fits is right if any is.

The judge works on a state without a loader, which knows every row ever, and uses nothing of the journal but its words.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from ledger import Receipt
from ledger.chain.entry import RecordedEvent, split_payload
from ledger.domain import fold, registry
from ledger.domain.events.fields import Event
from ledger.domain.fold import Context, DuplicateFact
from ledger.domain.state import State
from ledger.errors import Corrupt, LedgerError, Rejected

OPEN = math.inf
"""The return time of a call that was never answered."""


class Call(msgspec.Struct, frozen=True):
    """
    One call of one client. *told* is a receipt, the code of an error, `absent` (look-up), or None: no answer.
    """

    kind: Literal["append", "lookup"]
    key: str
    events: tuple[Event, ...]
    expected: dict[str, int]
    invoked: float
    returned: float
    told: Receipt | str | None


class Accepted(msgspec.Struct):
    """
    One group of the chain, and the calls that may have brought it.
    """

    first: int
    last: int
    key: str
    events: tuple[Event, ...]
    stored: list[RecordedEvent]
    claimed: Call | None = None
    earliest: float = OPEN


def _codes(family: type[LedgerError]) -> set[str]:
    return {family.code}.union(*(_codes(kind) for kind in family.__subclasses__()))


_REFUSALS = _codes(Rejected) - {"closed"}
_CORRUPT = _codes(Corrupt)


def groups_of(chain: Iterable[RecordedEvent]) -> list[Accepted]:
    """Return the groups of a chain, in order."""
    groups: list[Accepted] = []
    for event in chain:
        given = registry.decode_given(event.event_type, event.schema_version, split_payload(event.payload)[1])
        asked = fold.original_of(given)
        if event.group_index == 0:
            groups.append(Accepted(event.seq, event.seq, event.idempotency_key, (asked,), [event]))
        else:
            group = groups[-1]
            group.last, group.events = event.seq, (*group.events, asked)
            group.stored.append(event)
    return groups


class Judge:
    """
    The chain, the calls, and everything found wrong with them.
    """

    def __init__(self, chain: Sequence[RecordedEvent], calls: Sequence[Call], setup: int = 0) -> None:
        """*setup* is the last seq of what was there before the history began."""
        self.groups = groups_of(chain)
        self.calls = sorted(calls, key=lambda call: call.invoked)
        self.setup = setup
        self.found: list[str] = []
        self._by_seq = {event.seq: (group, event) for group in self.groups for event in group.stored}
        self._fits: dict[int, list[int]] = defaultdict(list)
        """For each call, by id: the prefixes of the chain (as last seqs) after which its answer is right."""

    def judge(self) -> list[str]:
        """Return what no order explains; nothing, where all is well."""
        self._match()
        self._check_receipts()
        if not self.found:
            self._try_prefixes()
            self._order()
        return self.found

    def _wrong(self, call: Call | None, why: str) -> None:
        shown = "" if call is None else f"{call.kind} {call.key!r} {[type(x).__name__ for x in call.events]} told "
        told = "" if call is None else getattr(call.told, "seq", call.told)
        self.found.append(f"{shown}{told}: {why}")

    def _match(self) -> None:
        """Find out which call brought each group."""
        by_key: dict[str, Accepted] = {}
        for group in self.groups:
            if group.key in by_key:
                self._wrong(None, f"key {group.key!r} is recorded at {by_key[group.key].first} and at {group.first}")
            by_key[group.key] = group
        for call in self.calls:
            group = by_key.get(call.key)
            if call.kind != "append" or group is None or group.events != call.events:
                continue
            if isinstance(call.told, Receipt) and not call.told.replayed and call.told.seq == group.first:
                if group.claimed is not None:
                    self._wrong(call, "another call was told that it recorded this as well")
                group.claimed, group.earliest = call, call.invoked
            elif group.claimed is None and (_says_nothing(call) or _told(call) == ("again", group.first)):
                # Where the answer to COMMIT was lost, the writer finds the group by its key and gives it again.
                group.earliest = min(group.earliest, call.invoked)
        for group in self.groups:
            if group.first > self.setup and group.earliest == OPEN:
                self._wrong(None, f"seq {group.first} ({group.key!r}) was brought by nobody who could have")

    def _check_receipts(self) -> None:
        for call in self.calls:
            if isinstance(call.told, str) and call.told in _CORRUPT:
                self._wrong(call, "nothing was corrupt")
            if not isinstance(call.told, Receipt):
                continue
            receipt = call.told
            group, event = self._by_seq.get(receipt.last_seq, (None, None))
            if group is None or event is None:
                self._wrong(call, "the seq is not in the chain")
                continue
            if (event.hash, event.recorded_at, event.event_id) != (receipt.hash, receipt.recorded_at, receipt.event_id):
                self._wrong(call, "hash, time or id are not the chain's")
            within = [x for x in group.stored if receipt.seq <= x.seq <= receipt.last_seq]
            waiting = [x.seq for x in within if x.event_type == "FactQuarantined"]
            if waiting != [x.seq for x in receipt.quarantined]:
                self._wrong(call, f"{waiting} are quarantined")
            if call.kind == "append" and not receipt.replayed and group.claimed is not call:
                self._wrong(call, "the group at this seq is not the one that was asked for")

    def _bounds(self) -> dict[int, tuple[int, int]]:
        """For each call, by id: the fewest and most events that can have been there when it was decided."""
        told = sorted(
            (call.returned, self._by_seq[call.told.last_seq][0].last)
            for call in self.calls
            if isinstance(call.told, Receipt)
        )
        bounds, low, place = {}, self.setup, 0
        for call in self.calls:
            while place < len(told) and told[place][0] < call.invoked:
                low = max(low, told[place][1])
                place += 1
            bounds[id(call)] = (low, self.groups[-1].last if self.groups else 0)
        high = self.groups[-1].last if self.groups else 0
        starts = sorted((group.earliest, group.first) for group in self.groups if group.first > self.setup)
        for call in sorted(self.calls, key=lambda call: -call.returned):
            while starts and starts[-1][0] > call.returned:
                high = min(high, starts.pop()[1] - 1)
            bounds[id(call)] = (bounds[id(call)][0], high)
        return bounds

    def _try_prefixes(self) -> None:
        """Walk the chain once; after each group, ask again what is still in flight, and note whose answer is right."""
        bounds = self._bounds()
        asked = [call for call in self.calls if not _says_nothing(call)]
        starting, ending = defaultdict(list), defaultdict(list)
        for call in asked:
            low, high = bounds[id(call)]
            if isinstance(call.told, Receipt) and not call.told.replayed and call.kind == "append":
                low = high = call.told.seq - 1
            if low <= high:
                starting[low].append(call)
                ending[high].append(call)
        state, keys = State(), dict[str, Accepted]()
        trying: dict[int, Call] = {}
        lasts = [0, *(group.last for group in self.groups)]
        for last, group in zip(lasts, [None, *self.groups], strict=True):
            if group is not None:
                _replay(state, group)
                keys[group.key] = group
            trying |= {id(call): call for call in starting[last]}
            for call in trying.values():
                if _answer(state, keys, call, last) == _told(call):
                    self._fits[id(call)].append(last)
            for call in ending[last]:
                trying.pop(id(call), None)

    def _order(self) -> None:
        """Give each call a place after all that had returned before it was invoked."""
        events: list[tuple[float, int, Call | Accepted]] = [(call.invoked, 1, call) for call in self.calls]
        events += [(g.earliest, 1, g) for g in self.groups if g.first > self.setup and g.claimed is None]
        events.sort(key=lambda item: item[0])
        returned: list[tuple[float, int]] = []
        low = self.setup
        for invoked, _, item in events:
            passed = [place for at, place in returned if at < invoked]
            low = max([low, *passed])
            returned = [(at, place) for at, place in returned if at >= invoked]
            if isinstance(item, Accepted):
                if item.first <= low:
                    self._wrong(None, f"seq {item.first} was asked for after something that follows it had returned")
                continue
            if _says_nothing(item):
                continue
            place = next((fit for fit in self._fits[id(item)] if fit >= low), None)
            if place is None:
                said = f"right after {self._fits[id(item)][-5:]}" if self._fits[id(item)] else "right after no prefix"
                self._wrong(item, f"{said}; at least {low} events were there when it was asked")
                continue
            if isinstance(item.told, Receipt) and not item.told.replayed and item.kind == "append":
                place = item.told.last_seq
            returned.append((item.returned, place))


def _says_nothing(call: Call) -> bool:
    """Return whether the answer claims nothing: there is none, or it says that the outcome is not known."""
    return call.told is None or (
        isinstance(call.told, str)
        and call.told not in _REFUSALS
        and not (call.kind == "lookup" and call.told == "absent")
    )


def _told(call: Call) -> tuple[str, int]:
    if isinstance(call.told, Receipt):
        return ("again" if call.told.replayed or call.kind == "lookup" else "recorded", call.told.seq)
    return (str(call.told), 0)


def _answer(state: State, keys: dict[str, Accepted], call: Call, last: int) -> tuple[str, int]:
    """Return what the ledger has to say to *call* after *last* events; the state is left as it was."""
    known = keys.get(call.key)
    if call.kind == "lookup":
        return ("absent", 0) if known is None else ("again", known.first)
    if known is not None:
        return ("again", known.first) if known.events == call.events else ("idempotency_conflict", 0)
    for stream, version in call.expected.items():
        if fold.stream_version(state, stream) != version:
            return ("version_conflict", 0)
    mark = state.begin()
    try:
        for offset, event in enumerate(call.events, 1):
            alone = len(call.events) == 1
            fold.record(state, event, Context(last + offset, last + offset, 0), alone=alone)
    except DuplicateFact as duplicate:
        return ("again", duplicate.seq)
    except LedgerError as error:
        return (error.code, 0)
    finally:
        state.rollback(mark)
    return ("recorded", last + 1)


def _replay(state: State, group: Accepted) -> None:
    for event in group.stored:
        derived, given = split_payload(event.payload)
        wrong = fold.replay(
            state, event.event_type, event.schema_version, given, derived,
            (event.stream, event.stream_version, event.effective_on),
            Context(event.seq, event.recorded_at, event.occurred_at),
        )  # fmt: skip
        assert wrong == [], wrong
    # The undo log alone is dropped: `durable` would forget closed rows, and there is no store to bring them back.
    state.log.clear()
