"""
Check that the demo's own judgement of what it showed can fail.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from examples.demo.run import EXPECTED, good

ENGINE: dict[str, Any] = json.loads(EXPECTED.read_text())


def shown() -> dict[str, Any]:
    """Return the report of a demo that showed everything."""
    end = ENGINE["engine_end_balances"]
    edits = [
        {"region": region, "what": "events", "edited_seq": 5, "found_seq": 5, "edited_column": "actor",
         "found_column": "actor", "findings": 2}
        for region in ("a", "b")
    ] + [
        {"region": region, "what": "balances", "edited_key": "A/U", "found_key": "A/U", "edited_column": "settled",
         "found_column": "settled", "findings": 2}
        for region in ("a", "b")
    ]  # fmt: skip
    return {
        "events": 36_316, "distinct_fills": 4_422, "breaks": 0, "tables_equal": True, "max_rpo_seconds": 1.5,
        "balances": {asset: one["total"] for asset, one in end.items()},
        "held": {asset: one["locked"] for asset, one in end.items()},
        "positions": {"BTCUSDT.BINANCE": "10.7335"}, "tamper": edits,
        "region_a_head": {"seq": 36_316, "hash": "aa"}, "region_b_head": {"seq": 36_316, "hash": "aa"},
        "sealed": {"events": 36_316, "root": "cc", "cosigned_by": ["region-b", "w1"], "archive": "verified",
                   "alone": "VERIFIED: 36316 events of o, head aa, root cc"},
        "verify_a": {"verdict": "verified"}, "verify_b": {"verdict": "verified"},
    }  # fmt: skip


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a fill less": lambda r: r.update(distinct_fills=4_421),
    "another total": lambda r: r["balances"].update(USDT="335623.56684585"),
    "another hold": lambda r: r["held"].update(BTC="0"),
    "no positions": lambda r: r.update(positions={}),
    "another head": lambda r: r["region_b_head"].update(hash="bb"),
    "tables that differ": lambda r: r.update(tables_equal=False),
    "a region that is broken": lambda r: r["verify_b"].update(verdict="broken"),
    "an event that is not sealed": lambda r: r["sealed"].update(events=36_315),
    "a seal that nobody else saw": lambda r: r["sealed"].update(cosigned_by=["w1"]),
    "an archive that is broken": lambda r: r["sealed"].update(archive="broken"),
    "another root by another program": lambda r: r["sealed"].update(alone="VERIFIED: 36316 events of o, root dd"),
    "fewer events by another program": lambda r: r["sealed"].update(alone="VERIFIED: 3 events of o, root cc"),
    "no edits": lambda r: r.update(tamper=[]),
    "an edit less": lambda r: r["tamper"].pop(),
    "an edit that was not found": lambda r: r["tamper"][0].update(found_seq=None),
    "another column named": lambda r: r["tamper"][3].update(found_column="held"),
    "a break": lambda r: r.update(breaks=1),
    "an idle topic": lambda r: r.update(max_rpo_seconds=0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_demo_that_showed_anything_else_is_not_good(change: str) -> None:
    """Each promise is looked at: with one figure changed the demo fails."""
    assert good(shown(), ENGINE)
    report = copy.deepcopy(shown())
    CHANGES[change](report)
    assert not good(report, ENGINE)
