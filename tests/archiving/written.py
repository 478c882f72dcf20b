"""
Write archives of made-up chains, and verify them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ledger.archiving.stores import Folder
from ledger.archiving.writer import Archive
from ledger.chain.entry import RecordedEvent
from ledger.evidence.policy import Policy
from tests.archiving.chains import CHAIN_ID, ORIGIN, POLICY, POLICY_TEXT, chain, reader, signed, silent
from verifier.archive import verification
from verifier.archive.verification import Wanted
from verifier.report import Report

SIZE = 700
EVENTS = chain(SIZE)


def write(folder: Path, *sizes: int, events: tuple[RecordedEvent, ...] = EVENTS) -> Archive:
    """Extend the archive in a folder to checkpoints of these sizes."""
    archive = Archive(Folder(folder), CHAIN_ID, ORIGIN)
    for size in sizes:
        archive.extend(signed(events, size), reader(events), POLICY_TEXT, silent)
    return archive


def verify(folder: Path, jobs: int = 1, trust: Policy = POLICY, **wanted: Any) -> Report:
    return verification.verify(str(folder), trust, silent, Wanted(jobs, **wanted))


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kinds(report: Report) -> set[str]:
    return {finding.kind for finding in report.findings}
