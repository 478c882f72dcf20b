"""
Kill -9 everything, again and again, at random moments, and let the verifier be the judge.

A writer process appends, two sides of the replicator run, and a supervisor starts each again when it ends. Between
them the test kills the writer, the publisher, the applier, the broker and both databases' servers. The writer appends
for as long as the kills go on, and each falls on something that runs, after the writer was told of more that is
durable. That must be there, once; and when all is quiet both regions are equal and verify. LEDGER_TEST_KILLS sets how
often each is killed (5; `make crash` 50), LEDGER_TEST_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.chain import signatures
from ledger.chain.link import ChainHead
from ledger.cli import access, creation
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
PATIENCE_S = 60

WRITER = """
import pathlib, sys, time
from ledger import Ledger
from tests.journal.test_ledger import fill, order, trade

dsn, told, stop = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
done = [int(line.split(" ")[0][1:]) for line in told.read_text().splitlines() if line.startswith("t")]
with Ledger.open(dsn) as ledger, told.open("a", buffering=1) as tell:
    fill(ledger)
    # Those that were on their way when the last writer was killed are sent again, under their keys.
    n = max(done, default=-1) + 1 - (max(done, default=-1) + 1) % 4
    while not stop.exists():
        run = range(n, n + 4)
        futures = [(f"o{k}", ledger.submit(order(f"O{k}"), key=f"o{k}")) for k in run]
        futures += [(f"t{k}", ledger.submit(trade(f"T{k}", f"O{k}", "0.005"), key=f"t{k}")) for k in run]
        for key, future in futures:
            tell.write(f"{key} {future.result(30).seq}\\n")
        n += 4
        time.sleep(0.03)
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

    def kill(self) -> bool:
        """Return whether there was something to kill."""
        if self.process is None or self.process.poll() is not None:
            return False
        self.process.send_signal(signal.SIGKILL)
        return self.process.wait() == -signal.SIGKILL


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


class Scene:
    """Everything that runs, and what can be done to it."""

    def __init__(self, stage: tuple[Server, Server, Broker], folder: Path) -> None:
        self.a, self.b, self.broker = stage
        self.told, self.stop = folder / "told", folder / "stop"
        self.told.touch()
        creation.make(access.Access(None, str(self.a.socket)), ORIGIN, folder / "keys", "writer")
        with db.connect(self.a.dsn("reader"), "test") as connection:
            chain = chains.find(connection, ORIGIN)
        trusted = signatures.read(folder / "keys" / "publisher.json").public_key.hex()
        run = [sys.executable, "-m", "replicator"]
        common = ["--kafka", self.broker.bootstrap, "--origin", ORIGIN]
        self.parts = {
            "writer": Supervised(
                [sys.executable, "-c", WRITER, self.a.dsn("writer"), str(self.told), str(self.stop)],
                folder / "writer.log",
            ),
            "publisher": Supervised(
                [*run, "publish", "--dsn", self.a.dsn("publisher"), "--key", f"{folder}/keys/publisher.json", *common],
                folder / "publisher.log",
            ),
            "applier": Supervised(
                [*run, "apply", "--dsn", self.b.dsn("applier"), "--key", f"{folder}/keys/replica.json", "--trust",
                 trusted, "--chain-id", chain.chain_id.hex(), *common],
                folder / "applier.log",
            ),
        }  # fmt: skip

    def tend(self) -> None:
        for one in self.parts.values():
            one.tend()

    def until(self, reached: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not reached():
            self.tend()
            logs = "\n".join(one.log.read_text()[-1500:] for one in self.parts.values())
            assert time.monotonic() < deadline, f"{what} did not come about:\n{logs}"
            time.sleep(0.05)

    def kill(self, kind: str) -> None:
        """Kill one part where it runs; servers are started again, and the others are tended."""
        if kind in ("a", "b"):
            server = self.a if kind == "a" else self.b
            server.kill()
            server.restart()
        elif kind == "broker":
            self.broker.kill()
            self.broker.restart()
        else:
            self.until(self.parts[kind].kill, f"a {kind} that runs")

    def end(self) -> None:
        """Let the writer finish, and wait until both regions are at one head."""
        self.stop.touch()
        self.until(lambda: self.parts["writer"].finished, "the writer's end")

        def equal() -> bool:
            found = head(self.a)
            return found is not None and found == head(self.b)

        self.until(equal, "the replica's catching up")


def test_kills_at_random_moments_lose_and_double_nothing(stage: tuple[Server, Server, Broker], tmp_path: Path) -> None:
    """Each part is killed KILLS times while it works; what was told is there once, and both regions agree."""
    print(f"seed {SEED}")
    rng, scene = random.Random(SEED), Scene(stage, tmp_path)
    plan = [kind for kind in ("writer", "publisher", "applier", "broker", "a", "b") for _ in range(KILLS)]
    rng.shuffle(plan)
    try:
        for kind in plan:
            size = scene.told.stat().st_size
            scene.until(lambda size=size: scene.told.stat().st_size > size, "an answer since the last kill")  # type: ignore[misc]
            pause = time.monotonic() + rng.uniform(0, 0.8)
            scene.until(lambda pause=pause: time.monotonic() > pause, "a pause")  # type: ignore[misc]
            scene.kill(kind)
        scene.end()
    finally:
        for one in scene.parts.values():
            one.kill()
    check(scene.a, scene.b, scene.told)


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
    answers = [line.split(" ") for line in told.read_text().splitlines()]
    assert len(answers) > 8 * KILLS
    assert [(key, seq) for key, seq in answers if keys.get(key) != seq] == []
    assert {f"O{key[1:]}" for key, _ in answers} <= orders
