"""
Check that a promise outlives its process and is held by one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.errors import InvalidInput, NotPermitted, Unavailable
from ledger.evidence.witness import Kept
from ledger.sealing import promises
from ledger.sealing.promises import Promises
from tests.sealing.logs import KEY, Log

LOG = Log()


def kept(size: int) -> Kept:
    return Kept(size, Log().read([(0, 0)])[0], LOG.signed(size))


def test_what_was_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    """The note itself is kept, in a file that its owner alone may read."""
    path = tmp_path / "state" / "signer.json"
    with Promises(path) as first:
        assert first.kept == {}
        first.keep(KEY.name, kept(3))
        first.keep(KEY.name, kept(5))
    assert path.stat().st_mode & 0o777 == 0o600
    with Promises(path) as second:
        assert second.kept[KEY.name].signed == LOG.signed(5)
        assert second.kept[KEY.name].size == 5


def test_two_processes_cannot_hold_one_state(tmp_path: Path) -> None:
    """The second is told so; once the first is gone it may."""
    path = tmp_path / "signer.json"
    with Promises(path), pytest.raises(Unavailable, match="held by another process"):
        Promises(path)
    Promises(path).close()


def test_a_state_that_others_may_write_or_nobody_can_read_is_refused(tmp_path: Path) -> None:
    """What could have been put back unseen is no promise."""
    path = tmp_path / "signer.json"
    with Promises(path) as state:
        state.keep(KEY.name, kept(3))
    good = path.read_bytes()
    path.chmod(0o666)
    with pytest.raises(NotPermitted, match="chmod 600"):
        Promises(path)
    path.chmod(0o600)
    for wrong, says in (
        (b"", "no state"),
        (good[:-20], "no state"),
        (good.replace(b'"schema_version": 1', b'"schema_version": 2'), "version 2"),
        (good.replace(b'"ledger.example/trades": ', b'"another.example/log": '), "under"),
        (good.replace(b"ledger.example/trades\\n3\\n", b"ledger.example/trades\\n03\\n"), "leading zeros"),
    ):
        path.write_bytes(wrong)
        with pytest.raises(InvalidInput, match=says):
            Promises(path)
    path.write_bytes(good)
    Promises(path).close()
    with pytest.raises(InvalidInput, match="cannot be used"):
        Promises(tmp_path / "signer.json" / "below a file")


def test_a_link_leads_to_the_state_or_is_refused(tmp_path: Path) -> None:
    """Where it leads nowhere what was promised is not at hand; where it leads somewhere that is the file."""
    volume, link = tmp_path / "volume", tmp_path / "signer.json"
    link.symlink_to(volume / "state.json")
    with pytest.raises(InvalidInput, match="nothing is there; mount"):
        Promises(link)
    assert link.is_symlink()
    with Promises(volume / "state.json") as state:
        state.keep(KEY.name, kept(3))
    with Promises(link) as state:
        with pytest.raises(Unavailable, match="held by another process"):
            Promises(volume / "state.json")
        state.keep(KEY.name, kept(4))
    assert link.is_symlink()
    with Promises(volume / "state.json") as state:
        assert state.kept[KEY.name].size == 4


def test_a_crash_while_a_state_is_written_leaves_the_one_before(tmp_path: Path) -> None:
    """What stands beside the state and was not put in its place is nothing."""
    path = tmp_path / "signer.json"
    with Promises(path) as state:
        state.keep(KEY.name, kept(3))
    path.with_name("signer.json.new").write_bytes(promises.encode({KEY.name: kept(9)})[:40])
    with Promises(path) as state:
        assert state.kept[KEY.name].size == 3
        state.keep(KEY.name, kept(4))
    with Promises(path) as state:
        assert state.kept[KEY.name].size == 4
