"""
Check that the exit status is the same in every form, whatever the outcome, and that a report file is whole or none.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger import command
from ledger.errors import Divergence
from tests.verifier.forms.outcomes import OUTCOMES
from verifier import cli, meaning, proof, showing
from verifier.forms.form import SUFFIXES, Form
from verifier.report import Ended, Finding, Outcome, Report
from verifier.stored import Unreadable

NAME = "x.tlog-proof"


def making(outcome: Outcome) -> Callable[..., Report]:
    """Return a verification that comes to *outcome*."""

    def made(*_: object) -> Report:
        if isinstance(outcome, Report):
            return outcome
        raise {
            "divergence": Divergence(outcome.message), "could_not_verify": Unreadable(outcome.message),
            "interrupted": KeyboardInterrupt(), "fault": KeyError("x"),
        }[outcome.code]  # fmt: skip

    return made


def run(
    *arguments: str, outcome: Outcome | Callable[..., Report], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> int:
    """Run `tradeledger-verify proof` to an outcome, and return the exit status."""
    (folder / NAME).write_bytes(b"")
    (folder / "policy").write_bytes(b"quorum none\n")
    monkeypatch.setattr(proof, "verify", outcome if callable(outcome) else making(outcome))
    words = ["tradeledger-verify", "proof", str(folder / NAME), "--policy", str(folder / "policy"), *arguments]
    monkeypatch.setattr("sys.argv", words)
    return command.run(cli.app, cli._MANNER)


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("name", OUTCOMES)
def test_the_exit_status_is_the_same_in_every_form(
    form: Form, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of every verdict and every end without one; standard output has the form's text, also of an interruption."""
    outcome, status = OUTCOMES[name]
    done = run("--format", form, outcome=outcome, monkeypatch=monkeypatch, folder=tmp_path)
    said = capsys.readouterr()
    assert done == status
    if form is Form.TABLE and isinstance(outcome, Ended):
        assert said.out == ""
        assert said.err
    else:
        assert outcome.verdict in said.out.lower()
    if form is Form.JSON:
        assert json.loads(said.out)["verdict"] == outcome.verdict


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", OUTCOMES)
def test_a_report_file_has_the_form_of_its_suffix(
    suffix: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the verification came to; the status and what is printed do not change by it."""
    outcome, status = OUTCOMES[name]
    file = tmp_path / f"report{suffix}"
    monkeypatch.setattr(showing.time, "time", lambda: 1_700_000_000.0)
    assert run("--report", str(file), outcome=outcome, monkeypatch=monkeypatch, folder=tmp_path) == status
    printed = capsys.readouterr().out
    assert run(outcome=outcome, monkeypatch=monkeypatch, folder=tmp_path) == status
    assert capsys.readouterr().out == printed
    run("--format", SUFFIXES[suffix], outcome=outcome, monkeypatch=monkeypatch, folder=tmp_path)
    assert file.read_text() == capsys.readouterr().out


def test_a_file_of_no_form_and_a_folder_that_is_not_there_are_usage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said before anything is verified."""
    for name, words in (("report.pdf", ".json, .xml, .md, .html"), ("nowhere/report.json", "there is no folder")):
        status = run("--report", str(tmp_path / name), outcome=OUTCOMES["fault"][0], monkeypatch=monkeypatch,
                     folder=tmp_path)  # fmt: skip
        assert (status, words in capsys.readouterr().err.replace("\n", " ").replace("│", "")) == (2, True)


@pytest.mark.parametrize(("name", "status"), [("verified", 4), ("broken", 3), ("could not verify", 4)])
def test_a_report_file_that_cannot_be_written_never_ends_with_0(
    name: str, status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Corruption that was found is still told, and what was there before is still there."""
    file = tmp_path / "report.json"
    file.write_text("before")

    def full(source: object, target: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("ledger.whole_file.os.replace", full)
    done = run("--report", str(file), outcome=OUTCOMES[name][0], monkeypatch=monkeypatch, folder=tmp_path)
    said = capsys.readouterr()
    assert (done, file.read_text(), list(tmp_path.glob("*.part"))) == (status, "before", [])
    assert "No space left on device; make room" in said.err
    assert name == "could not verify" or name.upper() in said.out


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["broken", "kept from checking", "verified"])
@pytest.mark.parametrize("place", ["the folder is gone", "a folder", "a full disk", "no right", "a link to itself"])
def test_corruption_is_told_wherever_the_report_cannot_be_written(
    place: str, name: str, suffix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Its place may be lost while the verification goes on; standard error names the file that is missing."""
    outcome, status = OUTCOMES[name]
    file = tmp_path / "reports" / f"report{suffix}"
    file.parent.mkdir()

    def verified(*given: object) -> Report:
        lose(file, place, monkeypatch)
        return making(outcome)(*given)

    done = run("--report", str(file), outcome=verified, monkeypatch=monkeypatch, folder=tmp_path)
    said = capsys.readouterr()
    assert done == (status or 4)
    assert f"the report {file} was not written: " in said.err
    assert name == "kept from checking" or name.upper() in said.out


def lose(file: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a report's place one in which it cannot be written."""
    match place:
        case "the folder is gone":
            file.parent.rmdir()
        case "a folder":
            file.mkdir()
        case "a full disk":
            file.symlink_to("/dev/full")
        case "a link to itself":
            file.symlink_to(file)
        case "no right":
            # The administrator, as who tests may run, has every right.
            def refused(path: Path, *_: object) -> None:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

            monkeypatch.setattr("ledger.whole_file.Path.open", refused)


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("name", ["broken", "kept from checking", "verified"])
def test_corruption_is_told_by_the_status_where_nothing_can_be_printed(
    form: Form, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where it is a program that reads the status, and the disk that the output goes to is full."""
    outcome, status = OUTCOMES[name]
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        done = run("--format", form, outcome=outcome, monkeypatch=monkeypatch, folder=tmp_path)
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            full.close()
    assert done == (status or 4)
    is_silent = form is Form.TABLE and isinstance(outcome, Ended)
    assert is_silent or "No space left on device" in capsys.readouterr().err


VERIFIER = Path(meaning.__file__).parent


def test_every_class_of_finding_has_a_meaning() -> None:
    """Each that the verifier's code names; what it means is no programmer's to guess."""
    code = "".join(path.read_text() for path in VERIFIER.rglob("*.py") if path.name != "meaning.py")
    named = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)+|CLOCK|TRUNCATED|ROLLBACK|STALE|INCONSISTENT)"', code))
    assert named
    assert named <= set(meaning.MEANINGS)


def test_every_source_is_in_words_and_every_class_and_table_has_sources() -> None:
    """Only where no copy mends a finding, none is named."""
    without = ("settings", "indexes")
    tables = (None, "archive", "somewhere else", *(table for table in meaning._BY_TABLE if table not in without))
    for kind in meaning.MEANINGS:
        for table in tables:
            found = meaning.sources(Finding(kind, "", "", seq=1, table=table, key=("k",)))
            assert set(found) <= set(meaning.SOURCES)
            assert bool(found) == (kind not in meaning._NOWHERE)
    assert meaning.sources(Finding("GUARD_CHANGED", "on", "off", table="settings", key=("fsync",))) == ()
    assert meaning.sources(Finding("INDEX_MISMATCH", "every row", "fewer", table="indexes", key=("a.b",))) == ()


@pytest.mark.parametrize(
    ("file", "sources"),
    [("tile/entries/000", ("replica", "archive")), ("segment/000", ("replica", "archive")),
     ("tile/0/000", ("replay", "archive")), ("checkpoint", ("archive", "witness")),
     ("checkpoints/5", ("archive", "witness")), ("chain.json", ("replica", "archive"))],
)  # fmt: skip
def test_a_file_of_an_archive_is_mended_by_what_it_holds(file: str, sources: tuple[str, ...]) -> None:
    """Entries and payloads come from a region or another archive; tiles can be made anew."""
    assert meaning.sources(Finding("ARCHIVE_MISSING", "", "", table="archive", key=(file,))) == sources
