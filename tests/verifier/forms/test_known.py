"""
Hold every form to known texts: of whole reports with all that one can have, and of verifications that came to none.

What is compared was read by somebody once and is kept beside this file. A form that changes on purpose is written anew
by LEDGER_WRITE_EXAMPLES=yes pytest, and what git shows of it is looked at.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from tests.verifier.forms.outcomes import AT, BROKEN_ONES, OUTCOMES, report
from verifier import meaning
from verifier.forms import junit, markdown, objects, page
from verifier.forms.form import Form, written
from verifier.meaning import Meaning
from verifier.report import BROKEN, Cosigned, Ended, Finding, Outcome, Report, SeenCheckpoint

KNOWN: Final = Path(__file__).parent / "known"
SUFFIXES: Final = {Form.TABLE: "txt", Form.JSON: "json", Form.JUNIT: "xml", Form.MARKDOWN: "md", Form.HTML: "html"}


def much() -> Report:
    """Return a report of all kinds of things: more findings than are shown at once, and checkpoints of all kinds."""
    findings = [
        *(Finding("COMMIT_MISMATCH", str(n), str(n + 1), table="commits", key=(str(n),), column="seq")
          for n in range(1, 23)),
        Finding("COMMIT_MISMATCH", "1", "2", table="archive", key=("segments/1",)),
        Finding("COMMIT_MISMATCH", "1", "2", table="source_logins", key=("gateway", "login")),
        Finding("SEQ_GAP", "event 300 to 302", "no such row", seq=300, column="seq"),
        Finding("CLOCK", "later than 7", "7", seq=299, column="recorded_at"),
        Finding("CLOCK", "later than 8", "8", seq=301, column="recorded_at"),
        Finding("CLOCK", "x" * 161, "y" * 160, seq=650, column="recorded_at"),
        Finding("TRUNCATED", "event 1300", "no such row", seq=1300),
        Finding("TRUNCATED", "1500 events, which a checkpoint covers", "1200 events", seq=1201, table="checkpoints",
                key=("1500",), column="size"),
        Finding("UNHEARD_OF", "a <b>", "`c`"),
        Finding("STATE_MISMATCH", "1", "2", table="balances", key=("A", "BTC"), column="held", after=300),
        Finding("STATE_MISMATCH", "1", "2", seq=1100, after=300),
        Finding("GROUP_PARTIAL", "3 events", "1", seq=299, after=300),
    ]  # fmt: skip
    checkpoints = [
        SeenCheckpoint(size * 50, f"{size:02x}" * 32, tuple(Cosigned(f"w{n}", AT + n) for n in range(size % 3)),
                       accepted=size % 5 != 2)
        for size in range(1, 23)
    ]  # fmt: skip
    return Report(
        BROKEN, "elsewhere.example/trades", "two copies", 1_200, {"seq": 1_250, "hash": "12" * 32, "at": "now"},
        findings, {"orders": 3}, ["all of it"], ["what was said in source_logins", "the rest; of <it>"], ["it is"],
        298, 0.25, checkpoints=checkpoints, trusted=["one `log`", "another"], proven=["that it is so"],
        spans=[(1, 100), (250, 320), (1_200, 1_200)],
    )  # fmt: skip


def little(mode: str, events: int, seconds: float, *findings: Finding, good: int, **more: object) -> Report:
    """Return a report with little in it."""
    made = report(*findings, **{"checkpoints": [], "trusted": [], **more})
    made.region_mode, made.events, made.seconds, made.last_good_seq = mode, events, seconds, good
    made.head, made.vouched, made.covered, made.not_covered = {}, [], ["all of it"], []
    return made


def odd() -> Report:
    """Return a report with text that does not print, values that are empty, and a head that says no number."""
    findings = [Finding("STRAY_ROWS", "", "a\x07\ud800b", table="checkpoints", key=("1",)),
                *map(clock, (1, 20, 21)), *(Finding("SEQ_GAP", "1", "2", seq=1_200) for _ in range(20))]  # fmt: skip
    made = little("primary", 1_200, 9.0, *findings, good=500)
    made.head, made.vouched, made.covered = {"seq": "many"}, ["\udcff said"], ["Everything IS"]
    return made


def clock(seq: int) -> Finding:
    return Finding("CLOCK", f"later than {seq}", "1", seq=seq, column="recorded_at")


def headed(made: Report, seq: int) -> Report:
    """Return a report whose head is another than how much was verified."""
    made.head = {"seq": seq}
    return made


SEEN: Final = SeenCheckpoint(40, "ab" * 32, (Cosigned("w1", AT), Cosigned("w2", AT + 1)))
EARLY: Final = SeenCheckpoint(5, "ab" * 32)
BESIDE: Final = Finding("PROJECTION_MISMATCH", "1", "2", table="orders", key=("O",))
SHOWN: Final[dict[str, Outcome]] = {
    **{name.replace(" ", "-"): outcome for name, (outcome, _) in OUTCOMES.items() if isinstance(outcome, Ended)},
    "much": much(),
    "whole": little("primary", 48, 1.25, good=48, checkpoints=[SEEN], trusted=["the log"]),
    "broken": little("primary", 48, 1.25, *BROKEN_ONES, good=8, checkpoints=[SEEN]),
    "doubt": little("primary", 48, 1.0, *BROKEN_ONES, good=8, checkpoints=[EARLY]),
    "proof": little("proof", 1, 0.125, good=1),
    "receipts": little("receipts", 2_000, 4.0, good=0),
    "archive": little("archive", 2, 2.0, clock(2), good=1),
    "replica": little("replica", 0, 2.0, clock(2), good=0),
    "nothing": little("primary", 0, 0.0, good=0),
    "odd": odd(),
    "one": little("primary", 48, 1.0, *BROKEN_ONES, good=8, checkpoints=[SeenCheckpoint(1, "ab" * 32)]),
    "two": little("primary", 48, 1.0, *BROKEN_ONES, good=8, checkpoints=[SeenCheckpoint(6, "ab" * 32)]),
    "later": little("primary", 48, 1.0, clock(30), good=20),
    "beside": headed(little("primary", 48, 1.0, BESIDE, good=8, spans=[(1, 48)]), 100),
    "last": little("proof", 10**9, 1.0, good=10**9, spans=[(10**9, 10**9)]),
}


@pytest.fixture(autouse=True)
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put other words in the place of what findings mean and what release it is: those may be others any day."""
    said = {kind: Meaning(f"title of {kind}", f"means of {kind}.", f"advice of {kind}.") for kind in meaning.MEANINGS}
    monkeypatch.setattr(meaning, "MEANINGS", said)
    monkeypatch.setattr(junit, "RELEASE", "a release")
    for form in (markdown, objects, page):
        monkeypatch.setattr(form, "PROGRAM", "a release")


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("name", SHOWN)
def test_a_form_says_a_known_outcome_in_known_words(name: str, form: Form) -> None:
    """Byte for byte: programs read some of them, and people trust the others."""
    made = written(SHOWN[name], form, AT)
    file = KNOWN / f"{name}.{SUFFIXES[form]}"
    if os.environ.get("LEDGER_WRITE_EXAMPLES"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(made)
    assert file.read_text() == made
