"""
Read a ledger's database: all of it at one moment, with code of the verifier's own.

The ledger's storage code is not used on purpose: a fault in how it reads would hide itself. What no ledger could have
written (a NULL, an infinite date, a number that is none) is read as something that no hash and no rule will confirm,
so that it ends as a finding, which shows it as what it is (`verifier.absent`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ledger.chain.entry import encode
from ledger.evidence import tree
from ledger.evidence.tiles import WIDTH
from ledger.evidence.tree import HASH_BYTES, SIZE_LIMIT
from verifier import absent
from verifier.conviction import hashes_to
from verifier.event_rows import EventRows
from verifier.model_rows import ModelRows
from verifier.stored import AcknowledgementRow, CheckpointRow

FETCH_TILES = 16
LAST_TILE: Final = SIZE_LIMIT // WIDTH - 2
"""Beyond it PostgreSQL cannot count leaves; a row may say any number."""
CHECKPOINT: Final = "size, root, convert_to(note, 'UTF8'), sealed_at"
"""The columns of a `CheckpointRow`."""
REPAIRS_LISTED: Final = 100
"""So many reasons for repairs are listed, the newest first."""


class Reader(EventRows, ModelRows):
    """
    One chain at one moment: its events, its read models, and what stands around them.
    """

    def rows_of_chain(self, origin: str) -> int:
        """
        Return how many rows of `chains` say this origin or have the chain's number, whichever are more.
        """
        found = self.every(
            "SELECT greatest(count(*) FILTER (WHERE origin = %s), count(*) FILTER (WHERE chain = %s))"
            " FROM ledger.chains",
            origin, self.chain.chain,
        )  # fmt: skip
        return int(found[0][0])

    def heads(self) -> int:
        """
        Return how many rows of `chain_heads` the chain has.
        """
        found = self.every("SELECT count(*) FROM ledger.chain_heads WHERE chain = %s", self.chain.chain)
        return int(found[0][0])

    def acknowledgements(self) -> list[AcknowledgementRow]:
        """
        Return what each replica acknowledged last.
        """
        found = self.every(
            "SELECT replica, epoch, seq, hash, state_digest, applied_at, received_at, signature"
            " FROM ledger.acknowledgements WHERE chain = %s ORDER BY replica", self.chain.chain,
        )  # fmt: skip
        return [absent.row_of(AcknowledgementRow, row) for row in found]

    def tree_size(self) -> int:
        """
        Return how many leaves the tiles hold by the last of level 0 that can be one.

        Tiles are made one after the other: one far past the events, behind a gap, holds no leaf of this chain. Nor does
        what follows a leaf that is of another event than there is.
        """
        reach = self.last_tile_of_events()
        last = self._leaves(reach)
        onward = self._leaves(LAST_TILE)
        return self.borne_out(onward if onward > last and self.is_full(reach, (onward - 1) // WIDTH) else last)

    def borne_out(self, leaves: int) -> int:
        """
        Return how many of so many *leaves* in the tiles may be of this chain: all of them, unless the last event below
        them has another leaf there, and then as many as up to that event.

        An event whose hash is not that of its columns denies nothing: the one before it is asked, in the same tile.
        """
        row = self.connection.execute(
            "SELECT max(seq) FROM ledger.events WHERE chain = %s AND seq BETWEEN 1 AND %s", [self.chain.chain, leaves]
        ).fetchone()
        last = None if row is None else row[0]
        if last in (None, leaves):
            return leaves
        number = (int(last) - 1) // WIDTH
        for event in reversed(list(self.events_at(range(number * WIDTH + 1, int(last) + 1)))):
            if hashes_to(event, event.hash):
                is_its = self._leaf(event.seq) == tree.leaf_hash(encode(event))
                return leaves if is_its else event.seq
        return leaves

    def _leaf(self, seq: int) -> bytes:
        """Return what the tiles have as the leaf of an event; nothing where they have none."""
        number, place = divmod(seq - 1, WIDTH)
        row = self.connection.execute(
            "SELECT substring(hashes FROM %s FOR %s) FROM ledger.tiles WHERE chain = %s AND level = 0 AND number = %s",
            [place * HASH_BYTES + 1, HASH_BYTES, self.chain.chain, number],
        ).fetchone()
        return b"" if row is None or row[0] is None else bytes(row[0])

    def last_tile_of_events(self) -> int:
        """
        Return the number of the last tile of level 0 of whose leaves at least half have their event; 0 where none is.

        How far the events go is not asked of the last one: a single event may stand far behind the others.
        """
        row = self.connection.execute(
            "SELECT number FROM ledger.tiles t WHERE chain = %s AND level = 0 AND number BETWEEN 0 AND %s"
            " AND octet_length(hashes) >= 32 AND octet_length(hashes) / 32 <= 2 * (SELECT count(*) FROM ledger.events e"
            "  WHERE e.chain = t.chain AND e.seq > t.number * 256"
            "  AND e.seq <= t.number * 256 + octet_length(t.hashes) / 32)"
            " ORDER BY chain DESC, level DESC, number DESC LIMIT 1",
            [self.chain.chain, LAST_TILE],
        ).fetchone()
        return 0 if row is None else int(row[0])

    def is_full(self, first: int, until: int) -> bool:
        """
        Return whether each tile of leaves from the number *first* on is there and full, up to that before *until*.
        """
        found = self.connection.execute(
            "SELECT count(DISTINCT number) FROM ledger.tiles WHERE chain = %s AND level = 0 AND number >= %s"
            " AND number < %s AND octet_length(hashes) = %s",
            [self.chain.chain, first, until, WIDTH * HASH_BYTES],
        ).fetchall()
        return bool(found[0][0] == until - first)

    def _leaves(self, upto: int) -> int:
        """Return how many leaves there are by the last tile with this number or a smaller one."""
        row = self.connection.execute(
            "SELECT number * 256 + coalesce(octet_length(hashes), 0) / 32 FROM ledger.tiles"
            " WHERE chain = %s AND level = 0 AND number <= %s ORDER BY chain DESC, level DESC, number DESC LIMIT 1",
            [self.chain.chain, upto],
        ).fetchone()
        return 0 if row is None else int(row[0])

    def tiles(self, level: int, first: int | None = None) -> Iterator[tuple[int, bytes]]:
        """
        Yield (number, hashes) of every tile of a level, in order, from the *first* on where that is given.
        """
        onward = "" if first is None else f" AND number >= {int(first)}"
        sql = (
            f"SELECT number, hashes FROM ledger.tiles WHERE chain = %s AND level = {int(level)}{onward} ORDER BY number"
        )
        # A tile is 8 KiB, so few of them at once.
        for row in self.stream(f"tiles_{level}", sql, rows=FETCH_TILES):
            yield absent.number(row[0]), absent.data(row[1])

    def checkpoints(self, name: str) -> Iterator[CheckpointRow]:
        """
        Yield every checkpoint, in order of size; *name* tells this reading from others that go on at the same time.
        """
        sql = f"SELECT {CHECKPOINT} FROM ledger.checkpoints WHERE chain = %s ORDER BY size"
        for row in self.stream_every(f"checkpoints_{name}", sql):
            yield absent.row_of(CheckpointRow, row)

    def checkpoints_above(self, name: str, size: int | None) -> Iterator[CheckpointRow]:
        """
        Yield the checkpoints of more than *size* events, or of any, in order, as their key has them; whoever stops
        early has read few.
        """
        onward = "" if size is None else f" AND size > {int(size)}"
        sql = f"SELECT {CHECKPOINT} FROM ledger.checkpoints WHERE chain = %s{onward} ORDER BY size"
        for row in self.stream(f"checkpoints_{name}", sql):
            yield absent.row_of(CheckpointRow, row)

    def checkpoints_down(self, name: str, upto: int, above: int, rows: int) -> Iterator[CheckpointRow]:
        """
        Yield the checkpoints of *upto* events or fewer and more than *above*, the largest first; whoever stops early
        has read few.
        """
        sql = (
            f"SELECT {CHECKPOINT} FROM ledger.checkpoints WHERE chain = %s AND size <= %s AND size > %s"
            " ORDER BY size DESC"
        )
        for row in self.stream(name, sql, upto, above, rows=rows):
            yield absent.row_of(CheckpointRow, row)

    def positions(self) -> list[tuple[str, str, int]]:
        """
        Return (topic, topic id, next offset) of the chain's rows in replica_state: one in a replica, else none.
        """
        return self.every(
            "SELECT coalesce(topic, 'NULL'), topic_id, next_offset FROM ledger.replica_state WHERE chain = %s",
            self.chain.chain,
        )

    def vouched(self) -> list[str]:
        """
        Return, as sentences, what the database says of itself and nothing else can confirm.
        """
        said = [f"the region is {self.chain.mode}"]
        for login, source in self.every("SELECT login, source FROM ledger.source_logins ORDER BY 1, 2"):
            said.append(f"login {login} may write for source {source}")
        for topic, topic_id, offset in self.positions():
            said.append(f"topic {topic}, whose id is {topic_id}, was read up to offset {offset}")
        repairs = self.every(
            "SELECT min(change), max(change), count(*), changed_by, reason FROM ledger.history_changes"
            " GROUP BY changed_by, reason ORDER BY 2 DESC"
        )
        for first, last, count, by, reason in repairs[:REPAIRS_LISTED]:
            which = f"repair {first} was" if count == 1 else f"{count} repairs, {first} to {last}, were"
            said.append(f"{which} made by {by}: {reason}")
        if len(repairs) > REPAIRS_LISTED:
            said.append(f"{len(repairs) - REPAIRS_LISTED} older reasons for repairs are in history_changes")
        for row in self.query("SELECT rolname FROM pg_roles WHERE rolsuper ORDER BY 1"):
            said.append(f"role {row[0]} is a superuser, whom no guard of the database stops")
        # Shown by whom they can become; a superuser counts as a member of every role.
        for row in self.query(
            "SELECT r.rolname, string_agg(s.rolname, ' and ' ORDER BY s.rolname) FROM pg_roles r JOIN pg_roles s"
            " ON s.rolsuper AND pg_has_role(r.oid, s.oid, 'MEMBER') WHERE NOT r.rolsuper GROUP BY r.rolname ORDER BY 1"
        ):
            said.append(f"role {row[0]} may become {row[1]}, a superuser")
        for relation, space in self.query(
            "SELECT c.relname, s.spcname FROM pg_class c JOIN pg_tablespace s ON s.oid = c.reltablespace"
            " WHERE c.relnamespace = to_regnamespace('ledger') ORDER BY 1"
        ):
            said.append(f"{relation} is on the disk of tablespace {space}, and not where the database is")
        return said
