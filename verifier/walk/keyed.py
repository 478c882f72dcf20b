"""
Hold idempotency keys against the groups that used them: two streams that have to be the same, byte for byte.

Every group has one key and every key one group, in the order of seqs. Where they are the same nothing is left to be
said; where not, `verifier.keys` says what is wrong.
"""

from __future__ import annotations

import contextlib
from itertools import zip_longest
from typing import Final

import msgspec
import psycopg

from verifier.connection import open_connection, read_by_no_index
from verifier.stored import unanswered
from verifier.walk import rows

_GROUPS: Final = (
    "SELECT source, idempotency_key, seq FROM ledger.events WHERE chain = {0:d} AND group_index = 0 ORDER BY seq"
)
_KEYS: Final = "SELECT source, key, first_seq FROM ledger.idempotency_keys WHERE chain = {0:d} ORDER BY first_seq"


class Task(msgspec.Struct, frozen=True):
    """
    A chain whose keys are to be checked, and where it is.
    """

    dsn: str
    snapshot: str | None
    chain: int


def check(task: Task) -> bool:
    """
    Return whether the keys are those that the groups used.

    Raises:
        Unreadable: the database cannot be read.
    """
    try:
        with (
            open_connection(task.dsn, task.snapshot) as one,
            open_connection(task.dsn, task.snapshot) as other,
        ):
            read_by_no_index(other)
            with (
                contextlib.closing(rows.stream(one, _GROUPS.format(task.chain))) as groups,
                contextlib.closing(rows.stream(other, _KEYS.format(task.chain))) as keys,
            ):
                return all(group == key for group, key in zip_longest(map(bytes, groups), map(bytes, keys)))
    except psycopg.Error as error:
        raise unanswered(error) from error
