"""
Start a second applier of one chain in one region, and let one lose its lock: no good chain is called wrong for that.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger import Ledger
from ledger.chain import signatures
from ledger.errors import Divergence, Unavailable
from ledger.storage import outbox
from replicator.applier import Applier
from tests.conftest import ORIGIN
from tests.journal.test_ledger import fill
from tests.replicator.conftest import PUBLISHER, REPLICA, Regions, in_step, until
from tests.replicator.test_key_rotation import append
from tests.verifier.intruder import Intruder, report_on

PATIENCE_S = 60
ANOTHER = "another applier of this chain is running in this region; stop it first"
Start = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def ledger(regions: Regions) -> Iterator[Ledger]:
    with Ledger.open(regions.a.dsn("writer")) as opened:
        fill(opened)
        yield opened


@pytest.fixture
def start(regions: Regions, tmp_path: Path) -> Iterator[Start]:
    """Yield what starts `apply` in region b, each time with the same options, as a terminal or a supervisor does."""
    signatures.write(tmp_path / "key", REPLICA)
    started = []

    def made() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "replicator", "apply", "--kafka", regions.kafka.bootstrap, "--key",
             str(tmp_path / "key"), "--origin", ORIGIN, "--chain-id", regions.chain_id.hex(), "--trust",
             PUBLISHER.public_key.hex(), "--dsn", regions.b.dsn("applier")],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield made
    for process in started:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def applied(regions: Regions, seq: int, running: subprocess.Popen[str]) -> None:
    """Wait until region b has event *seq*, which *running* is to apply."""

    def looked() -> None:
        time.sleep(0.05)
        assert running.poll() is None, running.communicate()

    until(looked, lambda: regions.b.sql("SELECT max(seq) FROM ledger.chain_heads") == str(seq), PATIENCE_S)


def test_a_second_applier_ends_at_once_and_the_first_goes_on(regions: Regions, ledger: Ledger, start: Start) -> None:
    """Told as a second publisher is; once the first was stopped, another takes its place."""
    publisher = regions.publisher()
    until(publisher.step, lambda: publisher.status.published_seq == ledger.head().seq)
    first = start()
    applied(regions, ledger.head().seq, first)
    for _ in range(2):
        second = start()
        assert second.communicate(timeout=PATIENCE_S) == (None, f"error: {ANOTHER}\n")
        assert second.returncode == 5
    append(ledger, 5, "later")
    publisher.step()
    applied(regions, ledger.head().seq, first)
    first.terminate()
    assert first.wait(PATIENCE_S) == 0
    append(ledger, 1, "last")
    publisher.step()
    applied(regions, ledger.head().seq, start())
    assert report_on(regions.b).findings == []


def test_of_two_that_start_in_an_empty_region_at_once_one_applies(
    regions: Regions, ledger: Ledger, start: Start
) -> None:
    """Both would make the chain there; whichever comes second is told of the other."""
    publisher = regions.publisher()
    until(publisher.step, lambda: publisher.status.published_seq == ledger.head().seq)
    both = [start(), start()]
    until(lambda: time.sleep(0.05), lambda: any(one.poll() is not None for one in both), PATIENCE_S)
    (ended,) = (one for one in both if one.poll() is not None)
    assert (ended.communicate()[1], ended.returncode) == (f"error: {ANOTHER}\n", 5)
    (running,) = (one for one in both if one is not ended)
    applied(regions, ledger.head().seq, running)
    assert regions.b.sql("SELECT count(*) FROM ledger.chains") == "1"


def losing(regions: Regions) -> tuple[Applier, Applier]:
    """Return two appliers of one head; the first has lost its lock, as behind a pooler that shares out connections."""
    loser = regions.applier()
    outbox.unlock(loser._connection)
    return loser, regions.applier()


@pytest.mark.parametrize("count", [1, 30])
def test_who_loses_its_lock_and_comes_late_is_told_of_the_other(regions: Regions, ledger: Ledger, count: int) -> None:
    """The events are judged against rows that are this applier's own, or not at all."""
    publisher = regions.publisher()
    in_step(publisher, first := regions.applier(), ledger.head().seq)
    first.close()
    loser, winner = losing(regions)
    append(ledger, count, "later")
    in_step(publisher, winner, ledger.head().seq)
    with pytest.raises(Unavailable, match=ANOTHER) as told:
        until(lambda: loser.step(20), lambda: False)
    assert told.value.exit_status == 5
    append(ledger, 1, "last")
    in_step(publisher, winner, ledger.head().seq)
    assert report_on(regions.b).findings == []


def test_who_comes_late_in_an_empty_region_is_told_of_the_other(regions: Regions, ledger: Ledger) -> None:
    """Before its first event it has no event to know its own head by."""
    loser, winner = losing(regions)
    in_step(regions.publisher(), winner, ledger.head().seq)
    with pytest.raises(Unavailable, match=ANOTHER):
        until(lambda: loser.step(20), lambda: False)


@pytest.mark.parametrize("edit", ["seq = seq + 1", "seq = seq - 1", "hash = decode(repeat('07', 32), 'hex')"])
def test_a_head_that_is_none_of_the_chain_is_still_corruption(regions: Regions, ledger: Ledger, edit: str) -> None:
    """Nobody applied what it says, so no other applier is blamed for it."""
    publisher, applier = regions.publisher(), regions.applier()
    in_step(publisher, applier, before := ledger.head().seq)
    with Intruder(regions.b) as intruder:
        intruder.edit("chain_heads", f"UPDATE ledger.chain_heads SET {edit}", least=1)
    append(ledger, 1, "next")
    publisher.step()
    with pytest.raises(Divergence, match=f"was event {before} .*; verify"):
        until(lambda: applier.step(20), lambda: False)
