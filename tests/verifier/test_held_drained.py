"""
Check on a server that books whose rules let what is held be drained are found, though every row follows by its rules.
"""

from __future__ import annotations

import pytest

from ledger import Ledger
from ledger.domain import fold
from ledger.domain.events.cash import JournalPosted, Posting
from ledger.domain.postings import Line
from ledger.domain.rules.ground import Effects, Now, post, units
from ledger.domain.state import State
from tests.conftest import Database
from tests.domain.books import order
from tests.journal.test_ledger import fill
from tests.verifier.intruder import report_on


def test_a_history_whose_rules_let_held_be_drained_is_found(chain: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a program whose journals may drain what is held: every row agrees with its rules, and the sum does not."""

    def lenient(state: State, event: JournalPosted, now: Now) -> Effects:
        lines = [Line(x.account, x.asset, x.bucket, units(x.amount)) for x in event.postings]
        post(state, lines, may_refuse=False)
        return Effects(f"journal/{event.journal_id}", 1)

    monkeypatch.setitem(fold.RULES, JournalPosted, lenient)
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        ledger.append(order(), key="o")
        drain = [Posting(account="A", asset="USDT", bucket="held", amount="-1"),
                 Posting(account="A", asset="USDT", bucket="settled", amount="1")]  # fmt: skip
        ledger.append(JournalPosted(journal_id="J", memo="m", postings=tuple(drain)), key="j")
    found = report_on(chain).findings
    assert [(x.kind, x.table, x.key, x.expected, x.actual) for x in found] == [
        ("HELD_MISMATCH", "balances", ("A", "USDT"), "1", "0")
    ]
