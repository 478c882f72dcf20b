"""
Read events as they are stored, column by column, and the keys and commits that were written with them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ledger.chain.entry import NO_ID, RecordedEvent
from verifier import absent
from verifier.moment import Moment
from verifier.stored import CommitRow, KeyRow

_EVENT_COLUMNS: Final = tuple(name for name in RecordedEvent.__struct_fields__ if name != "chain_id")
_FOR_EVER: Final = 2_147_483_647
"""More days than a date can be away from 1970-01-01."""
_SHOWN: Final = {
    "event_id": "uuid_send(event_id)", "group_id": "uuid_send(group_id)", "correlation_id": "uuid_send(correlation_id)",
    "causation_id": "uuid_send(causation_id)",
    # No ledger writes an infinite date; it still has to be read, to be found.
    "effective_on": f"CASE WHEN NOT isfinite(effective_on) THEN {_FOR_EVER:d}"
                    " ELSE effective_on - date '1970-01-01' END",
    "payload": "convert_to(payload::text, 'UTF8')",
}  # fmt: skip
_OPTIONAL: Final = ("correlation_id", "causation_id")
CONTROL: Final = "chain/control"
"""The stream of what the chain says of itself, its keys among it."""
_COMMIT: Final = "first_seq, last_seq, state_digest, committed_at"


class EventRows(Moment):
    """
    What a moment has of the chain itself.

    `zero_ids` are the (seq, column) of ids stored as zeros, as `events` met them: they hash like absent ones. `edits`
    is whether broken events may have been edited one by one: where all were changed at once, as by another type of a
    column, to try small edits of each would take hours.
    """

    def __init__(self, dsn: str, origin: str | None, snapshot: str | None = None) -> None:
        super().__init__(dsn, origin, snapshot)
        self.zero_ids: list[tuple[int, str]] = []
        self.edits = True

    def last_seq(self) -> int | None:
        """
        Return the largest seq of an event that is stored, or None where there is none.
        """
        row = self.connection.execute(
            "SELECT max(seq) FROM ledger.events WHERE chain = %s", [self.chain.chain]
        ).fetchone()
        return None if row is None else row[0]

    def count(self, first: int, last: int) -> int:
        """
        Return how many events with seqs from *first* to *last* are stored.
        """
        found = self.connection.execute(
            "SELECT count(*) FROM ledger.events WHERE chain = %s AND seq BETWEEN %s AND %s",
            [self.chain.chain, first, last],
        ).fetchone()
        return 0 if found is None else int(found[0])

    def events_before_first(self) -> bool:
        """
        Return whether there are events with a seq below 1, which none can have.
        """
        return bool(
            self.connection.execute(
                "SELECT EXISTS (SELECT FROM ledger.events WHERE chain = %s AND seq < 1)", [self.chain.chain]
            ).fetchall()[0][0]
        )

    def events(self, first: int = -(2**63), last: int = 2**63 - 1) -> Iterator[RecordedEvent]:
        """
        Yield every event from seq *first* to *last* in order, column by column as stored.
        """
        self.zero_ids.clear()
        for values in self._event_rows("events", "AND seq BETWEEN %s AND %s ORDER BY seq", [first, last]):
            for name in _OPTIONAL:
                if values[name] == NO_ID:
                    self.zero_ids.append((values["seq"], name))
                elif values[name] is None:
                    values[name] = NO_ID
            yield self._event(values)

    def first_events(self, number: int, count: int = 3) -> list[RecordedEvent]:
        """
        Return the first events under a chain number.
        """
        shown = self._event_rows("first_events", "ORDER BY seq LIMIT %s", [count], number)
        return [
            self._event({name: NO_ID if x is None and name in _OPTIONAL else x for name, x in v.items()}) for v in shown
        ]

    def drawn_events(self, number: int, wanted: int) -> list[RecordedEvent]:
        """
        Return so many events under a chain number, drawn so that nobody can foresee them, or all if there are fewer.

        One whose seq is larger than how many there are is not among them.
        """
        found = self.connection.execute("SELECT count(*) FROM ledger.events WHERE chain = %s", [number]).fetchall()
        size = int(found[0][0])
        return list(self.events_at(random.SystemRandom().sample(range(1, size + 1), min(wanted, size)), number))

    def events_at(self, seqs: Sequence[int], number: int | None = None) -> Iterator[RecordedEvent]:
        """
        Yield the events at these seqs that there are, column by column as stored, of another chain's *number* if given.
        """
        for values in self._event_rows("events_at", "AND seq = ANY(%s) ORDER BY seq", [list(seqs)], number):
            yield self._event({
                name: NO_ID if value is None and name in _OPTIONAL else value for name, value in values.items()
            })  # fmt: skip

    def events_of_types(self, types: Sequence[str]) -> Iterator[RecordedEvent]:
        """
        Yield the events of these types in the control stream of the chain, column by column as stored.
        """
        rest = "AND stream = %s AND event_type = ANY(%s) ORDER BY seq"
        for values in self._event_rows("events_of_types", rest, [CONTROL, list(types)]):
            yield self._event({
                name: NO_ID if value is None and name in _OPTIONAL else value for name, value in values.items()
            })  # fmt: skip

    def _event_rows(
        self, name: str, rest: str, given: list[Any], number: int | None = None
    ) -> Iterator[dict[str, Any]]:
        shown = ", ".join(_SHOWN.get(column, column) for column in _EVENT_COLUMNS)
        for row in self.stream(name, f"SELECT {shown} FROM ledger.events WHERE chain = %s {rest}", *given,
                               number=number):  # fmt: skip
            yield dict(zip(_EVENT_COLUMNS, row, strict=True))

    def _event(self, values: dict[str, Any]) -> RecordedEvent:
        for name, value in values.items():
            # Of a column of another type; the seq says where the finding is, so it stays.
            is_none = RecordedEvent.__annotations__[name] == "int" and type(value) is not int and name != "seq"
            if value is None or is_none:
                values[name] = absent.instead(RecordedEvent, name, value)
        if values["effective_on"] == _FOR_EVER:
            values["effective_on"] = absent.NoNumber(absent.NOT_FINITE)
        return RecordedEvent(chain_id=self.chain.chain_id, **values)

    def seq_recorded_at(self, recorded_at: int, low: int, high: int) -> int | None:
        """
        Return the seq of the event of that time between two seqs, or None.
        """
        row = self.connection.execute(
            "SELECT seq FROM ledger.events WHERE chain = %s AND seq BETWEEN %s AND %s AND recorded_at = %s",
            [self.chain.chain, low, high, recorded_at],
        ).fetchone()
        return None if row is None else int(row[0])

    def keys(self, first: int = -(2**63), last: int = 2**63 - 1) -> Iterator[KeyRow]:
        """
        Yield the idempotency keys of groups that begin at seq *first* to *last*, in that order; the database sorts.
        """
        sql = (
            "SELECT source, key, first_seq FROM ledger.idempotency_keys"
            f" WHERE chain = %s AND coalesce(first_seq, {-(2**63):d}) BETWEEN %s AND %s ORDER BY first_seq NULLS FIRST"
        )
        # No index has them by their seqs, so all of the table is read in any case.
        for row in self.stream_every("keys", sql, first, last):
            yield absent.row_of(KeyRow, row)

    def keys_of_groups(self, after: int) -> Iterator[KeyRow]:
        """
        Yield the idempotency keys that the groups after seq *after* used, in order of what their rows say.

        A row whose key no such group used is not among them.
        """
        # Looked up one by one: a join would read all keys there are.
        sql = (
            "SELECT k.source, k.key, k.first_seq FROM ledger.events e"
            " CROSS JOIN LATERAL (SELECT source, key, first_seq FROM ledger.idempotency_keys"
            " WHERE chain = e.chain AND source = e.source AND key = e.idempotency_key OFFSET 0) k"
            " WHERE e.chain = %s AND e.seq > %s AND e.group_index = 0 ORDER BY k.first_seq NULLS FIRST"
        )
        for row in self.stream("keys", sql, after):
            yield absent.row_of(KeyRow, row)

    def commits(self) -> Iterator[CommitRow]:
        """
        Yield every commit, in order of where it ends.
        """
        sql = f"SELECT {_COMMIT} FROM ledger.commits WHERE chain = %s ORDER BY last_seq"
        for row in self.stream_every("commits", sql):
            yield absent.row_of(CommitRow, row)

    def commits_after(self, seq: int) -> Iterator[CommitRow]:
        """
        Yield the commits that end after *seq*, in order, as their key has them.
        """
        sql = f"SELECT {_COMMIT} FROM ledger.commits WHERE chain = %s AND last_seq > %s ORDER BY last_seq"
        for row in self.stream("commits", sql, seq):
            yield absent.row_of(CommitRow, row)

    def boundary(self, seq: int) -> int:
        """
        Return the last seq of the newest commit that ends at *seq* or before; 0 where there is none.
        """
        row = self.connection.execute(
            "SELECT max(last_seq) FROM ledger.commits WHERE chain = %s AND last_seq <= %s", [self.chain.chain, seq]
        ).fetchone()
        return 0 if row is None or row[0] is None else int(row[0])

    def commit_at(self, seq: int) -> CommitRow | None:
        """
        Return the commit that ends at *seq*, or None.
        """
        row = self.connection.execute(
            f"SELECT {_COMMIT} FROM ledger.commits"
            " WHERE chain = %s AND last_seq = %s", [self.chain.chain, seq],
        ).fetchone()  # fmt: skip
        return None if row is None else absent.row_of(CommitRow, row)
