"""
Go a dozen ways to tamper, one of each kind, and hold docs/TAMPER.md to all that the program has.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.chain.entry import RecordedEvent
from ledger.domain.rows import TABLES
from ledger.sandbox.kafka import Broker
from ledger.sandbox.postgres import Server
from tests.tamper import page
from tests.tamper.firm import ROOT, Firm, working
from tests.tamper.modes import MODES
from tests.tamper.run import all_of
from tests.tamper.way import Edit, Expected, Way
from tests.tamper.ways import WAYS
from tests.tamper.ways.events import EDITED

CHOSEN = (
    "event column salt", "read model movements", "guard trigger off", "rehashed payload", "forged removal",
    "a checkpoint signed with another key", "an archived payload", "a rogue publisher", "writer forks",
    "an old backup", "sha256 broken", "a tail cut everywhere",
)  # fmt: skip
ORDERS = 160
LEAST_WAYS = 80
MOST_UNDETECTABLE = 5


@pytest.fixture(scope="module")
def firm(pg_server: Server, migrated: str, kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firm]:
    folder = tmp_path_factory.mktemp("t")
    with working(folder, (pg_server, pg_server), (migrated, migrated), kafka, ORDERS) as made:
        yield made


def test_a_dozen_ways_are_noticed_by_whom_their_declarations_say(firm: Firm) -> None:
    """
    On real servers, by the very command that an auditor gives; what cannot be noticed is not.

    A program that could not fail would prove nothing: in one more way nothing is broken, and a finding is promised; and
    in one more kind of what nothing notices, an edit is noticed when it is done by itself.
    """
    nothing = Way(name="nothing", what="nothing", where="nowhere", threats=(1,), how="by nobody", mode="chain",
                  do=lambda scene: Expected(kind="BYTES_MODIFIED"), blind=("full",))  # fmt: skip
    kind = Way(name="a kind", what="little", where="nowhere", threats=(1,), how="by nobody", mode=None,
               blind=("chain",), do=lambda scene: None, edits=(
                   Edit("nothing", "nowhere", lambda scene: None),
                   Edit("an actor", "events", lambda scene: scene.intruder().edit(
                       "events", "UPDATE ledger.events SET actor = 'x' WHERE seq = 9", least=1)),
               ))  # fmt: skip
    *outcomes, several, last = all_of(firm, [*(WAYS[name] for name in CHOSEN), kind, nothing])
    assert [outcome.wrong for outcome in outcomes] == [""] * len(CHOSEN)
    assert [outcome.name for outcome in outcomes if outcome.found == outcome.cannot_be_found] == []
    assert [[(one.what, answer.status) for answer in one.answers] for one in several.edits] == [
        [("nothing", 0)], [("an actor", 3)], [("all of these at once", 0)],
    ]  # fmt: skip
    assert several.wrong.startswith("an actor: chain should notice nothing")
    assert not last.found
    assert "ended with 0" in last.wrong


def test_every_threat_column_and_read_model_is_tampered_with() -> None:
    """No threat of the design's table, no column of events and no read model is left out, and few ways go unnoticed."""
    assert {number for way in WAYS.values() for number in way.threats} == set(page.THREATS) == set(range(1, 23))
    assert len(WAYS) >= LEAST_WAYS
    assert sum(way.mode is None for way in WAYS.values()) <= MOST_UNDETECTABLE
    assert {"chain_id", "seq", *EDITED} == set(RecordedEvent.__struct_fields__)
    edited = {way.where.partition(".")[0] for way in WAYS.values()}
    assert set(TABLES) <= edited
    named = {mode for way in WAYS.values() for mode in (way.mode or "full", *way.also, *way.blind)}
    assert named <= set(MODES)


def test_the_page_has_every_way_that_the_program_has() -> None:
    """It was made by this program: who adds a way, or words one anew, runs `make tamper`."""
    text = (ROOT / "docs" / "TAMPER.md").read_text()
    listed: dict[str, Any] = {line.split(" | ")[0].removeprefix("| "): line for line in text.splitlines()}
    for name, way in WAYS.items():
        assert name in listed, f"docs/TAMPER.md has no way called {name!r}: run make tamper"
        assert page.cell(f"{way.what} ({way.where})") in listed[name], name
    assert len([name for name in listed if name in WAYS]) == len(WAYS)
    done = [line for line in text.splitlines() if ": 0 verified |" in line]
    for name, way in WAYS.items():
        for what, where in [(edit.what, edit.where) for edit in way.edits] or [(way.what, way.where)]:
            begins = f"| {page.cell(what)} | {name} | {page.cell(where)} | "
            assert way.mode is not None or any(line.startswith(begins) for line in done), begins
    assert Path(ROOT / "Makefile").read_text().count("python -m tests.tamper") == 1
