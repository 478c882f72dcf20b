"""
Check the operator's sandbox: up, found, used, down, and nothing left.
"""

from __future__ import annotations

import os
from pathlib import Path

from ledger.sandbox import regions
from tests.importing.test_import import tradeledger


def test_the_sandbox_goes_up_is_found_and_goes_down(tmp_path: Path) -> None:
    """Two regions and a broker run until told to stop; up again is the same; afterwards no process is left."""
    environment = {"LEDGER_HOME": str(tmp_path / "home")}
    none = tradeledger("sandbox", "status", **environment)
    assert (none.returncode, "sandbox up" in none.stderr) == (5, True)
    shown = tradeledger("sandbox", "up", **environment)
    assert shown.returncode == 0, shown.stderr
    try:
        found = regions.status({**os.environ, **environment})
        assert found is not None
        assert f"region b auditor {found.dsn('b', 'auditor')}" in shown.stdout
        assert tradeledger("sandbox", "up", **environment).stdout == shown.stdout
        assert tradeledger("db", "check", LEDGER_DSN=found.dsn("b", "owner")).returncode == 0
    finally:
        assert tradeledger("sandbox", "down", **environment).stdout == "stopped\n"
    assert regions.status({**os.environ, **environment}) is None
    assert tradeledger("sandbox", "down", **environment).stdout == "no sandbox was running here\n"
