"""
Check what stands for a value that no ledger could have written: it shows what the database has, wherever it goes.
"""

from __future__ import annotations

import pickle

import pytest

from verifier import absent
from verifier.absent import NOT_FINITE, NoBytes, NoNumber, NoText
from verifier.sealed import of_row
from verifier.stored import AcknowledgementRow, ChainRow, CheckpointRow, CommitRow, KeyRow

NONE = [NoNumber(absent.NULL), NoText("\0"), NoBytes()]


@pytest.mark.parametrize("value", NONE)
def test_what_stands_for_nothing_says_so(value: object) -> None:
    """Also after it was handed to another process, and beside nothing itself."""
    handed = pickle.loads(pickle.dumps(value))
    for one in (value, handed, None):
        assert absent.shown(one) == "NULL"
    assert absent.is_absent(value)
    assert absent.is_absent(handed)
    assert not absent.is_absent(None)


def test_what_is_there_stays_what_it_is() -> None:
    assert [absent.shown(value) for value in (-1, "", b"", b"\x0f", "None")] == ["-1", "", "", "0f", "None"]
    assert not any(absent.is_absent(value) for value in (-1, "\0", b""))
    assert (absent.number(-1), absent.data(b"x")) == (-1, b"x")
    row = KeyRow("engine", "K", 7)
    assert absent.row_of(KeyRow, ("engine", "K", 7)) == row


def test_a_number_says_what_stands_where_none_does() -> None:
    """It is less than any that can be, for whoever counts with it."""
    assert (str(NoNumber(NOT_FINITE)), NoNumber(NOT_FINITE) < 0) == ("not finite", True)
    assert absent.shown(absent.instead(CommitRow, "first_seq", "12")) == "12, of another type"
    assert (absent.plain(NoNumber(absent.NULL)), absent.plain(NoText("\0")), absent.plain(NoBytes())) == (
        -1, "NULL", "NULL",
    )  # fmt: skip


@pytest.mark.parametrize("kind", [AcknowledgementRow, CheckpointRow, CommitRow, KeyRow])
def test_every_field_of_a_row_may_be_missing(
    kind: type[AcknowledgementRow | CheckpointRow | CommitRow | KeyRow],
) -> None:
    made = absent.row_of(kind, [None] * len(kind.__struct_fields__))
    assert {absent.shown(getattr(made, name)) for name in kind.__struct_fields__} == {"NULL"}
    assert all(absent.is_absent(getattr(made, name)) for name in kind.__struct_fields__)


def test_what_may_be_missing_stays_nothing() -> None:
    made = absent.row_of(ChainRow, (1, bytes(16), "o", 1, bytes(32), 1, bytes(32), 1, 1, None, None))
    assert (made.unbalanced, str(made.mode)) == (None, "NULL")


def test_a_checkpoint_without_a_size_is_named_by_its_key_alone() -> None:
    """It is no event's."""
    row = absent.row_of(CheckpointRow, (None, bytes(32), b"note", 1))
    found = of_row(row, "size", "1 or more, each once", str(row.size))
    assert (found.seq, found.key, found.actual) == (None, ("NULL",), "NULL")
