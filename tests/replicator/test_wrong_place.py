"""
Start publisher and applier in the wrong place: with another's key, login, region or chain, or with a dead server.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from ledger import Ledger
from ledger.chain import signatures
from ledger.chain.signatures import KeyPair
from ledger.errors import InvalidInput, NotPermitted, NotPrimary
from ledger.sandbox.kafka import Broker
from replicator import transport
from replicator.applier import Applier
from replicator.publisher import Publisher
from tests.commands import ROOT
from tests.conftest import ORIGIN
from tests.replicator.conftest import PUBLISHER, REPLICA, Regions, in_step, reference, until


def publisher(regions: Regions, login: str = "publisher", region: str = "a", **given: object) -> Publisher:
    side = regions.a if region == "a" else regions.b
    return Publisher(side.dsn(login), ORIGIN, regions.kafka.bootstrap, **({"key": PUBLISHER} | given))  # type: ignore[arg-type]


def applier(regions: Regions, login: str = "applier", region: str = "b", **given: object) -> Applier:
    side = regions.a if region == "a" else regions.b
    plain = {"origin": ORIGIN, "chain_id": regions.chain_id, "key": REPLICA} | given
    return Applier(side.dsn(login), bootstrap=regions.kafka.bootstrap, trusted=PUBLISHER.public_key, **plain)  # type: ignore[arg-type]


def test_the_primary_does_not_acknowledge_itself(regions: Regions) -> None:
    """Its word would count as a second copy that nobody has; nor does it go on once it was made primary."""
    with pytest.raises(NotPermitted, match="is the primary"):
        applier(regions, region="a")
    with Ledger.open(regions.a.dsn("writer")) as ledger:
        ledger.append(reference()[0], key="one")
    replica = regions.applier()
    in_step(regions.publisher(), replica, 2)
    regions.b.sql("UPDATE ledger.chain_heads SET mode = 'primary'")
    replica._said_seq, replica._said_at = 0, 0.0
    with pytest.raises(NotPermitted, match="is the primary"):
        replica.step()


def test_a_replica_publishes_nothing(regions: Regions) -> None:
    """What it has came from the topic; its own lag would hide the primary's."""
    replica = regions.applier()
    in_step(regions.publisher(), replica, 1)
    for side in regions.running:
        side.close()
    regions.running.clear()
    with pytest.raises(NotPrimary, match="publish where it is primary"):
        publisher(regions, region="b")


@pytest.mark.parametrize(
    ("start", "error", "words"),
    [
        (lambda regions: publisher(regions, key=REPLICA), InvalidInput, "a replica's key"),
        (lambda regions: publisher(regions, older=[REPLICA]), InvalidInput, "a replica's key"),
        (lambda regions: publisher(regions, "reader"), NotPermitted, "login reader .* ledger_publisher"),
        (lambda regions: publisher(regions, again_after=-5), InvalidInput, "events 1 to 1"),
        (lambda regions: publisher(regions, again_after=2), InvalidInput, "events 1 to 1"),
        (lambda regions: applier(regions, key=PUBLISHER), InvalidInput, "a publisher's key"),
        (lambda regions: applier(regions, "reader"), NotPermitted, "login reader .* ledger_applier"),
        (lambda regions: applier(regions, "writer"), NotPermitted, "login writer .* ledger_applier"),
    ],
)
def test_a_start_that_cannot_be_meant_is_refused_before_anything_is_sent(
    regions: Regions, start: Callable[[Regions], object], error: type[Exception], words: str
) -> None:
    """Another program's key or login, or an event that is not there, says so by itself."""
    with pytest.raises(error, match=words):
        start(regions)


def test_a_chain_known_by_another_name_is_not_made_again(regions: Regions) -> None:
    """The id is that of a chain which is here, so its origin was mistyped, or another's was given."""
    applier(regions).close()
    with pytest.raises(InvalidInput, match=f"is called {ORIGIN} here, not example.com/typo"):
        applier(regions, origin="example.com/typo")


def test_a_replica_that_the_chain_does_not_name_says_that_it_is_not_heard(regions: Regions) -> None:
    """Its key may be named later, so it applies; until then nobody counts on it, and its status says so."""
    stranger = KeyPair("replica", "stranger", bytes(31) + b"\x09")
    replica, source = applier(regions, key=stranger), regions.publisher()
    regions.running.append(replica)
    until(lambda: (source.step(), replica.step(20)), lambda: source.status.rejected_records > 0)
    assert replica.status.applied_seq == 1
    assert [x for x in replica.status.reasons if stranger.key_id in x]
    assert source.status.acknowledgements == 0


@pytest.mark.parametrize("program", ["publish", "apply"])
def test_a_server_that_goes_away_ends_the_program_with_its_status(
    regions: Regions, tmp_path: Path, program: str
) -> None:
    """A supervisor learns that a dependency is down; nobody is told of a fault of the program."""
    pair, dsn = (PUBLISHER, regions.a.dsn("publisher")) if program == "publish" else (REPLICA, regions.b.dsn("applier"))
    key, status = tmp_path / "key", tmp_path / "status"
    signatures.write(key, pair)
    more = ["--chain-id", regions.chain_id.hex(), "--trust", PUBLISHER.public_key.hex()] if program == "apply" else []
    running = subprocess.Popen(
        [sys.executable, "-m", "replicator", program, "--origin", ORIGIN, "--kafka", regions.kafka.bootstrap,
         "--key", str(key), "--dsn", dsn, "--status", str(status), *more],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not status.exists():
            assert running.poll() is None, running.stderr and running.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        name = regions.a.name if program == "publish" else regions.b.name
        with psycopg.connect(regions.a.server.dsn("postgres", "postgres"), autocommit=True) as intruder:
            while running.poll() is None and time.monotonic() < deadline:
                intruder.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s "
                                 "AND application_name LIKE 'ledger %%'", [name])  # fmt: skip
                if program == "apply":
                    # It meets its server when there is something to apply, or to say again.
                    with Ledger.open(regions.a.dsn("writer")) as ledger:
                        ledger.append(reference()[0], key="one")
                    side = regions.publisher()
                    side.step()
                    side.close()
                    regions.running.remove(side)
                time.sleep(0.2)
        said = running.communicate(timeout=30)[1]
    finally:
        if running.poll() is None:
            os.kill(running.pid, signal.SIGKILL)
            running.wait()
    assert running.returncode == 5, said
    assert "PostgreSQL cannot be used now" in said
    assert "Traceback" not in said


def printed(bootstrap: str, chain_id: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "replicator", "events", "--kafka", bootstrap, "--chain-id", chain_id],
        cwd=ROOT, input="1\n", capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_the_events_of_a_chain_without_a_topic_are_refused_at_once(regions: Regions) -> None:
    """The client would wait for half a minute; the chains that are there are named, for the id may be mistyped."""
    transport.make_topics(regions.kafka.bootstrap, regions.chain_id)
    mistyped = os.urandom(16).hex()
    began = time.monotonic()
    done = printed(regions.kafka.bootstrap, mistyped)
    assert time.monotonic() - began < 15
    assert (done.returncode, done.stdout) == (8, "")
    assert f"has no topic ledger.{mistyped}.segments.v1; it has those of chain" in done.stderr
    assert "give the --chain-id of one that is published there" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_chain_id_of_another_length_is_refused_before_the_broker_is_asked() -> None:
    """No topic has such a name."""
    done = printed("127.0.0.1:1", "ab")
    assert (done.returncode, done.stdout) == (8, "")
    assert "found 2 hexadecimal digits for --chain-id; expected 32" in done.stderr


def test_whoever_reads_a_topic_that_is_not_there_hears_which_chains_have_one(kafka: Broker) -> None:
    """Five by their ids, for there may be any number.

    The ids are the lowest there are: other tests' chains, whose ids are random, share this broker.
    """
    lowest = [number.to_bytes(16, "big") for number in range(9)]
    for chain_id in lowest:
        transport.make_topics(kafka.bootstrap, chain_id)
    named = ", ".join(chain_id.hex() for chain_id in lowest[:5])
    with pytest.raises(transport.NoTopic, match=f"those of chain {named} and [0-9]+ more$"):
        transport.Receiver(kafka.bootstrap, "ledger.none.acks.v1")
