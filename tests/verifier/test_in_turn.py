"""
Check what the slow walk holds one event against the next for, where no hash can tell: epochs, groups and clocks.
"""

from __future__ import annotations

from typing import Any

import pytest

from ledger.chain import entry
from ledger.chain.entry import RecordedEvent
from ledger.chain.link import genesis
from ledger.evidence import tree
from tests.archiving import chains
from verifier.archive.seams import misfits, seam_of
from verifier.chain import ChainCheck
from verifier.keys import KeyCheck
from verifier.report import Finding, Findings
from verifier.sealed import BEHIND_NS, SealedCheck
from verifier.stored import ChainRow, CheckpointRow, KeyRow

HISTORY = chains.chain(60)
ALONE = next(x for x in HISTORY[2:] if x.group_size == 1)
"""An event that is a group by itself, after another."""
NOW = HISTORY[-1].recorded_at + 3600 * 10**9


def walked(history: tuple[RecordedEvent, ...]) -> list[Finding]:
    findings, last = Findings(), history[-1]
    row = ChainRow(1, chains.CHAIN_ID, chains.ORIGIN, 1, genesis(chains.CHAIN_ID, chains.ORIGIN), last.seq, last.hash,
                   last.recorded_at, last.epoch, "primary")  # fmt: skip
    keys = KeyCheck(KeyRow(x.source, x.idempotency_key, x.seq) for x in history if x.group_index == 0)
    check = ChainCheck(row, [], keys, lambda event: {}, findings)
    assert len(list(check.walk(history))) == len(history)
    findings.add(keys.findings())
    return findings.all(check.lost)


CHANGES: list[tuple[int, dict[str, Any], tuple[str, str]]] = [
    (60, {"epoch": 0}, ("STATE_MISMATCH", "epoch")),
    (ALONE.seq, {"group_id": HISTORY[ALONE.seq - 2].group_id}, ("GROUP_PARTIAL", "group_id")),
]


def test_a_good_chain_has_no_findings() -> None:
    assert walked(HISTORY) == []


@pytest.mark.parametrize(("seq", "change", "expected"), CHANGES)
def test_what_goes_back_or_is_used_twice_is_named(seq: int, change: dict[str, Any], expected: tuple[str, str]) -> None:
    """The chain is hashed anew from there on, so that every byte fits; in an archive it is the same."""
    history = chains.edited(HISTORY, seq, **change)
    assert [(x.kind, x.seq, x.column) for x in walked(history)] == [(expected[0], seq, expected[1])]
    before, after = (seam_of(entry.parse(entry.encode(x)), x.hash) for x in history[seq - 2 : seq])
    assert [(x.kind, x.seq, x.column) for x in misfits(before, after, "f")] == [(expected[0], seq, expected[1])]


@pytest.mark.parametrize(("behind", "kinds"), [(400_000_000, []), (BEHIND_NS, []), (BEHIND_NS + 1, ["CLOCK"])])
def test_a_sealer_whose_clock_is_a_little_behind_is_honest(behind: int, kinds: list[str]) -> None:
    """Writers' clocks may be seconds ahead of it."""
    rows = [CheckpointRow(60, chains.root(HISTORY), b"", HISTORY[-1].recorded_at - behind)]
    check = SealedCheck(0, lambda level: iter(()), iter(rows), NOW)
    found = [
        x for event in HISTORY for x in check.take(event.seq, event.recorded_at, tree.leaf_hash(entry.encode(event)))
    ]
    assert [x.kind for x in found + check.end()] == kinds
