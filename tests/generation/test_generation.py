"""
Check the made-up firm: the same seed makes the same bytes, every event type is there, and the real ledger takes it all.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from blake3 import blake3

from ledger import Ledger
from ledger.chain.signatures import KeyPair
from ledger.domain import registry
from ledger.domain.events import control, operations, reference
from ledger.domain.events.control import KeyNamed
from ledger.domain.events.executions import FactQuarantined
from ledger.domain.postings import is_system
from ledger.errors import InvalidInput, Rejected
from ledger.generation.requests import generate
from ledger.importing import requests
from ledger.journal.chain_creation import create_chain
from ledger.journal.group import Group
from ledger.queries import Books
from tests.commands import tradeledger
from tests.conftest import ORIGIN, Database
from tests.journal.test_ledger import check_whole
from verifier.full import verify
from verifier.reader import Reader
from verifier.report import VERIFIED

KEY = KeyPair("checkpoint", "signer", bytes(32))
ENOUGH = 1_300
"""Events of which a history of any seed has every type."""
ON_PURPOSE = {"overfill", "price", "exec_id_reused", "unknown_order", "unknown_ref"}
THE_CHAINS_OWN = {
    name for name, kind in registry.EVENT_TYPES.items()
    if kind.KIND == "control" or kind.__module__ == operations.__name__
}  # fmt: skip


def made(count: int, seed: int, key: KeyPair | None = None) -> Iterator[Group]:
    return generate(count, Random(seed), f"g{seed}", key=key)


def written(count: int, seed: int) -> bytes:
    return b"".join(requests.encode(group) + b"\n" for group in made(count, seed))


@pytest.fixture
def firm(database: Database) -> Database:
    """Return a database with one chain that names the checkpoint key of the tests."""
    named = KeyNamed(key_id=KEY.key_id, purpose="checkpoint", name=KEY.name, public_key=KEY.public_key.hex())
    create_chain(database.dsn("owner"), ORIGIN, (named,), [("writer", "engine")])
    return database


def test_the_same_seed_makes_the_same_bytes_and_another_makes_others() -> None:
    """The bytes of one seed are known, in this process and in every other; so is how many events there are."""
    found = written(3_000, 7)
    assert blake3(found).hexdigest() == "7443daca575583e679c43128deabd6a4ac03bd746ce00deb1a4999f76d701521"
    assert written(3_000, 8) != found
    done = subprocess.run(
        [sys.executable, "-m", "ledger", "generate", "--events", "3000", "--seed", "7"],
        capture_output=True, check=True, env={**os.environ, "PYTHONHASHSEED": "11"},
    )  # fmt: skip
    assert done.stdout.replace(b"generated-7-", b"g7-") == found


@pytest.mark.parametrize("count", [1, 2, 57, 400, 2_345])
def test_as_many_events_are_made_as_were_asked_for(count: int) -> None:
    """Also where the next request would be a group of two and one event is left."""
    assert sum(len(group.events) for group in made(count, count)) == count
    assert len({group.key for group in made(count, count)}) == len(list(made(count, count)))


def test_a_count_below_one_is_refused() -> None:
    """Nothing can be made of it, and the message says what can."""
    with pytest.raises(InvalidInput, match="found 0 events"):
        list(made(0, 1))


def test_a_seed_below_zero_is_refused() -> None:
    """It would make the firm of the seed above zero, under other keys."""
    done = tradeledger("generate", "--events", 1, "--seed", -1)
    assert (done.returncode, done.stdout) == (8, "")
    assert "found seed -1; expected 0 or more" in done.stderr


@pytest.mark.parametrize("seed", range(3))
def test_a_line_is_read_as_the_request_that_was_written(seed: int) -> None:
    """Every event type survives the way through a file."""
    for group in made(ENOUGH, seed, KEY):
        assert requests.decode(requests.encode(group)) == group


def test_whatever_an_account_holds_is_worth_something_each_evening() -> None:
    """Every asset but the dollar has its price in dollars, or the dollar in it, on each day that has marks at all."""
    events = [event for group in made(3_000, 7) for event in group.events]
    assets = {event.asset for event in events if isinstance(event, reference.AssetDefined)} - {"USD"}
    told: dict[str, set[str]] = defaultdict(set)
    for event in events:
        if isinstance(event, control.MarkRecorded) and event.base is not None:
            assert "USD" in (event.base, event.quote)
            told[event.day] |= {event.base, event.quote or ""} - {"USD"}
    assert len(told) > 3
    # The history ends wherever it has as many events as were asked for, within an evening too.
    assert [found for day, found in sorted(told.items())][:-1] == [assets] * (len(told) - 1)


def test_a_short_history_of_any_seed_has_every_type() -> None:
    """What chance would leave out of one in fifty comes once by rule; a decision is on a fact that cannot be."""
    expected = registry.EVENT_TYPES.keys() - THE_CHAINS_OWN - {FactQuarantined.__name__}
    for seed in range(60):
        assert {type(event).__name__ for group in made(ENOUGH, seed, KEY) for event in group.events} >= expected, seed


def test_the_ledger_takes_a_history_of_every_type(firm: Database) -> None:
    """All event types but the chain's own; only impossible facts wait; memory, rows and verifier agree."""
    with Ledger.open(firm.dsn("writer")) as ledger:
        outcomes = ledger.append_many(made(ENOUGH, 1, KEY))
        assert [x for x in outcomes if isinstance(x, Rejected)] == []
        quarantined = {one.rule for x in outcomes for one in x.quarantined}  # type: ignore[union-attr]
        assert quarantined <= ON_PURPOSE
        assert ledger.head().seq == ENOUGH + 1
        kinds = Counter(event.event_type for event in ledger.events())
        assert check_whole(firm, ledger) == ENOUGH + 1
    assert kinds.keys() >= registry.EVENT_TYPES.keys() - THE_CHAINS_OWN
    assert len(registry.EVENT_TYPES.keys() - THE_CHAINS_OWN - {control.ControlsSet.__name__}) == 46
    with Reader(firm.dsn("auditor"), ORIGIN) as reader:
        assert verify(reader).verdict == VERIFIED


def test_a_longer_history_leaves_nothing_open(firm: Database) -> None:
    """Trades settle, decisions are made, orders end: what waits at the end is of the last days."""
    with Ledger.open(firm.dsn("writer")) as ledger:
        outcomes = ledger.append_many(made(5_000, 2))
        rules = Counter(one.rule for x in outcomes for one in x.quarantined)  # type: ignore[union-attr]
        assert rules.keys() == ON_PURPOSE
    with Books(firm.dsn("reader")) as books:
        assert len(books.open_orders().value) < 40
        assert len(books.quarantine().value) < 10
        assert [row.account for row in books.balances().value if row.breached and not is_system(row.account)] == []
        assert len({rung.date for rung in books.settlement_ladder().value}) > 5
    assert check_whole(firm) == 5_001


def test_a_file_of_requests_is_appended_once_and_goes_on_where_it_stopped(chain: Database, tmp_path: Path) -> None:
    """The command line appends what it generated; half a file, the whole, and the whole again."""
    whole, half = tmp_path / "whole.jsonl", tmp_path / "half.jsonl"
    assert tradeledger("generate", "--events", 700, "--seed", 3, "--output", whole).returncode == 0
    half.write_bytes(b"".join(whole.read_bytes().splitlines(keepends=True)[:300]))
    for path, seq in ((half, None), (whole, 701), (whole, 701)):
        done = tradeledger("import", "requests", path, "--format", "json", LEDGER_DSN=chain.dsn("writer"))
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert seq in (None, report["head"]["seq"])
    assert (report["appended"], report["replayed"]) == (0, len(whole.read_bytes().splitlines()))
    assert check_whole(chain) == 701


def test_a_file_that_is_interrupted_is_none(tmp_path: Path) -> None:
    """What was there before stays, since half a file of requests cannot be told from a whole one."""
    file = tmp_path / "firm.jsonl"
    file.write_bytes(b"as it was")
    process = subprocess.Popen(
        [sys.executable, "-m", "ledger", "generate", "--events", "10000000", "--seed", "1", "--output", file],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not any(other.stat().st_size > len(b"as it was") for other in tmp_path.iterdir()):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    assert (process.returncode, told.count("\n")) == (130, 1)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"firm.jsonl": b"as it was"}


BAD_LINES = {
    "{": "which is no request",
    '{"key":"k","actor":"a","events":[{"type":"Eaten","given":{}}]}': "found event type 'Eaten'",
    '{"key":"k","actor":"a","events":[{"type":"AssetDefined","given":{"asset":"X"}}]}': "these bytes are no",
    '{"key":"k","actor":"a","events":[],"source":"x"}': "which is no request",
    '{"key":"k","actor":"a","events":[{"type":"KeyDestroyed","version":9,"given":{}}]}': "of schema version 9",
    '{"key":"k","actor":"a","events":[{"type":"KeyDestroyed","given":{"authority":"x","subject_key_id":"s"}},'
    '{"type":"KeyDestroyed","given":{"authority":"x","subject_key_id":"s"}}]}': "destroyed a second time",
    '{"key":"k","actor":"a","key":"l","events":[]}': "found the key 'key' twice in one object",
    '{"key":"k","actor":"a","events":[{"type":"AssetDefined","given":{"asset":"A","\\u0061sset":"B",'
    '"kind":"crypto","name":"n","scale":1}}]}': "found the key 'asset' twice in one object",
}


def test_a_bad_line_is_named_and_what_came_before_it_is_recorded(chain: Database, tmp_path: Path) -> None:
    """Damaged, unknown, incomplete or refused: the file, the line and what is wrong, and nothing half-written."""
    path, first = tmp_path / "bad.jsonl", requests.encode(next(made(1, 1)))
    with Ledger.open(chain.dsn("writer")) as ledger:
        for line, said in BAD_LINES.items():
            path.write_bytes(first + b"\n" + line.encode() + b"\n")
            with pytest.raises(Rejected, match=re.escape(f"{path}:2: ")) as raised:
                requests.append(ledger, path)
            assert said in str(raised.value)
            assert ledger.head().seq == 2
    assert check_whole(chain) == 2
