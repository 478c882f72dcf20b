"""
Be one process of a concurrent history: threads that call one ledger, and write down what they ask and are told.

Each line goes to the log with one write before the call and one after it, so that what a kill -9 leaves is a call
without an answer. Requests follow from their keys, out of small numbers of everything, so that they meet.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from ledger import Ledger, LedgerError, Receipt, WriterSettings
from ledger.domain import registry
from ledger.domain.events.cash import CashMoved, FeeCharged
from ledger.domain.events.executions import TradeExecuted
from ledger.domain.events.fields import Event
from ledger.domain.events.orders import OrderPlaced
from tests.domain.books import DAY
from tests.journal.history import OPEN, Call
from tests.journal.memory import check_memory

THREADS = 6


class Line(msgspec.Struct):
    """
    One half of a call: what was asked, or what was told.
    """

    number: int
    at: float
    kind: str | None = None
    key: str = ""
    events: list[tuple[str, str]] = []
    expected: dict[str, int] = {}
    receipt: Receipt | None = None
    code: str | None = None


def _event(rng: random.Random) -> Event:
    account, n = rng.choice("AB"), rng.randrange(60)
    kind = rng.randrange(8)
    if kind < 3:
        amount = str(rng.randrange(1, 40))
        return FeeCharged(fee_id=f"f{n}", account=account, kind="k", asset="USDT", amount=amount)
    if kind < 4:
        return CashMoved(
            movement_id=f"m{n}", account=account, asset="USDT", amount="20", kind="deposit", value_date=DAY
        )
    if kind < 6:
        return OrderPlaced(order_id=f"O{n}", cl_ord_id=f"O{n % 50}", account=account, instrument="BTCUSDT", side="buy",
                           qty="0.1", ord_type="limit", price=str(rng.choice((50, 100, 200))))  # fmt: skip
    return TradeExecuted(exec_id=f"T{rng.randrange(40)}", venue="V", order_id=f"O{n}", account=account,
                         instrument="BTCUSDT", side="buy", qty=rng.choice(("0.05", "0.1")), price="100",
                         trade_date=DAY)  # fmt: skip


def request(key: str, seed: int) -> tuple[tuple[Event, ...], dict[str, int]]:
    """Return the events and expected versions that go with *key*."""
    rng = random.Random(f"{seed} {key}")
    events = [_event(rng)]
    if events[0].KIND == "command" and rng.random() < 0.2:
        second = _event(rng)
        events += [second] if second.KIND == "command" else []
    expected = {f"order/O{rng.randrange(60)}": rng.randrange(3)} if rng.random() < 0.2 else {}
    return tuple(events), expected


class Client:
    """
    The ledger of this process, and the log of what its threads ask.
    """

    def __init__(self, dsn: str, log: Path, seed: int) -> None:
        self.dsn, self.seed = dsn, seed
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.ledger = Ledger.open(dsn, settings=WriterSettings(batch_events=12))
        self.numbers = count()

    def _write(self, line: Line) -> None:
        os.write(self.log, msgspec.json.encode(line) + b"\n")

    def call(self, kind: str, key: str, events: tuple[Event, ...], expected: dict[str, int], timeout: float) -> Any:
        """Ask, write down question and answer, and return the answer."""
        number = next(self.numbers)
        given = [(registry.type_name(event), registry.encode_given(event).decode()) for event in events]
        self._write(Line(number, time.monotonic(), kind, key, given, expected))
        answer: Receipt | None
        try:
            if kind == "lookup":
                answer = self.ledger.lookup(key)
            else:
                answer = self.ledger.append(events, key=key, expected=expected, timeout=timeout)
            code = None if answer is not None else "absent"
        except LedgerError as error:
            answer, code = None, error.code
            if error.exit_status == 3:
                print(f"{key}: {error}", file=sys.stderr, flush=True)
        self._write(Line(number, time.monotonic(), receipt=answer, code=code))
        return answer or code

    def work(self, worker: str, calls: int) -> None:
        rng = random.Random(f"{self.seed} {worker}")
        for _ in range(calls):
            key = f"k{rng.randrange(300)}"
            events, expected = request(key + "'" * (rng.random() < 0.1), self.seed)
            told = self.call("append", key, events, expected, 0.002 if rng.random() < 0.05 else 30)
            if told in ("outcome_unknown", "database_down") or rng.random() < 0.05:
                self.call("lookup", key, (), {}, 0)
            if told == "database_down":
                time.sleep(0.02)

    def round(self, name: str, calls: int) -> None:
        threads = [threading.Thread(target=self.work, args=(f"{name} {n}", calls)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def rest(self, name: str) -> None:
        """Append once more, alone, and hold memory against the store."""
        probe = FeeCharged(fee_id=name, account="A", kind="k", asset="USDT", amount="-0.01")
        told = self.call("append", name, (probe,), {}, 30)
        assert isinstance(told, Receipt), told
        check_memory(self.dsn, self.ledger)


def read(log: Path) -> list[Call]:
    """Return the calls of a log; those that were never answered stay open."""
    asked: dict[int, Line] = {}
    calls: list[Call] = []
    for raw in log.read_bytes().splitlines():
        line = msgspec.json.decode(raw, type=Line)
        if line.kind is not None:
            asked[line.number] = line
        else:
            calls.append(_call(asked.pop(line.number), line))
    return calls + [_call(line, None) for line in asked.values()]


def _call(asked: Line, told: Line | None) -> Call:
    events = tuple(registry.decode_given(name, 1, given.encode()) for name, given in asked.events)
    answer = None if told is None else told.receipt or told.code
    kind: Any = asked.kind
    return Call(kind, asked.key, events, asked.expected, asked.at, OPEN if told is None else told.at, answer)


def main() -> None:
    dsn, log, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    client = Client(dsn, log, seed)
    print("ready", flush=True)
    for line in sys.stdin:
        command, name, calls = line.split()
        if command == "round":
            client.round(name, int(calls))
        else:
            client.rest(name)
        print("done", flush=True)
    client.ledger.close()


if __name__ == "__main__":
    main()
