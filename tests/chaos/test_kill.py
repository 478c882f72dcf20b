"""
Kill -9 everything, again and again, at random moments, and let the verifier be the judge.

A writer process appends, two sides of the replicator run, and a supervisor starts each again when it ends. Between
them the test kills the writer, the publisher, the applier, the broker and both databases' servers. What the writer was
told is durable must be there, once; and when all is quiet both regions are equal and verify. LEDGER_TEST_KILLS sets
how often each is killed (5; `make crash` 50), LEDGER_TEST_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.chain import signatures
from ledger.chain.link import ChainHead
from ledger.cli import access
from ledger.domain.rows import TABLES
from ledger.errors import LedgerError
from ledger.queries import Books
from ledger.sandbox.kafka import Broker
from ledger.sandbox.postgres import Server
from ledger.storage import chains, upgrade
from ledger.storage import database as db
from tests.conftest import ORIGIN
from verifier.full import verify
from verifier.reader import Reader

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("LEDGER_TEST_KILLS", "5"))
SEED = int(os.environ.get("LEDGER_TEST_SEED", time.time_ns() % 1_000_000))
ORDERS = 60 * KILLS

WRITER = """
import sys, time
from ledger import Ledger, LedgerError
from ledger.domain.events.orders import OrderPlaced, OrderCanceled
from tests.journal.test_ledger import fill, order, trade

dsn, told, last = sys.argv[1], open(sys.argv[2], "a", buffering=1), int(sys.argv[3])
with Ledger.open(dsn) as ledger:
    fill(ledger)
    first = 0
    while first < last and ledger.lookup(f"t{first}") is not None:
        first += 1
    for n in range(first, last, 4):
        run = range(n, min(n + 4, last))
        futures = [(f"o{k}", ledger.submit(order(f"O{k}"), key=f"o{k}")) for k in run]
        futures += [(f"t{k}", ledger.submit(trade(f"T{k}", f"O{k}", "0.005"), key=f"t{k}")) for k in run]
        for key, future in futures:
            receipt = future.result(30)
            told.write(f"{key} {receipt.seq}\\n")
print("done")
"""


class Supervised:
    """A process that is started again whenever it ends."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.command, self.log, self.starts = command, log, 0
        self.process: subprocess.Popen[bytes] | None = None
        self.finished = False

    def tend(self) -> None:
        if self.finished or (self.process is not None and self.process.poll() is None):
            return
        if self.process is not None and self.process.returncode == 0:
            self.finished = True
            return
        if self.process is not None:
            # 3 is corruption: starting again would hide it.
            assert self.process.returncode != 3, self.log.read_text()[-3000:]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, cwd=ROOT, stdout=log, stderr=log)
        self.starts += 1

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[tuple[Server, Server, Broker]]:
    started: list[Server | Broker] = []
    try:
        for region in ("a", "b"):
            server = Server.start(tmp_path / region)
            started.append(server)
            upgrade.upgrade(server.dsn("owner"))
        broker = Broker.start(tmp_path / "kafka")
        started.append(broker)
        a, b = started[0], started[1]
        assert isinstance(a, Server)
        assert isinstance(b, Server)
        yield a, b, broker
    finally:
        for one in started:
            one.stop()


def head(server: Server) -> ChainHead | None:
    try:
        with Books(server.dsn("reader"), ORIGIN) as books:
            return books.head()
    except LedgerError:
        return None


def wait_equal(server: Server, replica: Server, tended: list[Supervised], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        for one in tended:
            one.tend()
        found = head(server)
        if found is not None and found == head(replica):
            return
        assert time.monotonic() < deadline, "\n".join(one.log.read_text()[-1500:] for one in tended)
        time.sleep(0.2)


def test_kills_at_random_moments_lose_and_double_nothing(stage: tuple[Server, Server, Broker], tmp_path: Path) -> None:
    """Each part is killed KILLS times; every acknowledged request is there once, and both regions verify and agree."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    a, b, broker = stage
    access.init(access.Access(None, str(a.socket)), ORIGIN, tmp_path / "keys", "writer")
    with db.connect(a.dsn("reader"), "test") as connection:
        chain = chains.find(connection, ORIGIN)
    trusted = signatures.read(tmp_path / "keys" / "publisher.json").public_key.hex()
    told = tmp_path / "told"
    run = [sys.executable, "-m", "replicator"]
    common = ["--kafka", broker.bootstrap, "--origin", ORIGIN]
    writer = Supervised(
        [sys.executable, "-c", WRITER, a.dsn("writer"), str(told), str(ORDERS)], tmp_path / "writer.log"
    )
    publisher = Supervised(
        [*run, "publish", "--dsn", a.dsn("publisher"), "--key", f"{tmp_path}/keys/publisher.json", *common],
        tmp_path / "publisher.log",
    )
    applier = Supervised(
        [*run, "apply", "--dsn", b.dsn("applier"), "--key", f"{tmp_path}/keys/replica.json", "--trust", trusted,
         "--chain-id", chain.chain_id.hex(), *common],
        tmp_path / "applier.log",
    )  # fmt: skip
    tended = [writer, publisher, applier]
    plan = [kind for kind in ("writer", "publisher", "applier", "broker", "a", "b") for _ in range(KILLS)]
    rng.shuffle(plan)
    try:
        for kind in plan:
            pause = time.monotonic() + rng.uniform(0.3, 1.6)
            while time.monotonic() < pause:
                for one in tended:
                    one.tend()
                time.sleep(0.05)
            if kind in ("a", "b"):
                server = a if kind == "a" else b
                server.kill()
                server.restart()
            elif kind == "broker":
                broker.kill()
                broker.restart()
            else:
                {"writer": writer, "publisher": publisher, "applier": applier}[kind].kill()
        deadline = time.monotonic() + 60 + 4 * KILLS
        while not writer.finished:
            for one in tended:
                one.tend()
            assert time.monotonic() < deadline, writer.log.read_text()[-3000:]
            time.sleep(0.1)
        wait_equal(a, b, tended, 60)
    finally:
        for one in tended:
            one.kill()
    check(a, b, told)


def check(a: Server, b: Server, told: Path) -> None:
    """Assert that what was told is so, and that both regions verify with the same rows."""
    for server in (a, b):
        with Reader(server.dsn("auditor"), ORIGIN) as reader:
            assert verify(reader).findings == []
    with Books(a.dsn("reader"), ORIGIN) as one, Books(b.dsn("reader"), ORIGIN) as other:
        for table in TABLES:
            assert set(one.table(table).value) == set(other.table(table).value)
        orders = {row.order_id for row in one.table("orders").value}
    keys = dict(
        line.rsplit(" ", 1)
        for line in a.sql("SELECT key || ' ' || first_seq FROM ledger.idempotency_keys", "ledger").splitlines()
    )
    for line in told.read_text().splitlines():
        if line.count(" ") == 1 and line.endswith(tuple("0123456789")):
            key, seq = line.split(" ")
            assert keys[key] == seq
    assert {f"O{n}" for n in range(ORDERS)} <= orders
