"""
Check that what witnesses had seen by a time was recorded by then: a clock that was set forward is named.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.archiving.stores import Folder
from ledger.archiving.writer import Archive
from ledger.chain import entry
from ledger.evidence import note, policy, tiles, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import COSIGNATURE, SigningKey
from ledger.evidence.proof_file import ProofFile
from tests.archiving import chains
from tests.archiving.chains import KEY
from verifier import proof
from verifier.archive import verification
from verifier.forms.cleaning import moment
from verifier.report import Finding, Report
from verifier.vouching import CLOCKS_NS, before_its_events, contradicts

EVENTS = chains.chain(300)
LAST_S = EVENTS[-1].recorded_at // 10**9
WITNESSES = [SigningKey(f"witness.example/t{n}", COSIGNATURE, bytes([40 + n]) * 32) for n in range(3)]
LINES = [f"witness t{n} {key.verifier.text()}" for n, key in enumerate(WITNESSES)]
POLICY = "\n".join([f"log {KEY.verifier.text()}", *LINES, "group q 2 t0 t1 t2", "quorum q", ""]).encode()
SLACK_S = CLOCKS_NS // 10**9


def signed(*seconds: int) -> bytes:
    text = Checkpoint(KEY.name, 300, chains.root(EVENTS)).text()
    lines = [key.sign(text, at) for key, at in zip(WITNESSES, seconds, strict=False)]
    return note.with_signatures(text, [KEY.sign(text), *lines]).encode()


TIMES: list[tuple[tuple[int, ...], bool]] = [
    ((LAST_S + 1, LAST_S + 1, LAST_S + 1), True), ((LAST_S - SLACK_S + 1,) * 3, True),
    ((LAST_S - SLACK_S - 1,) * 3, False), ((1, 1, 1), False),
    # One whose clock is wrong does not make an honest chain broken, and does not make up for two.
    ((1, LAST_S, LAST_S), True), ((1, 1, LAST_S), False),
]  # fmt: skip


@pytest.mark.parametrize(("seconds", "holds"), TIMES)
def test_an_archive_whose_clock_was_set_forward_is_named(tmp_path: Path, seconds: tuple[int, ...], holds: bool) -> None:
    made = Archive(Folder(tmp_path), chains.CHAIN_ID, chains.ORIGIN)
    made.extend(signed(*seconds), chains.reader(EVENTS), POLICY, chains.silent)
    report = verification.verify(str(tmp_path), policy.decode(POLICY), lambda what, count: None)
    found = [(x.kind, x.seq, x.column) for x in report.findings]
    assert found == ([] if holds else [("CLOCK", 300, "recorded_at")])


def proven(*seconds: int) -> Report:
    """Return the report on a proof of the last event under a checkpoint that was cosigned at these times."""
    leaves = [tree.leaf_hash(entry.encode(event)) for event in EVENTS]
    hashes = tree.prove_inclusion(
        lambda asked: [tiles.subtree_hash(leaves[index << level : index + 1 << level]) for level, index in asked],
        299, 300,
    )  # fmt: skip
    made = ProofFile(299, tuple(hashes), signed(*seconds), entry.encode(EVENTS[299]))
    return proof.verify("p", made.encode(), policy.decode(POLICY), None)


@pytest.mark.parametrize(("seconds", "holds"), TIMES)
def test_a_proof_of_an_event_that_was_seen_before_it_was_recorded_does_not_hold(
    seconds: tuple[int, ...], holds: bool
) -> None:
    report = proven(*seconds)
    seen = ", ".join(f"t{n} had seen it at {moment(at)}" for n, at in enumerate(seconds))
    latest = f"at most {max(seconds) * 10**9 + CLOCKS_NS}: {seen}"
    late = Finding("CLOCK", latest, str(EVENTS[299].recorded_at), 300, "proof", ("p",), "recorded_at")
    assert report.findings == ([] if holds else [late])
    assert bool(report.proven) == holds
    if not holds:
        assert report.not_covered == [*proof.NOT_COVERED, proof.NO_CONTENT]


@pytest.mark.parametrize(
    ("second", "why"),
    [(1, "is before the event's own"), (LAST_S - SLACK_S - 1, "is before the event's own"),
     (2**63 - 1, "is of no calendar"), (253_402_300_800, "is of no calendar")],
)  # fmt: skip
def test_a_time_that_contradicts_the_event_proves_nothing_of_when_it_was_recorded(second: int, why: str) -> None:
    """The others make the quorum; what that witness says of the time is left out, and the report says so."""
    report = proven(second, LAST_S + 5, LAST_S + 9)
    assert (report.verdict, report.findings) == ("verified", [])
    said = [line for line in report.proven if "had seen that history" in line]
    assert [line.split()[0] for line in said] == ["t1", "t2"]
    (left_out,) = [line for line in report.not_covered if "t0" in line]
    assert left_out == f"by when t0 had seen that history: the time that it says, {moment(second)}, {why}"


def test_without_witnesses_there_is_nothing_to_hold_a_time_against() -> None:
    trust = policy.decode(f"log {KEY.verifier.text()}\nquorum none\n".encode())
    assert before_its_events(trust, policy.check(trust, signed()), 300, 2**62) == []


def test_a_clock_may_be_so_far_behind_and_no_further() -> None:
    """To the nanosecond."""
    assert not contradicts(1_700_000_000, 1_700_000_000 * 10**9 + CLOCKS_NS)
    assert contradicts(1_700_000_000, 1_700_000_000 * 10**9 + CLOCKS_NS + 1)
