"""
Give the fold valid requests with something changed in them: each ends as an answer with a code, and changes nothing if
it is refused.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings

from ledger.domain import event_catalogue, registry
from ledger.domain.events.fields import Event
from ledger.domain.fold import DuplicateFact
from ledger.domain.rows import TABLES
from ledger.errors import Rejected
from tests.domain.books import Books, check_invariants
from tests.domain.mutations import DEEP, HUGE, Mutation, mutations, texts
from tests.domain.test_any_values import likely

# A text of ten megabytes is an example too.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

LONGEST_MESSAGE = 2000
"""Characters of a refusal that somebody can still read; what is refused may have ten million."""


def rows_of(books: Books) -> dict[str, dict[Any, Any]]:
    """Return every row of every read model."""
    return {name: dict(books.state.table(name).rows) for name in TABLES}


def check_refusal(error: Rejected) -> None:
    assert error.code
    assert error.exit_status in (7, 8)
    assert 0 < len(str(error)) <= LONGEST_MESSAGE


def check_given(books: Books, event: Event) -> None:
    """Give *event*: it is recorded, quarantined, or refused with the books as they were."""
    before = rows_of(books)
    try:
        books.give(event)
    except Rejected as error:
        check_refusal(error)
        assert rows_of(books) == before
    except DuplicateFact:
        assert rows_of(books) == before
    else:
        books.replayed()
    check_invariants(books.state)


UNSHOWABLE = (10**5000, DEEP, HUGE, b"x" * 10_000_000, {"a": DEEP}, Decimal("1E+1000000"), [10**5000] * 3, ("\ud800",))


@pytest.mark.parametrize("name", sorted(registry.EVENT_TYPES))
def test_no_field_of_any_type_fails_on_a_value_that_cannot_be_shown(name: str) -> None:
    """Of too many digits, nested too deep, of ten million characters: refused in words that can be read, or taken."""
    event = event_catalogue.example(registry.EVENT_TYPES[name])
    fields = {field: getattr(event, field) for field in event.__struct_fields__}
    refused = 0
    for field in fields:
        for value in UNSHOWABLE:
            try:
                type(event)(**{**fields, field: value})
            except Rejected as error:
                check_refusal(error)
                refused += 1
    # A text may have ten million characters until it is to be recorded.
    assert refused >= len(fields) * (len(UNSHOWABLE) - 1)


@settings(max_examples=800, deadline=None, print_blob=True)
@given(mutations())
def test_a_changed_request_ends_in_a_refusal_or_an_answer(mutation: Mutation) -> None:
    """Whatever its fields are made, it is refused as it is built or given, and nothing is changed by a refusal."""
    try:
        event = mutation.build()
    except Rejected as error:
        check_refusal(error)
        return
    check_given(likely(), event)


@settings(max_examples=400, deadline=None, print_blob=True)
@given(texts())
def test_changed_bytes_end_in_a_refusal_or_an_answer(made: tuple[str, bytes]) -> None:
    """Whatever JSON comes under the name of an event type, of any depth and size."""
    name, text = made
    try:
        event = registry.decode_given(name, 1, text)
    except Rejected as error:
        check_refusal(error)
        return
    check_given(likely(), event)
