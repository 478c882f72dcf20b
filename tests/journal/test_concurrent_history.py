"""
Let two processes of many threads contend on one chain while sessions and processes are killed, and judge every answer.

LEDGER_TEST_SEED repeats what is asked and when something is killed; how calls interleave is the machine's.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psycopg

from ledger import Ledger, Receipt
from ledger.domain import fold
from ledger.domain.events.cash import CashMoved
from ledger.domain.events.reference import AccountOpened
from tests.conftest import Database
from tests.domain.books import DAY, opened
from tests.journal.history import Judge
from tests.journal.history_client import read
from tests.journal.test_ledger import SEED, check_whole

ROOT = Path(__file__).parents[2]
ROUNDS = 5
CALLS = 20
"""A thread makes so many calls a round."""


class Process:
    """
    One client process, which is started again after each kill.
    """

    def __init__(self, chain: Database, folder: Path, name: str, seed: int) -> None:
        self.chain, self.folder, self.name, self.seed = chain, folder, name, seed
        self.logs: list[Path] = []
        self.start()

    def start(self) -> None:
        self.logs.append(self.folder / f"{self.name}{len(self.logs)}")
        command = [sys.executable, "-m", "tests.journal.history_client", self.chain.dsn("writer"), str(self.logs[-1]),
                   str(self.seed)]  # fmt: skip
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.wait("ready")

    def wait(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        said = self.process.stdout.readline().strip()
        assert said == word, said + self.process.stderr.read()

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> None:
        _, said = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, said
        assert "Traceback" not in said, said


def prepare(chain: Database) -> int:
    """Open two accounts of little money, and return the last seq."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        for n, outcome in enumerate(opened(usdt="300").stored):
            ledger.append(fold.registry.decode_given(outcome.event_type, 1, outcome.given), key=f"setup-{n}")
        ledger.append(AccountOpened(account="B", owner="o", kind="cash", base_asset="USDT"), key="setup-B")
        money = CashMoved(movement_id="B", account="B", asset="USDT", amount="100", kind="deposit", value_date=DAY)
        return ledger.append(money, key="setup-money").last_seq


def disturb(administrator: psycopg.Connection[object], rng: random.Random, seconds: float) -> None:
    """End a session of a writer now and then, for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(rng.uniform(0.02, 0.15))
        administrator.execute(
            "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE usename = 'writer'"
            " AND application_name LIKE 'ledger%' ORDER BY random() LIMIT 1) one"
        )


def test_a_concurrent_history_is_explained_by_one_order(chain: Database, tmp_path: Path) -> None:
    """Every answer, refusals included, fits one order that is the chain's; and memory at rest is the database."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    setup = prepare(chain)
    processes = [Process(chain, tmp_path, name, SEED) for name in ("one", "two")]
    try:
        with psycopg.connect(chain.server.dsn("postgres", chain.name), autocommit=True) as administrator:
            for n in range(ROUNDS):
                for process in processes:
                    process.tell(f"round {n}-{process.name} {CALLS}")
                killed = processes[rng.randrange(2)] if n % 2 else None
                disturb(administrator, rng, rng.uniform(0.2, 0.6))
                if killed is not None:
                    killed.kill()
                    killed.start()
                for process in processes:
                    if process is not killed:
                        process.wait("done")
                for process in processes:
                    process.tell(f"rest rest-{n}-{process.name}-{len(process.logs)} 0")
                    process.wait("done")
        for process in processes:
            process.end()
    finally:
        for process in processes:
            process.kill()
    calls = [call for process in processes for log in process.logs for call in read(log)]
    with Ledger.open(chain.dsn("writer")) as ledger:
        events = list(ledger.events())
    assert check_whole(chain) == len(events)
    assert Judge(events, calls, setup).judge() == []
    kinds = Counter(
        ("again" if call.told.replayed else "recorded") if isinstance(call.told, Receipt) else call.told
        for call in calls
    )
    print(dict(kinds))
    # A history in which nothing met would prove nothing.
    for kind in ("recorded", "again", "insufficient_funds", "rule_broken", "idempotency_conflict", "version_conflict"):
        assert kinds[kind] >= 10, kinds
