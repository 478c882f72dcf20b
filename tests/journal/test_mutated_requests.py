"""
Give a real ledger requests with something changed in them, and in what goes with them: each ends in an answer or a
refusal, and a refusal leaves database and memory as they were.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import Ledger
from ledger.domain import fold
from ledger.errors import Rejected
from ledger.journal.chain_creation import create_chain
from ledger.sandbox.postgres import Server
from tests.conftest import ORIGIN, Database, copy_database
from tests.domain.mutations import HUGE, WILD, Mutation, mutations
from tests.domain.test_any_values import likely
from tests.domain.test_mutations import check_refusal
from tests.journal.test_ledger import check_whole, fee

# A text of ten megabytes is an example too.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

_NUMBERS = itertools.count()
STREAMS = st.sampled_from(["account/A", "order/\ud800", "", "\0", "é", HUGE, 7])
EXPECTED = st.dictionaries(STREAMS, st.sampled_from([0, 1, -1, 2**63, 2**64, True, "1"]), min_size=1, max_size=2)
AROUND = st.fixed_dictionaries({}, optional={
    "key": WILD, "actor": WILD, "occurred_at": WILD, "expected": WILD | EXPECTED, "correlation_id": WILD,
    "causation_id": WILD,
})  # fmt: skip
"""What goes with a request."""


@pytest.fixture(scope="module")
def mutated(pg_server: Server, migrated: str) -> Iterator[Database]:
    """One chain for all examples: what one of them leaves is what the next begins with."""
    database = Database(pg_server, "mutated")
    copy_database(pg_server, database.name, migrated)
    create_chain(database.dsn("owner"), ORIGIN, (), [("writer", "engine")])
    yield database
    pg_server.sql(f"DROP DATABASE {database.name} WITH (FORCE)")


@pytest.fixture(scope="module")
def ledger(mutated: Database) -> Iterator[Ledger]:
    with Ledger.open(mutated.dsn("writer")) as opened:
        for n, outcome in enumerate(likely().stored):
            opened.append(fold.registry.decode_given(outcome.event_type, 1, outcome.given), key=f"setup-{n}")
        yield opened


def asked(ledger: Ledger, events: Any, **around: Any) -> None:
    """Append; where that is refused, see that the head is where it was."""
    before = ledger.head()
    around.setdefault("key", f"mutated-{next(_NUMBERS)}")
    try:
        ledger.append(events, **around)
    except Rejected as error:
        check_refusal(error)
        assert ledger.head() == before


@settings(max_examples=200, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(made=st.lists(mutations(), min_size=1, max_size=3), around=AROUND)
def test_a_changed_request_is_refused_or_answered_by_a_real_ledger(
    ledger: Ledger, made: list[Mutation], around: dict[str, Any]
) -> None:
    """Alone with whatever goes with it, in a group with others, and good ones after it are taken."""
    events = []
    for mutation in made:
        try:
            events.append(mutation.build())
        except Rejected as error:
            check_refusal(error)
    if events:
        asked(ledger, events[0], **around)
        asked(ledger, events)
    asked(ledger, fee(f"between-{next(_NUMBERS)}"), **around)
    ledger.append(fee(f"good-{next(_NUMBERS)}", "0.00000001"), key=f"good-{next(_NUMBERS)}")


NO_EVENTS: dict[str, Any] = {
    "none": None, "an integer": 5, "a float": 0.5, "a long text": HUGE, "bytes": b"x", "an object": object(),
    "nothing": (), "a list of none": [None], "a mapping": {"a": 1}, "a list of lists": [[]], "a name": "OrderPlaced",
}  # fmt: skip


@pytest.mark.parametrize("wild", NO_EVENTS.values(), ids=NO_EVENTS)
def test_what_is_no_event_is_refused(ledger: Ledger, wild: Any) -> None:
    """Anything in the place of the events, of which ten million characters are shown in few."""
    before = ledger.head()
    with pytest.raises(Rejected) as refused:
        ledger.append(wild, key="no-event")
    check_refusal(refused.value)
    assert ledger.head() == before


def test_afterwards_memory_is_the_store_and_the_chain_is_whole(mutated: Database, ledger: Ledger) -> None:
    """Replay, rows, digest and head agree, and what the writer has in memory is what is stored."""
    for n in range(20):
        ledger.append(fee(f"last-{n}", "0.00000001"), key=f"last-{n}")
    assert check_whole(mutated, ledger) > 20
