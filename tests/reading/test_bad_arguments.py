"""
Ask every read for what cannot be: names, numbers, days and moments of any kind and size end in an answer or a refusal.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ledger import Ledger, Seq
from ledger.domain.rows import TABLES
from ledger.errors import InvalidInput, Rejected, shown
from ledger.journal.reads import Reads
from ledger.queries import Books
from tests.conftest import Database
from tests.domain.mutations import DEEP, HUGE
from tests.domain.test_mutations import LONGEST_MESSAGE
from tests.journal.test_ledger import deposit, fill, order

WILD: tuple[Any, ...] = (
    None, True, 0, -1, 2**63, 10**40, 0.5, float("nan"), "", "A", "a\0b", "\ud800", "ä", HUGE, b"x", [], ["a"],
    ["\ud800"], [-1], [10**40], [None], {"a": 1}, DEEP, object(), int,
)  # fmt: skip
ALIKE = Reads.__name__
"""What a ledger reads as its books do: each read of it opens the books, and asks them."""
NOT_READS = {"close", "append", "append_many", "submit", "register_schemas", "dry_run", "open"}


def _reads(of: object) -> Iterator[Callable[..., Any]]:
    for name, method in inspect.getmembers(of, inspect.ismethod):
        told = name not in NOT_READS and not name.startswith("_") and not method.__qualname__.startswith(f"{ALIKE}.")
        if told and inspect.signature(method).parameters:
            yield method


def _fault(method: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> str | None:
    """Ask, and return what came of it that is no answer and no refusal in words that can be read."""
    try:
        found = method(*given, **named)
        if isinstance(found, Iterator):
            list(found)
    except Rejected as error:
        words = f"{error}"
        return (
            None if error.code and len(words) <= LONGEST_MESSAGE else f"{method.__qualname__}: {len(words)} characters"
        )
    except Exception as error:
        return f"{method.__qualname__}({shown(given)}, {shown(named)}): {error!r:.200}"
    return None


def _questions(method: Callable[..., Any]) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Yield what to ask: everything that is needed made wild, then each thing that may be left out."""
    parameters = inspect.signature(method).parameters.values()
    needed = [x for x in parameters if x.default is x.empty and x.kind is x.POSITIONAL_OR_KEYWORD]
    for wild in WILD:
        if needed:
            yield (wild,) * len(needed), {}
        for parameter in parameters:
            if parameter.default is not parameter.empty:
                yield ("A",) * len(needed), {parameter.name: wild}


def test_a_read_of_anything_is_answered_or_refused(chain: Database) -> None:
    """In the place of all that it needs, and of each thing that may be left out; then it reads on."""
    with Ledger.open(chain.dsn("writer")) as ledger, Books(chain.dsn("reader")) as books:
        fill(ledger)
        asked = [
            _fault(method, given, named)
            for of in (books, ledger)
            for method in _reads(of)
            for given, named in _questions(method)
        ]
        assert [fault for fault in asked if fault is not None] == []
        assert len(asked) > 600
        assert books.balance("A", "USDT").value == ledger.balance("A", "USDT").value


def test_rows_are_found_by_each_of_their_columns_and_by_nothing_else(chain: Database) -> None:
    """What a row has is found by it; what cannot be there, a moment and a column that is none are refused in words."""
    with Ledger.open(chain.dsn("writer")) as ledger, Books(chain.dsn("reader")) as books:
        fill(ledger)
        ledger.append(order("O", qty="2"), key="O")
        ledger.append(deposit("D", "0.5"), key="D")
        found = 0
        for name, spec in TABLES.items():
            rows = books.table(name).value
            for column in spec.columns:
                for value in {getattr(row, column) for row in rows} - {None}:
                    same = [row for row in rows if getattr(row, column) == value]
                    assert books.table(name, **{column: value}).value == same
                    found += len(same)
        assert found > 100
        asked = [
            _fault(books.table, ("orders",), {column: wild})
            for column in (*TABLES["orders"].columns, "at", "1=1) OR (1", 'a"b', "", "\ud800")
            for wild in (*WILD, Seq(3))
        ]
        assert [fault for fault in asked if fault is not None] == []
        for given, words in (
            ({"at": Seq(3)}, "found column 'at'; accounts has account, owner"),
            ({"acount": "A"}, "(did you mean 'account'?)"),
            ({"account": 5}, "found 5 as account of accounts: Expected `str`"),
            ({"account": None}, "leave it out to ask for any"),
        ):  # fmt: skip
            with pytest.raises(InvalidInput) as refused:
                books.table("accounts", **given)
            assert words in str(refused.value)
        with pytest.raises(InvalidInput, match="expected a date"):
            books.table("marks", day="2024-02-30")
        assert books.table("balances", settled=10**60).value == []


def test_a_name_without_end_is_refused_before_anything_is_asked(chain: Database) -> None:
    with Books(chain.dsn("reader")) as books:
        for ask in (books.history, books.stream, books.balances, books.order):
            with pytest.raises(InvalidInput, match="expected 1 to 300 printable ASCII characters"):
                ask("x" * 301)
