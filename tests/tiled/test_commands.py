"""
Run `open`, `scrub`, `sample`, `diff` and `stream` as their users do: what they print, and the status they end with.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.archiving import chains
from tests.conftest import Database
from tests.sealing.test_commands import run
from tests.tiled.sealed import Sealed, archived
from tests.verifier.intruder import Intruder

FORMS = ("table", "json", "junit", "markdown", "html")


def words(mode: str, sealed: Sealed, folder: Path) -> tuple[str, ...]:
    """Return a call of *mode* that finds nothing wrong of a good chain."""
    trust, dsn = ("--policy", str(sealed.policy_file(folder))), ("--dsn", sealed.database.dsn("auditor"))
    return {
        "open": ("open", *trust, *dsn, "--signer", sealed.signer),
        "scrub": ("scrub", "--state", str(folder / "round.json"), "--share", "1/2", *dsn),
        "sample": ("sample", *trust, *dsn, "-k", "4", "--nonce", "00ff"),
        "diff": ("diff", sealed.database.dsn("auditor"), sealed.database.dsn("auditor")),
        "stream": ("stream", "asset/A0", *trust, *dsn),
    }[mode]


def stream_of(sealed: Sealed) -> str:
    return sealed.database.sql("SELECT stream FROM ledger.events WHERE seq = 9")


@pytest.mark.parametrize("mode", ["open", "scrub", "sample", "diff", "stream"])
def test_each_mode_says_that_a_good_chain_is_good_and_what_it_did_not_check(
    made: Sealed, tmp_path: Path, mode: str
) -> None:
    call = [stream_of(made) if word == "asset/A0" else word for word in words(mode, made, tmp_path)]
    report = json.loads(run("verifier", *call, "--format", "json", "--report", str(tmp_path / "report.html")))
    assert report["verdict"] == "verified"
    assert report["findings"] == []
    assert report["covered"]
    assert report["not_covered"]
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("form", FORMS)
def test_what_is_broken_ends_with_3_in_every_form(copy: Sealed, tmp_path: Path, form: str) -> None:
    with Intruder(copy.database) as intruder:
        intruder.edit("tiles", "UPDATE ledger.tiles SET hashes = overlay(hashes placing sha256('x') from 33) "
                      "WHERE level = 0 AND number = 0")  # fmt: skip
    run("verifier", *words("scrub", copy, tmp_path), "--format", form, expected=3)


def test_two_copies_that_differ_end_with_3_and_name_the_event(made: Sealed, copy: Sealed) -> None:
    with Intruder(copy.database) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET hash = sha256('x') WHERE seq = 1305")
    said = run("verifier", "diff", made.database.dsn("auditor"), copy.database.dsn("auditor"), expected=3)
    assert "1305" in said


def test_an_archive_is_sampled_without_a_database(tmp_path: Path) -> None:
    place, trust = archived(tmp_path / "archive", chains.chain(700)), tmp_path / "policy"
    trust.write_bytes(chains.POLICY_TEXT)
    assert "verified" in run("verifier", "sample", "--archive", str(place), "--policy", str(trust), "-k", "2").lower()


@pytest.mark.parametrize("mode", ["open", "scrub", "sample", "stream"])
def test_an_empty_database_is_not_verified(database: Database, made: Sealed, tmp_path: Path, mode: str) -> None:
    empty = Sealed(database, made.signer, made.witness)
    said = run("verifier", *words(mode, empty, tmp_path), expected=4)
    assert "could not verify" in said


@pytest.mark.parametrize(
    ("call", "status", "says"),
    [
        (("open", "--policy", "/nowhere"), 4, "cannot be read"),
        (("sample", "--policy", "/nowhere"), 4, "cannot be read"),
        (("stream", "a/b", "--policy", "/nowhere"), 4, "cannot be read"),
        (("open",), 2, "--policy"),
        (("scrub",), 2, "--state"),
        (("scrub", "--state", "s", "--share", "2"), 2, "at most 1"),
        (("scrub", "--state", "s", "--share", "1/2", "--seconds", "3"), 2, "one of them"),
        (("sample", "--policy", "p", "--nonce", "xyz"), 2, "hexadecimal"),
        (("sample", "--policy", "p", "--archive", "a", "--dsn", "b"), 2, "one of them"),
        (("diff", "postgresql://nobody@127.0.0.1:1/none", "postgresql://nobody@127.0.0.1:1/none"), 4, "not"),
        (("diff", "/nowhere/a", "/nowhere/b"), 4, "nowhere"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_says_so(call: tuple[str, ...], status: int, says: str) -> None:
    said = run("verifier", *call, expected=status)
    assert says in said
    assert "Traceback" not in said


def test_a_mistyped_stream_is_told_the_nearest(made: Sealed, tmp_path: Path) -> None:
    name = stream_of(made)
    call = [f"{name}x" if word == "asset/A0" else word for word in words("stream", made, tmp_path)]
    assert name in run("verifier", *call, expected=4)
