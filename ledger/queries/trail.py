"""
Tell what happened: the events of a stream as an audit trail, the links of the chain, and rows as they are stored.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from ledger.chain.entry import RecordedEvent
from ledger.chain.link import ChainHead
from ledger.domain.rows import TABLES, TableSpec
from ledger.domain.rules import new_shares
from ledger.errors import InvalidInput, NotFound, SequenceGap, closest, shown
from ledger.queries.opened import Opened, check_names
from ledger.reading import order_splits, past, views
from ledger.reading.known_days import split_days
from ledger.reading.moment import At, Known, Moment, check_integers, days, parse_day
from ledger.reading.sound_rows import check_text
from ledger.storage import chains, database, events, moments


class Trail(Opened):
    """
    Events and links.
    """

    def history(self, stream: str, *, at: Moment | None = None) -> At[list[views.HistoryLine]]:
        """
        Return the events of one stream, such as `order/O-17`, as an audit trail; of an order with the splits that
        changed or ended it, and what each says of it.

        Raises:
            NotFound: nothing had happened in that stream.
        """
        seq, found, seqs = self._stream(stream, at)
        # One from before the order did nothing to it, and may have a say on the day of what was told since.
        after = 0 if isinstance(at, Known) else found[0].seq
        splits = self._splits([split for split in seqs if after < split <= seq])
        of_splits = [line for split in splits if (line := order_splits.line_of(split, stream.removeprefix("order/")))]
        told = found + splits
        counts = {event.seq: event.effective_on for event in told}
        if isinstance(at, Known):
            if splits:
                # A split moves the events of every order of its shares, those too that it neither changed nor ended.
                find = self._find(self._connection)
                beside = split_days.beside_splits(told, split_days.splits_in(told, find), find)
                counts = {event.seq: event.effective_on for event in beside}
            last = days(at.effective_on)
            if not any(counts[event.seq] <= last for event in found):
                raise NotFound(
                    f"found stream {shown(stream)}, of which nothing counts for days up to {at.effective_on}"
                )
            counts = {seq: day for seq, day in counts.items() if day <= last}
        lines = [line for line in [*views.history(found), *of_splits] if line.seq in counts]
        lines.sort(key=lambda line: (counts[line.seq] if isinstance(at, Known) else 0, line.seq))
        return At(seq, lines, "replay")

    def _splits(self, seqs: list[int]) -> list[RecordedEvent]:
        """Return the splits at *seqs*."""
        if not seqs:
            return []
        with database.translating():
            read = events.read_seqs(self._connection, self.chain.chain, self.chain.chain_id, seqs)
        if len(read) < len(seqs):
            raise SequenceGap(f"of the splits at seqs {', '.join(map(str, seqs))} not all are there: verify the ledger")
        found = [read[seq] for seq in seqs]
        past.check_alone(found)
        return found

    def stream(self, name: str) -> list[RecordedEvent]:
        """
        Return the events of one stream, such as `order/O-17`, in order, as they are stored.

        Raises:
            NotFound: nothing had happened in that stream.
        """
        return self._stream(name, None)[1]

    def _stream(self, name: str, at: Moment | None) -> tuple[int, list[RecordedEvent], list[int]]:
        """
        Return the seq that *at* means, the events of the stream up to it, each of the hash that it says, and the seqs
        of the splits of what an order is of.
        """
        check_names(stream=name)
        connection, chain = self._connection, self.chain
        with database.translating():
            head, splits, found = events.read_stream_now(connection, chain.chain, chain.chain_id, name)
            if at is not None:
                seq = past.resolve(connection, chain, at)
                found = [event for event in found if event.seq <= seq]
            else:
                seq = chains.head(connection, chain.chain).seq if head is None else head
            near = [] if found else moments.streams_near(connection, chain.chain, name, seq)
        if not found:
            raise NotFound(
                f"found stream {shown(name)}{closest(name, near)}, in which nothing had happened at seq {seq}; one "
                "is such as order/O-17"
            )
        past.check_alone(found)
        versions = [event.stream_version for event in found]
        if versions != list(range(1, len(found) + 1)):
            raise SequenceGap(f"stream {name!r} has not its versions 1 to {len(found)}, each once: verify the ledger")
        if splits is not None:
            check_text("assets", "splits", splits, f"what {name} is of")
        return seq, found, [split.seq for split in new_shares.applied(splits or new_shares.NONE)]

    def recorded(self, upto: int) -> Iterator[RecordedEvent]:
        """
        Yield the events up to seq *upto*, in order; take them all before anything else is read.
        """
        check_integers(0, upto=upto)
        with self._snapshot() as (connection, _):
            yield from events.read(connection, self.chain.chain, self.chain.chain_id, 0, upto)

    def link(self, seq: int) -> ChainHead:
        """
        Return the link of the event at *seq*.

        Raises:
            NotFound: there is no such event.
        """
        check_integers(seq=seq)
        with self._snapshot() as (connection, _):
            event = events.read_seqs(connection, self.chain.chain, self.chain.chain_id, [seq]).get(seq)
        if event is None:
            raise NotFound(f"found no event {seq} in this chain")
        return ChainHead(event.seq, event.hash)

    def head(self) -> ChainHead:
        """
        Return the last link of the chain.
        """
        with self._snapshot() as (connection, _):
            found = chains.head(connection, self.chain.chain)
        return ChainHead(found.seq, found.hash)

    def recorded_at(self) -> int:
        """
        Return when the last event was recorded: nanoseconds since 1970.
        """
        with self._snapshot() as (connection, head):
            return moments.recorded_at(connection, self.chain.chain, head)

    def table(self, name: str, /, **equal: Any) -> At[list[Any]]:
        """
        Return the rows of the read model *name* whose columns are as given, as they are stored now.

        Values are as the rows have them: amounts in units of 10^-18, days as ISO text. None is no value to look for.

        Raises:
            NotFound: there is no such read model.
            InvalidInput: it has no such column, or the column no such values.
        """
        check_names(table=name)
        if name not in TABLES:
            raise NotFound(f"found read model {shown(name)}; there are {', '.join(TABLES)}")
        for column, value in equal.items():
            _check_column(TABLES[name], column, value)
        with self._source(None) as source:
            return At(source.seq, source.rows(name, **equal), source.by)


def _check_column(spec: TableSpec, column: str, value: Any) -> None:
    """Raise InvalidInput unless rows of *spec* have such a *column*, in which one of them could have *value*."""
    if column not in spec.columns:
        raise InvalidInput(
            f"found column {shown(column)}{closest(column, spec.columns)}; {spec.name} has {', '.join(spec.columns)}"
        )
    try:
        if value is None:
            raise ValueError("leave it out to ask for any")
        found = msgspec.convert(value, typing.get_type_hints(spec.row_type)[column])
        for text in found if isinstance(found, tuple) else (str(found),):
            text.encode()
    except ValueError as error:  # of another type, a lone surrogate, or an integer of too many digits to be written
        raise InvalidInput(f"found {shown(value)} as {column} of {spec.name}: {error}") from None
    if column in spec.dates:
        parse_day(value)
    elif type(value) is int and column not in spec.amounts:
        check_integers(**{column: value})
