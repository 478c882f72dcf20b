"""
Keep the tiles of the tree over a chain's events, and the checkpoints that were signed of it.

Both grow at their end alone, and a guard holds them to it: the last tile of each level fills from left to right, a
checkpoint gathers cosignatures. Tiles follow from the events and can be made anew from them; a checkpoint cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from ledger.evidence import tiles, tree
from ledger.evidence.tiles import HEIGHT, WIDTH, Tile
from ledger.evidence.tree import HASH_BYTES, Node, ReadNodes
from ledger.storage.database import Connection

_TILE: Final = (
    "SELECT hashes FROM ledger.tiles WHERE chain = %s::smallint AND level = %s::smallint AND number = %s::bigint"
)
_LOCK: Final = 0x73656C  # "sel"


class Sealed(msgspec.Struct, frozen=True):
    """
    A checkpoint as the region keeps it: how many events, their root, the signed note and when it was sealed (ns).
    """

    size: int
    root: bytes
    note: bytes
    sealed_at: int


class Holder(msgspec.Struct, frozen=True):
    """
    Who keeps a chain's tree from being grown: the process of a session, its login, and whether that may grow it at all.
    """

    process: int
    login: str
    may_seal: bool


def lock(connection: Connection, chain: int) -> Holder | None:
    """
    Keep every other process from growing the chain's tree for as long as *connection* is open; return who does so
    already, if somebody does.
    """
    # Anybody may take a lock of a number. A row's needs a right, and would keep old rows of every table from being
    # vacuumed away for as long as somebody seals.
    while connection.execute("SELECT pg_try_advisory_lock(%s, %s)", [_LOCK, chain]).fetchone() != (True,):
        row = connection.execute(
            "SELECT l.pid, coalesce(a.usename, ''), coalesce(pg_has_role(a.usesysid, 'ledger_sealer', 'MEMBER'), false)"
            " FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted"
            " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND (l.classid::bigint, l.objid::bigint, l.objsubid) = (%s, %s, 2)",
            [_LOCK, chain],
        ).fetchone()
        if row is not None:
            return Holder(*row)
    return None


def tree_sizes(connection: Connection, chain: int) -> list[int]:
    """
    Return how many hashes the tiles of each level hold by the last of them, that of the leaves first.
    """
    found = connection.execute(
        "SELECT (SELECT number * 256 + octet_length(hashes) / 32 FROM ledger.tiles WHERE chain = %s AND level = l"
        " ORDER BY chain DESC, level DESC, number DESC LIMIT 1) FROM generate_series(0, %s) l ORDER BY l",
        [chain, tiles.LEVELS - 1],
    )
    return [int(row[0] or 0) for row in found]


def leaves_in_row(connection: Connection, chain: int) -> int:
    """
    Return how many leaves the tiles hold that follow each other from the first on, each but the last of them full.
    """
    found = connection.execute(
        "SELECT max(number * 256 + width) FROM (SELECT number, width, dense_rank() OVER (ORDER BY number) - 1 AS place,"
        " bool_and(width = 256) OVER (ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS is_full"
        " FROM (SELECT number, octet_length(hashes) / 32 AS width FROM ledger.tiles"
        "  WHERE chain = %s AND level = 0 AND number >= 0) t) t WHERE number = place AND is_full IS NOT FALSE",
        [chain],
    ).fetchone()
    return 0 if found is None else int(found[0] or 0)


def read_tiles(connection: Connection, chain: int, places: Iterable[Tile]) -> dict[Tile, bytes]:
    """
    Return the hashes of each tile that is there: of a wider one, as many as the tile asked for has.
    """
    wanted = list(places)
    found = connection.execute(
        "SELECT level, number, coalesce(hashes, '') FROM ledger.tiles"
        " JOIN unnest(%s::smallint[], %s::bigint[]) AS w(l, n) ON level = w.l AND number = w.n WHERE chain = %s",
        [[tile.level for tile in wanted], [tile.number for tile in wanted], chain],
    )
    there = {(level, number): bytes(hashes) for level, number, hashes in found}
    whole = ((tile, there.get((tile.level, tile.number), b"")[: tile.width * HASH_BYTES]) for tile in wanted)
    return {tile: hashes for tile, hashes in whole if len(hashes) == tile.width * HASH_BYTES}


def read_tile(connection: Connection, chain: int, place: Tile) -> bytes | None:
    """
    Return the hashes of one tile, or of the wider one that it has grown to; None where there is none.
    """
    with connection.cursor(binary=True) as cursor:
        row = cursor.execute(_TILE, [chain, place.level, place.number], prepare=True).fetchone()
    return None if row is None else row[0]


def nodes(connection: Connection, chain: int, size: int) -> ReadNodes:
    """
    Return what reads complete subtrees of the tree of *size* leaves from the tiles, in one statement a call.

    It raises KeyError where the tiles do not reach so far.
    """

    def read(wanted: Sequence[Node]) -> list[bytes]:
        places = [tiles.tile_with(node, size) for node in wanted]
        found = read_tiles(connection, chain, set(places))
        return [
            tiles.hash_in(tile, tiles.decode_tile(tile, found[tile]), node)
            for tile, node in zip(places, wanted, strict=True)
        ]

    return read


def grow(
    connection: Connection, chain: int, size: int, rows: Sequence[Sequence[bytes]], place: str = "ledger.tiles"
) -> None:
    """
    Add to the tiles in *place* of a tree of *size* leaves the next hashes of each level, the leaves first.
    """
    level_column, numbers, hashes = [], [], []
    for level, added in enumerate(rows):
        before = size >> HEIGHT * level
        taken = 0
        while taken < len(added):
            number, offset = divmod(before + taken, WIDTH)
            part = added[taken : taken + WIDTH - offset]
            level_column.append(level)
            numbers.append(number)
            hashes.append(b"".join(part))
            taken += len(part)
    # A tile that is there already has the hashes before these, and no others: its number and the size say so.
    connection.execute(
        f"INSERT INTO {place} AS t SELECT %s, * FROM unnest(%s::smallint[], %s::bigint[], %s::bytea[])"
        " ON CONFLICT (chain, level, number) DO UPDATE SET hashes = t.hashes || excluded.hashes",
        [chain, level_column, numbers, hashes],
    )


_COLUMNS = "size, coalesce(root, ''), convert_to(coalesce(note, ''), 'UTF8'), coalesce(sealed_at, 0)"
READ_AT_ONCE: Final = 1_000
"""A checkpoint has less than a kilobyte for each who has signed it."""


def _sealed(row: tuple[object, ...] | None) -> Sealed | None:
    return None if row is None else Sealed(*row)  # type: ignore[arg-type]


def newest(connection: Connection, chain: int) -> Sealed | None:
    """
    Return the largest checkpoint that the region keeps, whatever stands there, or nothing.
    """
    return next(largest_first(connection, chain), None)


def largest_first(connection: Connection, chain: int, least: int = 0) -> Iterator[Sealed]:
    """
    Yield the checkpoints of at least *least* events that the region keeps, the largest first, whatever stands there.

    So many are read at once as are asked for: one at first, and twice as many each time, up to `READ_AT_ONCE`.
    """
    upto, count = tree.SIZE_LIMIT - 1, 1
    while True:
        found = connection.execute(
            f"SELECT {_COLUMNS} FROM ledger.checkpoints WHERE chain = %s AND size BETWEEN %s AND %s"
            " ORDER BY chain DESC, size DESC LIMIT %s",
            [chain, least, upto, count],
        ).fetchall()
        for row in found:
            yield Sealed(*row)
        if len(found) < count:
            return
        upto, count = found[-1][0] - 1, min(count * 2, READ_AT_ONCE)


def covering(connection: Connection, chain: int, size: int) -> Sealed | None:
    """
    Return the smallest checkpoint of at least *size* events, or nothing.
    """
    return _sealed(
        connection.execute(
            f"SELECT {_COLUMNS} FROM ledger.checkpoints WHERE chain = %s AND size >= %s ORDER BY chain, size LIMIT 1",
            [chain, size],
        ).fetchone()
    )


def put(connection: Connection, chain: int, sealed: Sealed) -> None:
    """
    Keep a checkpoint, or what signatures one that is kept has gathered since.
    """
    connection.execute(
        "INSERT INTO ledger.checkpoints (chain, size, root, note, sealed_at) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (chain, size) DO UPDATE SET note = excluded.note",
        [chain, sealed.size, sealed.root, sealed.note.decode(), sealed.sealed_at],
    )
