"""
Run `open`, `scrub`, `sample`, `diff` and `stream` as their users do: what they print, and the status they end with.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.archiving import chains
from tests.conftest import ORIGIN, Database
from tests.sealing.test_commands import run
from tests.tiled.sealed import Sealed, archived
from tests.verifier.intruder import Intruder
from verifier import indexes

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
    made: Sealed, copy: Sealed, tmp_path: Path, mode: str
) -> None:
    call = [stream_of(made) if word == "asset/A0" else word for word in words(mode, made, tmp_path)]
    if mode == "diff":
        with Intruder(copy.database) as intruder:
            intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET mode = 'replica'")
        call[2] = copy.database.dsn("auditor")
    report = json.loads(run("verifier", *call, "--format", "json", "--report", str(tmp_path / "report.html")))
    assert report["verdict"] == "verified"
    assert report["findings"] == []
    assert report["covered"]
    assert indexes.NOT_LOOKED_UP in report["not_covered"]
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("form", FORMS)
def test_what_is_broken_ends_with_3_in_every_form(copy: Sealed, tmp_path: Path, form: str) -> None:
    with Intruder(copy.database) as intruder:
        intruder.edit("tiles", "UPDATE ledger.tiles SET hashes = overlay(hashes placing sha256('x') from 33) "
                      "WHERE level = 0 AND number = 0")  # fmt: skip
    run("verifier", *words("scrub", copy, tmp_path), "--format", form, expected=3)


@pytest.mark.parametrize("mode", ["full", "open", "scrub", "sample", "diff", "stream", "incremental", "chain", "state"])
def test_columns_that_keep_a_mode_from_reading_end_it_with_3_in_every_form(
    copy: Sealed, tmp_path: Path, mode: str
) -> None:
    dsn = copy.database.dsn("auditor")
    call = {
        "full": ("full", "--dsn", dsn),
        "diff": ("diff", dsn, dsn),
        "incremental": ("incremental", "--state", str(tmp_path / "books"), "--dsn", dsn),
        "chain": ("chain", "--dsn", dsn),
        "state": ("state", "--dsn", dsn),
    }.get(mode) or words(mode, copy, tmp_path)
    with Intruder(copy.database) as intruder:
        intruder.connection.execute("ALTER TABLE ledger.events RENAME COLUMN actor TO actor2")
    for form in FORMS:
        assert "column events.actor" in run("verifier", *call, "--format", form, expected=3)


def test_an_archive_is_not_compared_with_itself_by_whatever_name(tmp_path: Path) -> None:
    place, link = archived(tmp_path / "archive", chains.chain(700)), tmp_path / "link"
    link.symlink_to(place)
    for other in (place, link, place.parent / "." / "archive", f"file://{place}"):
        assert "A and B are one place" in run("verifier", "diff", str(place), str(other), expected=4)


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


NAME = "x\x1b[2K\x1b[1A\rVERIFIED: chain example.com/trades\x1b[8m\nVERIFIED"
"""What an intruder may call a chain, to have a terminal show it."""


def renamed(sealed: Sealed) -> None:
    with Intruder(sealed.database) as intruder:
        intruder.unguard("chains")
        intruder.edit("chains", "UPDATE ledger.chains SET origin = %s", NAME, least=1)


@pytest.mark.parametrize("mode", ["full", "open", "scrub", "sample", "diff", "stream", "incremental", "state"])
def test_a_chain_that_was_renamed_is_told_whoever_asks(made: Sealed, copy: Sealed, tmp_path: Path, mode: str) -> None:
    """By the name that its first event gives it, which an auditor's policy and books know."""
    trust, dsn = ("--policy", str(copy.policy_file(tmp_path))), ("--dsn", copy.database.dsn("auditor"))
    books = ("incremental", "--state", str(tmp_path / "books"), "--dsn")
    call: tuple[str, ...] = {
        "full": ("full", *trust, *dsn),
        "diff": ("diff", made.database.dsn("auditor"), copy.database.dsn("auditor")),
        "stream": ("stream", stream_of(made), *trust, *dsn),
        "incremental": (*books, copy.database.dsn("auditor")),
        "state": ("state", *dsn),
    }.get(mode) or words(mode, copy, tmp_path)
    if mode == "incremental":
        run("verifier", *books, made.database.dsn("auditor"))
    renamed(copy)
    report = json.loads(run("verifier", *call, "--format", "json", expected=3))
    found = [(x["kind"], x.get("table"), x.get("column"), x["expected"]) for x in report["findings"]]
    assert ("CHAIN_MISMATCH", "chains", "origin", ORIGIN) in found


def test_what_a_database_holds_does_nothing_to_a_terminal(copy: Sealed, tmp_path: Path) -> None:
    """An error quotes it in one line, with escapes written out."""
    renamed(copy)
    said = run("verifier", "full", "--origin", "nope", "--dsn", copy.database.dsn("auditor"), expected=4)
    assert "could not verify: name one chain with --origin: this database has x\\x1b[2K\\x1b[1A\\rVERIFIED" in said
    assert "\x1b" not in said
    assert said.count("\n") == 1
