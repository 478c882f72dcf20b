"""
Break the broker under the client library, where that is known to get it wrong, and hold the transport to its word.

The broker is real. It is stopped in its tracks (SIGSTOP) or killed at the moment that matters, and only the client's
patience is shorter here than it is in use. Where a release of the library mends what a test is about, the transport
may become simpler; until then each of these fails without the transport's own care.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger import Ledger
from ledger.errors import BrokerDown
from ledger.sandbox.kafka import Broker
from replicator import segment, transport
from tests.journal.test_ledger import fill
from tests.replicator.conftest import PUBLISHER, Regions, segments_of, until

PATIENCE_MS = {"delivery_timeout_ms": 1_000, "request_timeout_ms": 700, "reconnect_backoff_max_ms": 200}
Record = tuple[bytes, bytes, list[tuple[str, bytes]]]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    real = transport.KafkaProducer
    monkeypatch.setattr(transport, "KafkaProducer", lambda **settings: real(**{**settings, **PATIENCE_MS}))


@pytest.fixture
def topic(kafka: Broker) -> str:
    chain_id = os.urandom(16)
    transport.make_topics(kafka.bootstrap, chain_id)
    return transport.segments_topic(chain_id)


def stop(kafka: Broker) -> None:
    """Stop the broker, and return when every thread of it has: those on another processor run on for a moment."""
    pid = kafka._process.pid
    os.kill(pid, signal.SIGSTOP)
    while any(state_of(task) != "T" for task in Path(f"/proc/{pid}/task").iterdir()):
        time.sleep(0.001)


def state_of(task: Path) -> str:
    try:
        return (task / "stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        # It ended while it was looked at.
        return "T"


def go_on(kafka: Broker) -> None:
    os.kill(kafka._process.pid, signal.SIGCONT)


@contextlib.contextmanager
def going_on_after(kafka: Broker) -> Iterator[None]:
    """Whatever happens, let the broker go on at the end."""
    try:
        yield
    finally:
        go_on(kafka)


COMMITS_TO_THE_DEAD = """
transport.SEND_TIMEOUT_S = 2
sender = transport.Sender(bootstrap, topic, "publisher")
sender.send([(b"key", b"before", [])])
commit = sender._commit

def end_before() -> None:
    os.kill(broker, signal.SIGTERM)
    with contextlib.suppress(OSError):
        while True:
            socket.create_connection(bootstrap.split(":")).close()
            time.sleep(0.02)
    commit()

sender._commit = end_before
try:
    sender.send([(b"key", b"lost", [])])
except BrokerDown as error:
    print(error, flush=True)
os._exit(0)
"""
MISSES_THE_DEAD = """
receiver = transport.Receiver(bootstrap, topic)
receiver._heard -= 60
print(receiver.poll(), flush=True)
os.kill(broker, signal.SIGTERM)
receiver._heard -= 60
try:
    while True:
        receiver.poll()
except BrokerDown as error:
    print(error, flush=True)
os._exit(0)
"""
ENDS_IN_DOUBT = """
cli.app = typer.Typer()

@cli.app.command()
def end_in_doubt() -> None:
    global sender  # Deleted, it would complain.
    sender = transport.Sender(bootstrap, topic)
    sender.send([(b"key", b"before", [])])
    os.kill(broker, signal.SIGSTOP)
    sender._producer.send(topic, key=b"key", value=b"pending")
    sender.close()
    print("closed")

cli.main()
"""


def in_a_process(program: str, kafka: Broker, topic: str) -> subprocess.CompletedProcess[str]:
    """Run *program*, which leaves a producer that no process can close: its sockets would stay in this one."""
    given = (
        "import contextlib, os, signal, socket, sys, time, typer\n"
        "from ledger.errors import BrokerDown\nfrom replicator import cli, transport\n"
        "broker, topic, bootstrap = int(sys.argv.pop()), sys.argv.pop(), sys.argv.pop()\n"
    )
    return subprocess.run(
        [sys.executable, "-c", given + program, kafka.bootstrap, topic, str(kafka._process.pid)],
        capture_output=True, text=True, check=False, timeout=40, cwd=Path(__file__).parents[2],
    )  # fmt: skip


def record(value: bytes) -> Record:
    return b"key", value, []


def before_commit(sender: transport.Sender, happens: Callable[[], None]) -> None:
    """Let something happen once all records of a transaction are written, and it is to be committed."""
    commit = sender._commit

    def after_it() -> None:
        happens()
        commit()

    sender._commit = after_it


def read(kafka: Broker, topic: str) -> list[bytes]:
    receiver = transport.Receiver(kafka.bootstrap, topic)
    found = list(receiver.newest_first())[::-1]
    receiver.close()
    return found


def test_a_commit_that_returns_proves_nothing_of_a_record_that_expired(kafka: Broker, topic: str) -> None:
    """The second of two records expires unsent, and the commit would be answered as if both were there."""
    sender = transport.Sender(kafka.bootstrap, topic, "publisher")
    sender.send([record(b"before")])
    send, futures = sender._producer.send, []

    def go_on_once_expired() -> None:
        while not futures[1].is_done:
            time.sleep(0.01)
        go_on(kafka)

    def stopped_between(*given: Any, **named: Any) -> Any:
        if futures:
            futures[0].get(10)
            stop(kafka)
        futures.append(send(*given, **named))
        if len(futures) == 2:
            threading.Thread(target=go_on_once_expired).start()
        return futures[-1]

    sender._producer.send = stopped_between
    with going_on_after(kafka), pytest.raises(BrokerDown, match="Expiring"):
        sender.send([record(b"one"), record(b"two")])
    sender.close()
    # The next sender ends what that one left open.
    transport.Sender(kafka.bootstrap, topic, "publisher").close()
    assert read(kafka, topic) == [b"before"]


def test_a_commit_to_a_broker_that_died_does_not_wait_for_ever(tmp_path: Path) -> None:
    """The client would wait without end, also once the broker is back; the sender gives up, and is in doubt."""
    broker = Broker.start(tmp_path / "kafka")
    try:
        transport.make_topics(broker.bootstrap, bytes(16))
        done = in_a_process(COMMITS_TO_THE_DEAD, broker, transport.segments_topic(bytes(16)))
    finally:
        broker.stop()
    assert "reads from the topic's tail what was recorded" in done.stdout


def test_a_broker_that_goes_away_is_missed_also_where_nothing_happens(tmp_path: Path) -> None:
    """To the client a dead broker is a topic without news: after a while without a record it is asked."""
    broker = Broker.start(tmp_path / "kafka")
    try:
        transport.make_topics(broker.bootstrap, bytes(16))
        done = in_a_process(MISSES_THE_DEAD, broker, transport.segments_topic(bytes(16)))
    finally:
        broker.stop()
    assert done.stdout.startswith("[]\nKafka at ")


def test_what_a_send_that_failed_has_written_is_found_at_the_tail(regions: Regions) -> None:
    """The broker commits and its answer is late: that publisher cannot go on, and the next one sends nothing twice."""
    with Ledger.open(regions.a.dsn("writer")) as ledger:
        fill(ledger)
        head = ledger.head().seq
    publisher = regions.publisher()
    before_commit(publisher._sender, lambda: stop(regions.kafka))
    with going_on_after(regions.kafka), pytest.raises(BrokerDown):
        until(publisher.step, lambda: False)
    with pytest.raises(BrokerDown):
        publisher.step()
    publisher.close()
    again = regions.publisher()
    assert again._seq > 0
    until(again.step, lambda: again._seq == head)
    parts = [segment.decode(value, PUBLISHER.public_key) for value in segments_of(regions)]
    assert [part.first_seq for part in parts] == [1, *(part.last_seq + 1 for part in parts[:-1])]


def test_a_new_sender_fences_the_old_one_and_what_that_left_open_is_never_seen(kafka: Broker, topic: str) -> None:
    """Records of a transaction that was never committed are in the topic, and no receiver returns them."""
    old = transport.Sender(kafka.bootstrap, topic, "publisher")
    old._producer.begin_transaction()
    old._producer.send(topic, key=b"key", value=b"left open").get(10)
    new = transport.Sender(kafka.bootstrap, topic, "publisher")
    new.send([record(b"after")])
    with pytest.raises(BrokerDown):
        old.send([record(b"late")])
    assert read(kafka, topic) == [b"after"]
    old.close()
    new.close()


def test_a_process_ends_though_its_producer_has_something_pending(kafka: Broker, topic: str) -> None:
    """The client cannot be closed then and raises as the interpreter ends; the programs end without it."""
    with going_on_after(kafka):
        done = in_a_process(ENDS_IN_DOUBT, kafka, topic)
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")
