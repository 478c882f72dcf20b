"""
Read a region's database in parts: some tiles, some events, one stream, the newest checkpoints.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Self

import msgspec

from ledger.chain.entry import NO_ID, RecordedEvent
from ledger.evidence.tiles import WIDTH, Tile
from ledger.evidence.tree import HASH_BYTES
from verifier import absent
from verifier.due import Key, counts, keys_that_sign
from verifier.reader import CHECKPOINT, Reader
from verifier.region import MODES, doubled
from verifier.report import Finding
from verifier.stored import ChainRow, CheckpointRow, KeyRow
from verifier.tiled.copies import cut

NEAR_STREAMS: Final = 5
"""How many streams on either side of a name are looked at for the one that was meant."""
AT_ONCE: Final = 1000
"""So many checkpoints are asked for at a time, while the newest that a policy accepts is looked for."""
_OPTIONAL: Final = ("correlation_id", "causation_id")


class View(msgspec.Struct, frozen=True):
    """
    One chain at one moment, as another process finds it again while the first one keeps it open.
    """

    dsn: str
    wanted: str | None
    snapshot: str
    chain: ChainRow
    edits: bool


class Region(Reader):
    """
    One consistent view of one chain's rows, of which any part can be read by itself.
    """

    name = "the database"

    def __init__(self, dsn: str, origin: str | None, snapshot: str | None = None) -> None:
        super().__init__(dsn, origin, snapshot)
        self.requests = 0
        self.zeros: list[Finding] = []
        """Ids stored as zeros in events that were read: they hash like absent ones, so the hash cannot tell."""

    def __enter__(self) -> Self:
        return self

    def view(self) -> View:
        """Return what another process needs to read the same, as long as this region is open."""
        return View(self.dsn, self.wanted, self.snapshot(), self.chain, self.edits)

    @classmethod
    def of(cls, view: View) -> Self:
        """Return the chain of a view, whose rows are read under the number that was settled for it."""
        made = cls(view.dsn, view.wanted, view.snapshot)
        made.chain, made.edits = view.chain, view.edits
        return made

    @property
    def place(self) -> str:
        """Return which database of which running server it is, however it was named."""
        rows = self._ask(
            "SELECT pg_postmaster_start_time()::text, oid FROM pg_database WHERE datname = current_database()"
        )
        return " ".join(map(str, rows[0]))

    @property
    def reigns_in(self) -> int | None:
        """
        Return the epoch in which the region says that it is the primary; None in a replica, and where the server only
        repeats another one, whose word for itself it has.
        """
        if self.chain.mode != "primary" or self._ask("SELECT pg_is_in_recovery()")[0][0]:
            return None
        return self.chain.epoch

    @property
    def origin(self) -> str:
        """Return the chain's origin."""
        return self.chain.origin

    @property
    def chain_id(self) -> bytes:
        """Return the chain's id."""
        return self.chain.chain_id

    def _ask(self, sql: str, *given: Any) -> list[tuple[Any, ...]]:
        self.requests += 1
        return self.connection.execute(sql.encode(), given).fetchall()

    def size(self) -> int:
        """Return the seq of the last event; 0 where there is none."""
        # A row without a seq is none of the last: it would come first where rows are asked for from the end.
        ((last,),) = self._ask("SELECT max(seq) FROM ledger.events WHERE chain = %s", self.chain.chain)
        return last or 0

    def head(self, size: int) -> list[Finding]:
        """
        Return what is wrong with the head's row where the last event is *size*; of its other columns it is only asked
        whether there is a mode.
        """
        key = (self.origin,)
        if self.chain.mode == "missing":
            return [Finding("HEAD_MISMATCH", "a row", "no such row", table="chain_heads", key=key)]
        wrong = []
        if absent.is_absent(self.chain.mode):
            wrong.append(Finding("HEAD_MISMATCH", " or ".join(MODES), absent.NULL, table="chain_heads", key=key,
                                 column="mode"))  # fmt: skip
        if self.chain.seq > size:
            wrong.append(Finding("TRUNCATED", f"event {self.chain.seq}, which the head names", f"{size} events",
                                 seq=size + 1, column="seq"))  # fmt: skip
        if self.chain.seq < size:
            wrong.append(Finding("HEAD_MISMATCH", str(size), str(self.chain.seq), table="chain_heads", key=key,
                                 column="seq"))  # fmt: skip
        return wrong

    def end(self, size: int) -> list[Finding]:
        """
        Return what says that there are other than *size* events: the head, or tiles and a checkpoint of more. A row
        that says so and that nothing bears out is wrong itself: no event is missed for it.
        """
        found = [*doubled(self, self.chain), *self.head(size)]
        if any(one.kind == "TRUNCATED" for one in found):
            return found
        return [*found, *self.tiles_of_more(size), *self._checkpoints_of_more(size)]

    def tiles_of_more(self, size: int) -> list[Finding]:
        """Return what the last tile of leaves says of events past *size*, and whether it can be one."""
        rows = self._ask(
            "SELECT number, coalesce(octet_length(hashes), -1) FROM ledger.tiles"
            " WHERE chain = %s AND level = 0 AND number IS NOT NULL"
            " ORDER BY chain DESC, level DESC, number DESC LIMIT 1", self.chain.chain,
        )  # fmt: skip
        if not rows:
            return []
        number, length = rows[0]
        key, first = ("0", str(number)), min(size // WIDTH, self.last_tile_of_events() + 1)
        width, rest = divmod(length, HASH_BYTES)
        found = []
        if rest or not 0 < width <= WIDTH:
            actual = "NULL" if length < 0 else f"{length} bytes"
            found.append(Finding("TREE_MISMATCH", f"1 to {WIDTH} hashes of {HASH_BYTES} bytes", actual, table="tiles",
                                 key=key, column="hashes"))  # fmt: skip
            width = 0
        # Tiles are made one after the other: one past a gap holds no leaf of this chain.
        follows, leaves = number <= first or self.is_full(first, number), number * WIDTH + width
        if follows and leaves <= size:
            return found
        if follows and (borne_out := self.borne_out(leaves)) < leaves:
            return [*found, *_not_borne_out(borne_out, leaves)]
        if follows:
            return [*found, Finding("TRUNCATED", f"{leaves} events, which the tiles hold", f"{size} events",
                                    seq=size + 1, column="seq")]  # fmt: skip
        return found or [Finding("TREE_MISMATCH", "no such row", "a row", table="tiles", key=key)]

    def _checkpoints_of_more(self, size: int) -> list[Finding]:
        """Return what the checkpoints say of events past *size*, down to the largest that a key has signed."""
        found: list[Finding] = []
        keys: list[Key] | None = None
        for row in self.newest_checkpoints():
            if row.size <= size:
                break
            keys = keys_that_sign(self) if keys is None else keys
            key = (str(row.size),)
            if counts(row, self.origin, keys):
                found.append(Finding("TRUNCATED", f"{row.size} events, which a checkpoint covers", f"{size} events",
                                     seq=size + 1, table="checkpoints", key=key, column="size"))  # fmt: skip
                break
            found.append(Finding("CHECKPOINT_SIG", "what a key that the events name has signed of as many events",
                                 "another note", table="checkpoints", key=key, column="note"))  # fmt: skip
        return found

    def seq_before(self, seq: int) -> int:
        """Return the seq of the last event before *seq* that there is; 0 where there is none."""
        sql = "SELECT seq FROM ledger.events WHERE chain = %s AND seq BETWEEN 1 AND %s ORDER BY seq DESC LIMIT 1"
        found = self._ask(sql, self.chain.chain, seq - 1)
        return int(found[0][0]) if found else 0

    def seq_from(self, seq: int) -> int | None:
        """Return the seq of the first event from *seq* on that there is, or None."""
        sql = "SELECT seq FROM ledger.events WHERE chain = %s AND seq >= %s ORDER BY seq LIMIT 1"
        found = self._ask(sql, self.chain.chain, seq)
        return int(found[0][0]) if found else None

    def tile_numbers(self) -> Sequence[int]:
        """
        Return the numbers of the tiles that hold any event, in order.
        """
        sql = f"SELECT DISTINCT (seq - 1) / {WIDTH:d} FROM ledger.events WHERE chain = %s AND seq >= 1 ORDER BY 1"
        return array("q", (number for (number,) in self._ask(sql, self.chain.chain)))

    def borne_out(self, leaves: int) -> int:
        """As any reader's."""
        self.requests += 1
        return super().borne_out(leaves)

    def is_full(self, first: int, until: int) -> bool:
        """As any reader's."""
        self.requests += 1
        return super().is_full(first, until)

    def last_tile_of_events(self) -> int:
        """As any reader's."""
        self.requests += 1
        return super().last_tile_of_events()

    def tree_size(self) -> int:
        """Return how many leaves the tiles hold."""
        self.requests += 1
        return super().tree_size()

    def tile_hashes(self, wanted: Iterable[Tile]) -> dict[Tile, bytes]:
        """Return the hashes of each tile that is there."""
        places = list(wanted)
        rows = self._ask(
            "SELECT level, number, coalesce(hashes, '') FROM ledger.tiles"
            " JOIN unnest(%s::smallint[], %s::bigint[]) AS w(at, of) ON level = w.at AND number = w.of"
            " WHERE chain = %s",
            [tile.level for tile in places], [tile.number for tile in places], self.chain.chain,
        )  # fmt: skip
        there = {(level, number): bytes(hashes) for level, number, hashes in rows}
        found = ((tile, cut(there.get((tile.level, tile.number), b""), tile)) for tile in places)
        return {tile: hashes for tile, hashes in found if hashes is not None}

    def between(self, first: int, last: int) -> Iterator[RecordedEvent]:
        """Yield the events from seq *first* to *last*."""
        return self._events("AND seq BETWEEN %s AND %s ORDER BY seq", [first, last])

    def of_stream(self, stream: str) -> Iterator[RecordedEvent]:
        """
        Yield the events of a stream in the order of their versions.
        """
        return self._events("AND stream = %s ORDER BY stream_version, seq", [stream])

    def _events(self, rest: str, given: list[Any]) -> Iterator[RecordedEvent]:
        self.requests += 1
        # One reading may go on while another begins.
        for values in self._event_rows(f"part_{self.requests}", rest, given):
            for name in _OPTIONAL:
                if values[name] == NO_ID:
                    zeros = Finding("BYTES_MODIFIED", "NULL", "zeros", seq=values["seq"], column=name)
                    if zeros not in self.zeros:
                        self.zeros.append(zeros)
                elif values[name] is None:
                    values[name] = NO_ID
            yield self._event(values)

    def keys_between(self, first: int, last: int) -> Iterator[KeyRow]:
        """
        Yield the idempotency keys of groups that begin at seq *first* to *last*, in that order.
        """
        sql = (
            "SELECT source, key, first_seq FROM ledger.idempotency_keys"
            " WHERE chain = %s AND first_seq BETWEEN %s AND %s ORDER BY first_seq"
        )
        for row in self._ask(sql, self.chain.chain, first, last):
            yield absent.row_of(KeyRow, row)

    def newest_checkpoints(self) -> Iterator[CheckpointRow]:
        """
        Yield the checkpoints that the region keeps, the largest first; whoever stops early asks for few of them.
        """
        sql = (
            f"SELECT {CHECKPOINT} FROM ledger.checkpoints WHERE chain = %s AND size < %s"
            f" ORDER BY size DESC LIMIT {AT_ONCE:d}"
        )
        below = 2**63 - 1
        while found := self._ask(sql, self.chain.chain, below):
            for row in found:
                yield absent.row_of(CheckpointRow, row)
            below = found[-1][0]

    def checkpoint_of(self, size: int) -> CheckpointRow | None:
        """
        Return the checkpoint of *size* events that the region keeps, or None.
        """
        sql = f"SELECT {CHECKPOINT} FROM ledger.checkpoints WHERE chain = %s AND size = %s"
        found = self._ask(sql, self.chain.chain, size)
        return absent.row_of(CheckpointRow, found[0]) if found else None

    def near_streams(self, stream: str) -> list[str]:
        """
        Return the names of streams that stand beside a name in the order of the database's index.
        """
        found: list[str] = []
        for before, order in ((False, "ASC"), (True, "DESC")):
            sign, last = "<" if before else ">", stream
            for _ in range(NEAR_STREAMS):
                row = self._ask(
                    f"SELECT stream FROM ledger.events WHERE stream {sign} %s AND chain = %s"
                    f" ORDER BY stream {order} LIMIT 1",
                    last, self.chain.chain,
                )  # fmt: skip
                if not row:
                    break
                last = row[0][0]
                found.append(last)
        return found

    def settings(self) -> dict[str, str]:
        """
        Return the server's settings as they are for this login, by name.
        """
        rows = self._ask("SELECT name, coalesce(setting, '') FROM pg_settings")
        return {**dict(rows), "server_version_num": str(self.connection.info.server_version)}


def _not_borne_out(borne_out: int, leaves: int) -> Iterator[Finding]:
    """Yield what is wrong with tiles of so many *leaves* of which the events bear out fewer."""
    number, last = (borne_out - 1) // WIDTH, (leaves - 1) // WIDTH
    room, held = borne_out - number * WIDTH, min(leaves - number * WIDTH, WIDTH)
    if held > room:
        yield Finding("TREE_MISMATCH", f"{room} hashes", f"{held} of them", table="tiles", key=("0", str(number)))
    if last > number:
        yield Finding("TREE_MISMATCH", "no such row", "a row", table="tiles", key=("0", str(last)))
