"""
Time one inclusion proof in a tree of any size, beside the select of one row.

The tree is made up: its leaves are hashes of numbers, its tiles are written as the process that seals writes them. A
proof reads nothing else, so a chain of ten million events need not be appended to know what one costs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from hashlib import sha256

import psycopg

from benchmarks.long_chain import Growth, by_turns, one_row
from benchmarks.measures import Pair, database
from benchmarks.progress import stage
from ledger.evidence import tiles
from ledger.evidence.tiles import WIDTH
from ledger.evidence.tree import Frontier
from ledger.queries import Books
from ledger.sandbox.postgres import Server
from ledger.storage import evidence
from ledger.storage.evidence import Sealed

CHUNK = 1 << 16
"""Leaves that are written at once: one whole tile of level 1."""

SELECT = "SELECT seq FROM ledger.chain_heads WHERE chain = 1"


def _leaf(index: int) -> bytes:
    return sha256(b"%d" % index).digest()


def _chunks(size: int) -> Iterator[tuple[int, list[bytes]]]:
    for start in range(0, size, CHUNK):
        yield start, [_leaf(index) for index in range(start, min(size, start + CHUNK))]


def grow(dsn: str, size: int) -> Sealed:
    """
    Write the tiles of a made-up tree of *size* leaves, and return what a checkpoint of it would say.
    """
    edge, upper = Frontier(), []
    with psycopg.connect(dsn, autocommit=True) as connection, stage("growing a tree", size) as told:
        for start, leaves in _chunks(size):
            row = [
                tiles.subtree_hash(leaves[place : place + WIDTH]) for place in range(0, len(leaves) - WIDTH + 1, WIDTH)
            ]
            whole = [tiles.subtree_hash(row)] if len(row) == WIDTH else []
            evidence.grow(connection, 1, start, [leaves, row, whole])
            for hash in row:
                edge.add_complete(8, hash)
            for leaf in leaves[len(row) * WIDTH :]:
                edge.add(leaf)
            upper += whole
            told(start + len(leaves))
        for level in range(3, tiles.LEVELS):
            full = range(0, len(upper) - WIDTH + 1, WIDTH)
            upper = [tiles.subtree_hash(upper[place : place + WIDTH]) for place in full]
            evidence.grow(connection, 1, 0, [*([[]] * level), upper])
    return Sealed(size, edge.root(), b"", 0)


def measure(server: Server, growth: Growth, seed: int) -> list[Pair]:
    """
    Return the median times (ms) of a proof of a random leaf and of a select, round by round.
    """
    random_ = random.Random(seed)
    with database(server) as name:
        sealed = grow(server.dsn("sealer", name), growth.events)
        server.sql("VACUUM ANALYZE ledger.tiles", name)
        with Books(server.dsn("reader", name)) as books:

            def prove() -> object:
                index = random_.randrange(growth.events)
                return books.inclusion(index, sealed, _leaf(index))

            # Reading all leaves once brings them into memory, where they fit, as the select's row is.
            for start in range(0, growth.events, WIDTH):
                books.inclusion(start, sealed, _leaf(start))
            return by_turns("prove.p50_ms", growth, prove, one_row(books, SELECT)).pairs
