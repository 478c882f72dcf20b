"""
Read the leaves of a chain's tree at the speed of the walk, where the chain is good.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import psycopg

from verifier.connection import open_connection
from verifier.reader import Reader
from verifier.stored import ChainRow, unanswered
from verifier.walk import layout, rows
from verifier.walk.replaying import Doubt


def read(reader: Reader, chain: ChainRow, first: int = 1) -> Iterator[tuple[int, int, bytes]]:
    """
    Yield (seq, recorded at, leaf) of every event from the *first* on, in order.

    Raises:
        Doubt: an event does not fit itself.
        Unreadable: the database cannot be read.
    """
    absent = os.urandom(16)
    try:
        with open_connection(reader.dsn, reader.snapshot()) as connection:
            reading = rows.Reading(connection)
            with contextlib.closing(reading.rows(chain.chain, first, chain.seq, absent)) as found:
                for some in found:
                    parsed = layout.parse(some, chain.chain_id, absent)
                    run = None
                    if parsed is not None:
                        run = layout.check(parsed, reading.ahead, leaves=True)
                    if parsed is None or run is None:
                        raise Doubt
                    fixed = parsed.fixed
                    yield from zip(fixed["seq"].tolist(), fixed["recorded_at"].tolist(), run.leaves, strict=True)
    except psycopg.Error as error:
        raise unanswered(error) from error
