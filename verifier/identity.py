"""
Settle which chain the rows are of, before anything is hashed.

One row of `chains` says three things that everything else is read by: the number that leads to a chain's rows, the id
that is in each event's entry, and the origin, which makes with the id the genesis that the first event follows. Any of
them may have been changed, and so may events. So each is held against what else says it, and the strongest that says
anything decides.

**The id** is the row's where any event hashes with it: with another one no event has its hash. The first three are
asked, and where all of those were changed, a thousand that nobody could foresee. Where none hashes with it:

1. they hash with the id of another row: these are the events of that chain, and the row's number is wrong;
2. they hash with an id that whoever asks brought, or one byte away: that is the chain's, and the row's was changed;
3. the genesis that the first event names is that of the row's id: it is right, and every event that was asked was
   changed. What the row says of its genesis vouches for none of its own columns;
4. else nobody knows the id, and no event can be read.

**The origin** is the name with whose genesis the first event has its hash. Where none is, because the first event is
gone, or was changed elsewhere as well, it is

1. a name other than the row's, whose genesis the row keeps or the first event names;
2. a name that whoever asks brought, where a checkpoint kept here or the first event's content says it, and the row's
   was not brought as well;
3. else what the row says, whose genesis says nothing: a new name may have come with its own.

The names that are tried are those that whoever asks brought (of a policy's logs, of the other copy, of a state that was
kept; of the latter two the ids as well), those that the first event's content and the newest checkpoints say, and the
row's own.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from ledger.chain.entry import RecordedEvent, split_payload
from ledger.chain.link import genesis
from ledger.domain import registry
from ledger.domain.events.control import ChainCreated
from ledger.errors import LedgerError, UnknownFormat
from ledger.evidence import checkpoint
from verifier.chain import DEEP_LIMIT
from verifier.conviction import hashes_to
from verifier.reader import Reader
from verifier.report import Finding
from verifier.stored import ChainRow

KIND = "CHAIN_MISMATCH"
ASKED: Final = 1000
"""How many events are asked for the id where the first ones were changed: whoever hides it has to change them all."""
NEAR_ASKED: Final = 8
"""How many of those are asked for every id one byte away, of which there are 4,080."""
_ASSUMED: Final = (
    "the chain's id is {}, with which no event that was asked hashes: either each of them was changed, or the id and "
    "the genesis in the row and what event 1 follows were changed together; hold the id against another copy"
)
NOTES: Final = 8
"""Of how many of the newest checkpoints the origin is read."""


class Identity(msgspec.Struct):
    """
    The chain as its events name it, and what is wrong with its row; `readable` is False where nothing can be hashed,
    and `assumed` says, as sentences, what nothing but the region's own word is there for.
    """

    chain: ChainRow
    findings: list[Finding]
    readable: bool = True
    assumed: list[str] = []


def settle(reader: Reader, brought: Sequence[str] = (), ids: Sequence[bytes] = ()) -> Identity:
    """
    Return who the reader's chain is; the reader then reads the rows that are its own.

    *brought* are the names that whoever asks knows chains by, and *ids* those that were their chain's elsewhere.
    """
    chain = reader.chain
    findings: list[Finding] = []
    events = _Events(reader, chain.chain)
    # Whatever else has the row's number: a head may have been given it as well.
    if not events.first:
        for number, _, _ in reader.strays("events"):
            there = _Events(reader, number) if number is not None else None
            if there is not None and there.are_of(chain.chain_id):
                findings.append(_finding(chain, "chain", str(number), str(chain.chain)))
                reader.read_as(number or 0)
                chain, events = reader.chain, there
    names = _Names(reader, chain.origin, events.start, brought)
    found = _id(reader, chain, events, names, ids)
    if isinstance(found, ChainRow):
        text = f"events of chain {chain.origin}"
        findings.append(_finding(chain, "chain", text, f"{chain.chain}, whose events are those of {found.origin}"))
        return Identity(chain, findings, readable=False)
    if found is None:
        findings.append(_finding(chain, "chain_id", "the id that its events were hashed with", chain.chain_id.hex()))
    elif found != chain.chain_id:
        findings.append(_finding(chain, "chain_id", found.hex(), chain.chain_id.hex()))
        chain = msgspec.structs.replace(chain, chain_id=found)
    origin = _origin(chain, found, events.start, names)
    if origin != chain.origin:
        findings.append(_finding(chain, "origin", origin, chain.origin))
        chain = msgspec.structs.replace(chain, origin=origin)
    reader.chain = chain
    assumed = [] if found is None or not events.first or events.are_of(found) else [_ASSUMED.format(found.hex())]
    return Identity(chain, findings, readable=found is not None, assumed=assumed)


class _Events:
    """The events under one chain number, of which as few are asked as can say whose they are."""

    def __init__(self, reader: Reader, number: int) -> None:
        self._reader, self._number = reader, number
        self.first = reader.first_events(number)
        self.start = next((event for event in self.first if event.seq == 1), None)

    @functools.cached_property
    def drawn(self) -> list[RecordedEvent]:
        """Those that are asked where the first ones say nothing."""
        return self._reader.drawn_events(self._number, ASKED)

    def are_of(self, chain_id: bytes) -> bool:
        """Return whether any of them hashes with an id."""
        return _any_of(self.first, chain_id) or _any_of(self.drawn, chain_id)


class _Names:
    """What the chain may be called: as whoever asks knows it, and as the first event and the checkpoints say."""

    def __init__(self, reader: Reader, of_row: str, start: RecordedEvent | None, brought: Sequence[str]) -> None:
        self._reader, self._of_row = reader, of_row
        wanted = reader.wanted
        self.brought = [*brought, *([] if wanted is None or wanted == of_row else [wanted])]
        self.created = None if start is None else _created(start)

    @functools.cached_property
    def said(self) -> list[str]:
        """Those that stand here beside the row's own."""
        newest = itertools.islice(self._reader.checkpoints_down("notes", 2**63 - 1, 0, NOTES), NOTES)
        return [*([] if self.created is None else [self.created]), *_noted(row.note for row in newest)]

    def all(self) -> list[str]:
        """Return each of them, the row's own last."""
        return [*dict.fromkeys([*self.brought, *self.said, self._of_row])]


def _finding(chain: ChainRow, column: str, expected: str, actual: str) -> Finding:
    return Finding(KIND, expected, actual, table="chains", key=(chain.origin,), column=column)


def _id(
    reader: Reader, chain: ChainRow, events: _Events, names: _Names, ids: Sequence[bytes]
) -> bytes | ChainRow | None:
    """Return the id of the events, the chain of this database whose they are instead, or None where nobody knows."""
    if not events.first or events.are_of(chain.chain_id):
        return chain.chain_id
    for other in reader.chains:
        if other.chain_id != chain.chain_id and events.are_of(other.chain_id):
            return other
    for brought in ids:
        if events.are_of(brought):
            return brought
    asked = [*events.first, *events.drawn[:NEAR_ASKED]]
    for near in _near(chain.chain_id):
        if _any_of(asked, near):
            return near
    starts = [] if events.start is None else [events.start.prev_hash]
    if len(events.first) == 1 or any(_genesis(chain.chain_id, name) in starts for name in names.all()):
        reader.edits = len(events.drawn) <= DEEP_LIMIT
        return chain.chain_id
    return None


def _origin(chain: ChainRow, chain_id: bytes | None, start: RecordedEvent | None, names: _Names) -> str:
    """Return the name of a chain, whose id is None where nobody knows it."""
    if chain_id is not None:
        # Where nothing is wrong the row's own is asked first, and checkpoints are not.
        if _follows(start, chain_id, chain.origin):
            return chain.origin
        for name in names.all():
            if _follows(start, chain_id, name):
                return name
        for name in names.all():
            if name != chain.origin and _genesis(chain_id, name) in _starts(chain, start):
                return name
    if chain.origin in names.brought:
        return chain.origin
    return next((name for name in names.brought if name in names.said), chain.origin)


def _follows(start: RecordedEvent | None, chain_id: bytes, name: str) -> bool:
    """Return whether the first event has its hash as the one that follows the genesis of a name."""
    first = _genesis(chain_id, name)
    if start is None or first is None:
        return False
    return hashes_to(msgspec.structs.replace(start, chain_id=chain_id, prev_hash=first), start.hash)


def _starts(chain: ChainRow, start: RecordedEvent | None) -> list[bytes]:
    """Return what the row and the first event say that the genesis is."""
    return [chain.genesis, *([] if start is None else [start.prev_hash])]


def _genesis(chain_id: bytes, name: str) -> bytes | None:
    try:
        return genesis(chain_id, name)
    except LedgerError:
        return None


def _any_of(events: Sequence[RecordedEvent], chain_id: bytes) -> bool:
    return any(hashes_to(msgspec.structs.replace(event, chain_id=chain_id), event.hash) for event in events)


def _near(chain_id: bytes) -> Iterator[bytes]:
    for place in range(len(chain_id)):
        for byte in range(256):
            yield chain_id[:place] + bytes([byte]) + chain_id[place + 1 :]


def _created(event: RecordedEvent) -> str | None:
    try:
        made = registry.decode_given(event.event_type, event.schema_version, split_payload(event.payload)[1])
    except LedgerError:
        return None
    return made.origin if isinstance(made, ChainCreated) else None


def _noted(notes: Iterable[bytes]) -> Iterator[str]:
    for note in notes:
        try:
            yield checkpoint.decode_note(note)[0].origin
        except UnknownFormat:
            continue
