"""
Check what is mutated by which tests, that a seed draws the same, and that the page counts what it should.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import msgspec
import pytest

from tests.mutation import folder, page, verdicts
from tests.mutation.__main__ import changed, share, unrun
from tests.mutation.folder import ROOT, Mutant
from tests.mutation.groups import GROUPS, group_of

MADE = [Mutant(f"ledger.chain.entry.x_parse__mutmut_{number}", "ledger/chain/entry.py", None) for number in range(20)]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_every_group_has_sources_and_tests_that_are_there(group: object) -> None:
    """A pattern that fits no file would mutate nothing, and a test that is gone would notice nothing."""
    for pattern in group.sources:  # type: ignore[attr-defined]
        assert list(ROOT.glob(pattern)), pattern
    for path in group.tests:  # type: ignore[attr-defined]
        assert (ROOT / path).exists(), path
    for path in group.whole:  # type: ignore[attr-defined]
        assert (ROOT / path).exists(), path
        assert group_of(path) == group


def test_a_file_is_of_one_group_or_none() -> None:
    """By its place."""
    found = [
        group_of(path) for path in ("ledger/chain/link.py", "verifier/archive/ranges.py", "ledger/journal/ledger.py")
    ]
    assert [group.name if group else None for group in found] == ["chain", "archives", None]


def test_a_seed_draws_the_same_mutants() -> None:
    """So many of them, others with another seed, and all where there are no more."""
    assert folder.drawn(MADE, 5, 1) == folder.drawn(MADE[::-1], 5, 1)
    assert folder.drawn(MADE, 5, 1) != folder.drawn(MADE, 5, 2)
    assert len(folder.drawn(MADE, 50, 1)) == 20
    more = [msgspec.structs.replace(one, name=f"{one.name}0") for one in MADE]
    assert len({*folder.drawn([*MADE[3:], *more[:2]], 10, 1)} & {*folder.drawn(MADE, 10, 1)}) >= 5


def test_all_of_a_whole_file_are_run_beside_what_is_drawn() -> None:
    """What is small and decides much is not left to the draw; where nothing is drawn all are run."""
    other = [Mutant(f"x.x_a__mutmut_{number}", "x.py", None) for number in range(3)]
    sampled = msgspec.structs.replace(GROUPS[0], sample=5, whole=("x.py",))
    drawn = {one.name for one in folder.drawn([*MADE, *other], 5, 1)}
    found = {one.name for one in folder.chosen(sampled, [*MADE, *other], 1)}
    assert found == drawn | {one.name for one in other}
    assert folder.chosen(msgspec.structs.replace(sampled, sample=None), MADE, 1) == MADE


def test_a_folder_has_links_and_a_configuration_of_its_own(tmp_path: Path) -> None:
    """The code is not copied there, and what pytest is told in the tree it is told there too."""
    place = folder.folder_of(GROUPS[0], tmp_path)
    assert folder.folder_of(GROUPS[0], tmp_path) == place
    assert (place / "ledger").resolve() == ROOT / "ledger"
    told = tomllib.loads((place / "pyproject.toml").read_text())["tool"]
    assert told["mutmut"]["only_mutate"] == list(GROUPS[0].sources)
    assert "error" in told["pytest"]["ini_options"]["filterwarnings"]


def test_what_is_noticed_is_counted(tmp_path: Path) -> None:
    """From the verdicts that a run leaves: killed, living, without a test, not run."""
    meta = tmp_path / "mutants" / "ledger" / "chain" / "entry.py.meta"
    meta.parent.mkdir(parents=True)
    codes = {"e.x_parse__mutmut_1": 1, "e.xǁEntryǁread__mutmut_1": 0, "e.x_a__mutmut_1": 33, "e.x_b__mutmut_1": None}
    meta.write_text(json.dumps({"exit_code_by_key": codes}))
    made = list(folder.mutants(tmp_path))
    assert [one.function for one in made] == ["parse", "Entry.read", "a", "b"]
    assert page._row("m", made) == "| m | 4 | 3 | 1 | 1 | 1 | 33.3 % |"
    assert (share(made[:3], made[1:2]), share([], [])) == (1 - 1 / 3, 1.0)


def test_a_reason_is_of_one_change() -> None:
    """None is given twice, and each says why."""
    listed = json.loads(page.REASONS.read_text())
    assert len(page.reasons()) == len(listed)
    assert all(one["reason"] for one in listed)


def test_what_was_run_is_kept_and_goes_on_in_another_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By function and its hash; what lives is kept with what it changes."""
    monkeypatch.setattr(verdicts, "HOME", tmp_path / "kept")
    group = GROUPS[0]
    assert verdicts.read(group) == verdicts.Kept()
    path = "ledger/chain/entry.py"
    codes = {"x_parse__mutmut_2": 0, "x_parse__mutmut_1": 1, "xǁEntryǁread__mutmut_1": 24, "x_a__mutmut_1": None,
             "x_b__mutmut_1": 33, "x_c__mutmut_1": 2}  # fmt: skip
    told = {f"ledger.chain.entry.{name}": code for name, code in codes.items()}
    meta = tmp_path / "mutants" / f"{path}.meta"
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"exit_code_by_key": told, "hash_by_function_name": {"x_parse": "h1", "x_a": "h2"}}))
    asked: list[list[Mutant]] = []
    monkeypatch.setattr(folder, "differences", lambda place, living: asked.append(living) or {"m": "a → b"})
    verdicts.write(group, tmp_path)
    assert [one.name.rpartition(".")[2] for one in asked[0]] == ["x_parse__mutmut_2", "x_b__mutmut_1"]
    kept = verdicts.read(group)
    assert kept.living == {"m": "a → b"}
    assert {name: (of.hash, of.verdicts) for name, of in kept.modules[path].items()} == {
        "x_parse": ("h1", "kl"), "xǁEntryǁread": ("", "t"), "x_a": ("h2", "."), "x_b": ("", "n"), "x_c": ("", "."),
    }  # fmt: skip
    again = tmp_path / "again"
    verdicts.seed(group, again, group)
    found = {one.name: one.exit_code for one in folder.mutants(again)}
    assert found == {**told, "ledger.chain.entry.xǁEntryǁread__mutmut_1": 36, "ledger.chain.entry.x_c__mutmut_1": None}
    (again / "mutants" / f"{path}.meta").write_text(json.dumps({"exit_code_by_key": {}}))
    verdicts.seed(group, again, group)
    assert list(folder.mutants(again)) == []
    others = msgspec.structs.replace(group, sources=("ledger/chain/link.py",))
    verdicts.seed(others, tmp_path / "others", group)
    assert list(folder.mutants(tmp_path / "others")) == []


def test_what_was_never_run_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder takes nothing from what another copy ran."""
    monkeypatch.setattr(verdicts, "HOME", tmp_path / "kept")
    verdicts.write(GROUPS[0], tmp_path)
    assert not (tmp_path / "kept").exists()


EVERYTHING = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""Git's name of the tree of no files, from which every file differs."""


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the sources alone, without their history")
def test_what_there_was_no_time_for_is_told_as_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """The step of CI is green where nothing was run, and says so by name."""
    assert changed(EVERYTHING, 0, 0.9) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("LEFT OUT: mutants of ")]
    assert len(said) == 1
    assert "ledger/chain/entry.py" in said[0]
    some = [msgspec.structs.replace(MADE[0], exit_code=1), *MADE[1:],
            Mutant("x.x_a__mutmut_1", "x.py", None)]  # fmt: skip
    assert unrun(some) == ["x.py"]
    assert unrun(MADE) == ["ledger/chain/entry.py"]
