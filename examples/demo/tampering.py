"""
Change rows behind the ledger's back, and ask the verifier, as an auditor would, what it finds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from examples.demo.screen import say
from ledger.errors import SetupNeeded
from ledger.sandbox.postgres import Server

ROOT = Path(__file__).parents[2]
ACCOUNT = "BINANCE-001"


def verified(server: Server) -> dict[str, Any]:
    """Run the verifier on a region, as an auditor would, and return its report."""
    done = subprocess.run(
        [sys.executable, "-m", "verifier", "full", "--dsn", server.dsn("auditor"), "--format", "json"],
        # On a terminal the verifier shows its own progress.
        cwd=ROOT, stdout=subprocess.PIPE, stderr=None if say.is_terminal else subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if done.returncode not in (0, 3):
        raise SetupNeeded(f"the verifier could not verify: {done.stderr or 'see above'}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def edit(server: Server, table: str, statement: str) -> None:
    """Change a row as an intruder with the superuser's rights would: triggers off, edit, triggers on."""
    server.sql(
        f"ALTER TABLE ledger.{table} DISABLE TRIGGER ALL; {statement}; ALTER TABLE ledger.{table} ENABLE TRIGGER ALL;"
        f"DO $$ DECLARE t name; BEGIN FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'ledger.{table}'::regclass"
        f" AND NOT tgisinternal LOOP EXECUTE format('ALTER TABLE ledger.{table} ENABLE ALWAYS TRIGGER %I', t);"
        " END LOOP; END $$",
        "ledger",
    )


def tampered(region: str, server: Server, seq: int) -> list[dict[str, Any]]:
    """Edit one event and one balance of a region, and return what was done and what the verifier named."""
    edit(server, "events", f"UPDATE ledger.events SET actor = 'nautilux' WHERE seq = {seq}")
    edit(
        server, "balances",
        f"UPDATE ledger.balances SET settled = settled + 0.00000001 WHERE account = '{ACCOUNT}' AND asset = 'USDT'",
    )  # fmt: skip
    findings = verified(server)["findings"]
    event: dict[str, Any] = next((x for x in findings if x.get("seq") == seq), {})
    balance: dict[str, Any] = next((x for x in findings if x.get("table") == "balances"), {})
    edited: tuple[dict[str, Any], ...] = (
        {"what": "events", "edited_seq": seq, "edited_column": "actor", "found_seq": event.get("seq")},
        {"what": "balances", "edited_key": f"{ACCOUNT}/USDT", "edited_column": "settled",
         "found_key": "/".join(balance.get("key", []))},
    )  # fmt: skip
    return [
        {"region": region, **what, "found_column": found.get("column"), "findings": len(findings)}
        for what, found in zip(edited, (event, balance), strict=True)
    ]
