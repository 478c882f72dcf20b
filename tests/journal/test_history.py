"""
Hold the judge of histories to known good and bad ones: it must pass the first and name what is wrong with the second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ledger import Ledger, LedgerError, Receipt
from ledger.chain.entry import RecordedEvent
from ledger.domain.events.fields import Event
from tests.conftest import Database
from tests.journal.history import OPEN, Call, Judge
from tests.journal.test_ledger import deposit, fee, fill, order, trade

Made = tuple[list[RecordedEvent], list[Call], int]


class Client:
    """One client whose calls do not overlap: call n lasts from 10 n to 10 n + 5."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.calls: list[Call] = []

    def append(self, *events: Event, key: str, expected: dict[str, int] | None = None) -> None:
        told: Receipt | str
        try:
            told = self.ledger.append(list(events), key=key, expected=expected)
        except LedgerError as error:
            told = error.code
        self._note("append", key, events, expected or {}, told)

    def lookup(self, key: str) -> None:
        self._note("lookup", key, (), {}, self.ledger.lookup(key) or "absent")

    def _note(self, kind: Any, key: str, events: tuple[Event, ...], expected: dict[str, int], told: Any) -> None:
        at = 10.0 * len(self.calls)
        self.calls.append(Call(kind, key, events, expected, at, at + 5, told))


@pytest.fixture
def made(chain: Database) -> Made:
    """Return a real history with every kind of answer; its calls are numbered in the comments."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        setup = ledger.head().seq
        client = Client(ledger)
        client.append(fee("a", "60000"), key="a")  # 0: recorded
        client.append(fee("b", "60000"), key="b")  # 1: insufficient_funds
        client.append(deposit("d", "30000"), key="d")  # 2: recorded
        client.append(fee("b", "60000"), key="b")  # 3: recorded
        client.append(fee("a", "60000"), key="a")  # 4: given again
        client.append(fee("z"), key="a")  # 5: idempotency_conflict
        client.append(deposit("d", "30000"), key="d2")  # 6: given again, under another key
        client.append(order("O"), key="o", expected={"order/O": 0})  # 7: recorded
        client.append(order("P"), key="p", expected={"order/O": 0})  # 8: version_conflict
        client.append(trade("T", "O"), trade("U", "none"), key="t")  # 9: recorded, one quarantined
        client.lookup("t")  # 10: given again
        client.lookup("b2")  # 11: absent
        client.append(fee("c"), key="c")  # 12: recorded
        chain_events = list(ledger.events())
    codes = [call.told if isinstance(call.told, str) else call.told.replayed for call in client.calls if call.told]
    assert codes == [
        False, "insufficient_funds", False, False, True, "idempotency_conflict", True, False, "version_conflict", False,
        True, "absent", False,
    ]  # fmt: skip
    return chain_events, client.calls, setup


def with_told(calls: list[Call], place: int, told: Any) -> list[Call]:
    return [msgspec.structs.replace(call, told=told) if n == place else call for n, call in enumerate(calls)]


def moved(calls: list[Call], place: int, invoked: float, returned: float) -> list[Call]:
    return [
        msgspec.structs.replace(call, invoked=invoked, returned=returned) if n == place else call
        for n, call in enumerate(calls)
    ]


def receipt(calls: list[Call], place: int, **changes: Any) -> Receipt:
    told = calls[place].told
    assert isinstance(told, Receipt)
    return msgspec.structs.replace(told, **changes)


GOOD: dict[str, Callable[[list[Call]], list[Call]]] = {
    "as it was": lambda calls: calls,
    "a refusal that overlaps what refuses it": lambda calls: moved(calls, 1, -5, 15),
    "an answer that was lost": lambda calls: with_told(calls, 3, "outcome_unknown"),
    "no answer at all": lambda calls: [
        msgspec.structs.replace(call, told=None, returned=OPEN) if n == 3 else call for n, call in enumerate(calls)
    ],
    "an unknown outcome that was nothing": lambda calls: [
        *calls,
        Call("append", "n", (fee("n"),), {}, 0, 1, "database_down"),
    ],
    "every call at once": lambda calls: [
        msgspec.structs.replace(call, invoked=n / 100, returned=900) for n, call in enumerate(calls)
    ],
}

BAD: dict[str, tuple[Callable[[list[Call]], list[Call]], str]] = {
    "a receipt for what is not there": (
        lambda c: with_told(c, 12, receipt(c, 12, seq=99, last_seq=99)), "not in the chain"),
    "a receipt with another hash": (lambda c: with_told(c, 12, receipt(c, 12, hash=bytes(32))), "hash, time or id"),
    "a receipt for another's group": (lambda c: with_told(c, 12, c[0].told), "not the one that was asked for"),
    "two who recorded one group": (lambda c: with_told(c, 4, receipt(c, 0)), "another call was told"),
    "what nobody asked for": (lambda c: [call for n, call in enumerate(c) if n != 12], "brought by nobody"),
    "a recorded group that was refused": (lambda c: with_told(c, 12, "insufficient_funds"), "brought by nobody"),
    "a refusal without a reason": (
        lambda c: [*c, Call("append", "n", (fee("n"),), {}, 500, 505, "insufficient_funds")], "right after no prefix"),
    "a refusal for another reason": (lambda c: with_told(c, 1, "rule_broken"), "right after no prefix"),
    "a refusal that rests on what had not been asked for": (lambda c: moved(c, 1, -20, -15), "right after"),
    "a refusal after what lifts it was told": (lambda c: moved(c, 1, 26, 29), "at least"),
    "a refusal that rests on what was dropped": (
        lambda c: [*c, Call("append", "n", (fee("n", "30000"), order("O")), {}, 1, 4, "rule_broken")], "right after"),
    "a conflict where nothing conflicts": (lambda c: with_told(c, 8, "idempotency_conflict"), "right after no prefix"),
    "a stale version that is not stale": (lambda c: moved(c, 8, 1, 2), "right after"),
    "a receipt given again before the first was asked for": (lambda c: moved(c, 4, -20, -15), "right after"),
    "a receipt given again for another request": (lambda c: with_told(c, 6, receipt(c, 4)), "right after no prefix"),
    "absent, and it was there": (lambda c: with_told(c, 10, "absent"), "at least"),
    "absent, and present before": (
        lambda c: [*c, Call("lookup", "c", (), {}, 127, 128, "absent")], "at least"),
    "present before anybody asked": (lambda c: moved(c, 10, 1, 2), "right after"),
    "an order that time contradicts": (lambda c: moved(c, 2, 66, 67), "at least"),
    "an answer of corruption": (
        lambda c: [*c, Call("append", "n", (fee("n"),), {}, 500, 505, "corrupt")], "nothing was corrupt"),
    "a quarantine that was not told": (lambda c: with_told(c, 9, receipt(c, 9, quarantined=())), "are quarantined"),
    "an unanswered request recorded before it was sent": (
        lambda c: moved(with_told(c, 2, "outcome_unknown"), 2, 66, 67), "had returned"),
}  # fmt: skip


def test_histories_that_some_order_explains_pass(made: Made) -> None:
    """A refusal may rest on what overlaps it, and an answer that says nothing may mean either."""
    chain, calls, setup = made
    for name, change in GOOD.items():
        assert Judge(chain, change(calls), setup).judge() == [], name


def test_histories_that_no_order_explains_are_named(made: Made) -> None:
    """Each way to be wrong is found, and said."""
    chain, calls, setup = made
    for name, (change, said) in BAD.items():
        found = Judge(chain, change(calls), setup).judge()
        assert any(said in line for line in found), (name, found)


def test_a_key_that_is_recorded_twice_is_named(made: Made) -> None:
    """No constraint of the database is trusted for it."""
    chain, calls, setup = made
    twice = [
        msgspec.structs.replace(event, idempotency_key="a") if event.seq == chain[-1].seq else event for event in chain
    ]
    assert any("is recorded at" in line for line in Judge(twice, calls, setup).judge())
