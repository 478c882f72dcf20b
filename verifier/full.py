"""
Verify everything there is of one chain in one region.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ledger.chain.digest import StateDigest
from ledger.chain.link import genesis
from ledger.domain.rows import TABLES
from verifier import catalogue, compare
from verifier.acknowledgements import AcknowledgementCheck
from verifier.chain import ChainCheck
from verifier.reader import CommitRow, Reader, Unreadable
from verifier.report import BROKEN, COVERED, NOT_COVERED, VERIFIED, Finding, Report
from verifier.spill import Spill
from verifier.state import Replay

FORMAT_VERSION: Final = 1


def verify(reader: Reader, progress: Callable[[int], None] = lambda count: None) -> Report:
    """
    Return the report on the reader's chain; *progress* is told the events checked so far.

    Raises:
        Unreadable: there is nothing to check.
    """
    started, chain = time.monotonic(), reader.chain
    with Spill() as spill:
        replay = Replay(spill)
        check = ChainCheck(chain, reader.keys(), replay.foresee)
        commits = {row.last_seq: row for row in reader.commits()}
        acknowledged = AcknowledgementCheck(chain.chain_id, reader.acknowledgements())
        findings: list[Finding] = []
        count, boundary = 0, 0
        for event in check.walk(reader.events()):
            replay.apply(event)
            count += 1
            acknowledged.pass_by(event)
            if event.seq in acknowledged.seqs:
                acknowledged.reach(event, replay.digest.digest())
            if event.seq in commits:
                findings += _commit(commits.pop(event.seq), boundary, event.recorded_at, replay.digest.digest())
                boundary = event.seq
            if count % 1000 == 0:
                progress(count)
        progress(count)
        if not count and chain.seq <= 0:
            raise Unreadable(f"chain {chain.origin} has no events: there is nothing to verify")
        findings += [
            Finding("COMMIT_MISMATCH", "an event", "none", table="commits", key=(str(last),), column="last_seq")
            for last in commits
        ]
        if boundary != check.seq:
            findings.append(
                Finding("COMMIT_MISMATCH", f"a commit that ends at {check.seq}", f"the last ends at {boundary}",
                        table="commits", key=(str(check.seq),), column="last_seq")
            )  # fmt: skip
        findings += acknowledged.findings(replay.state)
        findings = check.findings + replay.findings + findings + _head(reader, check)
        rows, stored = {}, StateDigest()
        for table in TABLES:
            rows[table], wrong = compare.compare(table, reader.rows(table), replay.state, spill, stored)
            findings += wrong
        findings += _digests(reader, replay.digest, check.seq)
    findings += [
        Finding("BYTES_MODIFIED", "NULL", "zeros", seq=seq, column=column) for seq, column in reader.zero_ids()
    ]
    findings += catalogue.check(reader)
    return Report(
        BROKEN if findings else VERIFIED, chain.origin, chain.mode, count,
        {"seq": check.seq, "hash": check.hash.hex()}, findings, rows, COVERED, NOT_COVERED, check.last_good,
        round(time.monotonic() - started, 3),
    )  # fmt: skip


def _commit(stored: CommitRow, boundary: int, recorded_at: int, digest: bytes) -> list[Finding]:
    made = CommitRow(boundary + 1, stored.last_seq, digest, recorded_at)
    return [
        Finding("COMMIT_MISMATCH", _hex(getattr(made, name)), _hex(getattr(stored, name)), table="commits",
                key=(str(stored.last_seq),), column=name)
        for name in CommitRow.__struct_fields__
        if getattr(made, name) != getattr(stored, name)
    ]  # fmt: skip


def _head(reader: Reader, check: ChainCheck) -> list[Finding]:
    chain = reader.chain
    made = {"seq": check.seq, "hash": check.hash, "recorded_at": check.recorded_at, "epoch": check.epoch}
    stored = {"seq": chain.seq, "hash": chain.hash, "recorded_at": chain.recorded_at, "epoch": chain.epoch}
    kind = "TRUNCATED" if chain.seq > check.seq else "HEAD_MISMATCH"
    start = genesis(chain.chain_id, chain.origin)
    found = []
    if chain.genesis != start:
        found.append(Finding("HEAD_MISMATCH", start.hex(), chain.genesis.hex(), table="chains", key=(chain.origin,),
                             column="genesis"))  # fmt: skip
    if chain.format_version != FORMAT_VERSION:
        found.append(Finding("HEAD_MISMATCH", str(FORMAT_VERSION), str(chain.format_version), table="chains",
                             key=(chain.origin,), column="format_version"))  # fmt: skip
    return found + [
        Finding(kind, _hex(made[name]), _hex(stored[name]), table="chain_heads", key=(chain.origin,), column=name)
        for name in made
        if made[name] != stored[name]
    ]


def _hex(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _digests(reader: Reader, made: StateDigest, seq: int) -> list[Finding]:
    stored = reader.lanes()
    if stored is None:
        return [Finding("STATE_MISMATCH", "a row", "none", table="state_digests", key=(reader.chain.origin,))]
    found = []
    for name, expected, actual in (("seq", seq, stored[0]), ("lanes", made.lanes(), stored[1])):
        if expected != actual:
            found.append(
                Finding("STATE_MISMATCH", _hex(expected)[:64], _hex(actual)[:64], table="state_digests",
                        key=(reader.chain.origin,), column=name)
            )  # fmt: skip
    return found
