"""
Break each table that is made anew, and have the commands mend it, as operators do.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.repairing.wanted import HISTORIES, MADE_ANEW, TILES
from tests import commands
from tests.conftest import Database
from tests.repairing.mending import Firm, report_file
from tests.sealing.test_commands import run
from tests.verifier.intruder import Intruder, real, report_on

DELETED = {name: f"DELETE FROM ledger.{name}" for name in MADE_ANEW} | {
    TILES: "DELETE FROM ledger.tiles WHERE number = 0", HISTORIES: "DELETE FROM ledger.balance_history",
}  # fmt: skip


def planned(firm: Firm, broken: Database, folder: Path) -> tuple[str, list[str]]:
    """Verify and plan by the commands; return what was said, and the words that apply the plan."""
    report, trust, plan = folder / "report.json", folder / "policy", folder / "plan.json"
    report.write_bytes(report_file(broken))
    trust.write_text(firm.policy_text)
    given = ["--policy", str(trust), "--archive", str(firm.archive), "--replica", firm.other.dsn("auditor")]
    said = commands.run("ledger", "repair", "plan", report, *given, "--dsn", broken.dsn("owner"), "--output", plan)
    call = ["repair", "apply", str(plan), *given, "--dsn", broken.dsn("owner"), "--writer", broken.dsn("writer"),
            "--auditor", broken.dsn("auditor"), "--source", "engine", "--yes"]  # fmt: skip
    return said.stderr, call


@pytest.mark.parametrize("name", MADE_ANEW)
def test_rows_that_were_deleted_are_put_back(firm: Firm, broken: Database, tmp_path: Path, name: str) -> None:
    """All rows of one table; what mends them is recorded, and everything is verified."""
    with Intruder(broken) as intruder:
        table = "balance_history" if name == HISTORIES else name
        intruder.edit(table, DELETED[name], least=1)
    _, call = planned(firm, broken, tmp_path)
    said = run("ledger", *call)
    assert "recorded at seq" in said
    assert "VERIFIED" in said


HEADS = {
    "no seq": "UPDATE ledger.chain_heads SET seq = NULL",
    "neither seq nor hash": "UPDATE ledger.chain_heads SET (seq, hash) = (NULL, NULL)",
    "a role that nobody has": "UPDATE ledger.chain_heads SET mode = 'x'",
}


@pytest.mark.parametrize("what", HEADS)
def test_a_head_that_is_none_is_made_anew(firm: Firm, broken: Database, tmp_path: Path, what: str) -> None:
    """What kept it from being written was taken away before; that alone is left."""
    with Intruder(broken) as intruder:
        intruder.unguard("chain_heads")
        for column in ("seq", "hash"):
            intruder.connection.execute(f"ALTER TABLE ledger.chain_heads ALTER {column} DROP NOT NULL")
        intruder.edit("chain_heads", HEADS[what], least=1)
    _, call = planned(firm, broken, tmp_path)
    said = run("ledger", *call, expected=3)
    assert "recorded at seq" in said
    assert real(report_on(broken)) == []
