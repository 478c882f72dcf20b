"""
Check that an import of bad input says what is wrong, loses nothing and writes no half: by the command and the API.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard

from ledger import Ledger
from ledger.errors import Rejected
from ledger.importing.definitions import instruments_of
from ledger.importing.nautilus import Translator
from ledger.importing.translation import Known
from tests.commands import ROOT, tradeledger
from tests.conftest import Database
from tests.importing.sessions import INSTRUMENTS, Session
from tests.importing.test_sessions import SEED, take, written
from tests.journal.test_ledger import check_whole

SESSION = Session(7, orders=8)
FILL = next(n for n, line in enumerate(SESSION.lines) if line["type"] == "OrderFilled")
MADE = next(n for n, line in enumerate(SESSION.lines) if line["type"] == "OrderInitialized")


def line_of(number: int, **change: object) -> bytes:
    return json.dumps({**SESSION.lines[number], **change}).encode() + b"\n"


def spoiled(number: int, bad: bytes) -> bytes:
    """Return the session with one line replaced."""
    return SESSION.text(0, number) + bad + SESSION.text(number + 1)


def denied(reason: str) -> bytes:
    return json.dumps({
        "type": "OrderDenied", "event_id": "e-bad", "ts_event": 1_723_161_254_087_891_268, "account_id": None,
        "instrument_id": "AAPL.XNAS", "client_order_id": "O-bad", "reason": reason,
    }).encode() + b"\n"  # fmt: skip


BAD: dict[str, tuple[bytes, int, str]] = {
    "cut in a line": (SESSION.text()[:-20], 8, "cut off"),
    "cut gzip": (gzip.compress(SESSION.text())[:-9], 8, "end in the middle"),
    "cut zstd": (zstandard.ZstdCompressor().compress(SESSION.text())[:-9], 8, "end in the middle"),
    "flipped gzip": (gzip.compress(SESSION.text(), mtime=0)[:-6] + b"\0\0" + b"\0" * 4, 8, "damaged"),
    "empty": (b"", 8, "is empty"),
    "no JSON": (spoiled(FILL, b"{'type': 1}\n"), 8, "is no JSON"),
    "a JSON NaN": (spoiled(FILL, b'{"type": NaN}\n'), 8, "is no JSON"),
    "no UTF-8": (spoiled(FILL, b'{"type": "\xff"}\n'), 8, "is no JSON"),
    "a lone surrogate": (spoiled(FILL, b'{"type": "\\ud800"}\n'), 8, "is no JSON"),
    "nested without end": (spoiled(FILL, b"[" * 100_000 + b"\n"), 8, "is no JSON"),
    "a list": (spoiled(FILL, b"[1]\n"), 8, "expected an object"),
    "a line over the limit": (spoiled(FILL, b" " * (6 << 20) + b"{}\n"), 8, "longer than"),
    "an unknown type": (spoiled(FILL, line_of(FILL, type="OrderEaten")), 8, "known are AccountState"),
    "a type that is none": (spoiled(FILL, line_of(FILL, type=["x"])), 8, "known are AccountState"),
    "an unknown instrument": (spoiled(FILL, line_of(FILL, instrument_id="X.Y")), 8, "--instruments does not define"),
    "a float": (spoiled(FILL, line_of(FILL, last_qty=0.5)), 8, "last_qty 0.5"),
    "NaN": (spoiled(FILL, line_of(FILL, last_px="NaN")), 8, "plain decimal"),
    "an exponent": (spoiled(FILL, line_of(FILL, last_qty="1e-2")), 8, "plain decimal"),
    "19 decimals": (spoiled(FILL, line_of(FILL, last_px="1." + "0" * 18 + "1")), 8, "at most 18"),
    "an unknown side": (spoiled(FILL, line_of(FILL, order_side="NO_ORDER_SIDE")), 8, "BUY, SELL"),
    "a fill of 0": (spoiled(FILL, line_of(FILL, last_qty="0")), 8, "more than 0"),
    "an order of 0": (spoiled(MADE, line_of(MADE, quantity="0")), 8, "more than 0"),
    "U+0000 in a text": (SESSION.text() + denied("a\0b"), 8, "U+0000"),
    "U+0000 in a name": (spoiled(FILL, line_of(FILL, client_order_id="a\0b")), 8, "identifier"),
    "a payload over the limit": (SESSION.text() + denied("x" * 300_000), 8, "payload"),
    "an id used twice": (SESSION.text() + line_of(FILL, last_px="1"), 7, "used for another request"),
    "a statement's id used twice": (SESSION.text() + line_of(0, balances=[]), 7, "with other content"),
}


SHOWN = (
    "cut in a line", "cut gzip", "cut zstd", "no JSON", "an unknown type", "an unknown instrument", "a float", "NaN",
    "an exponent", "19 decimals", "an order of 0", "U+0000 in a text", "a payload over the limit", "an id used twice",
)  # fmt: skip
"""What the command is tried with as well; a process for each takes its time."""


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused_whole_and_a_good_file_goes_on_from_there(
    chain: Database, tmp_path: Path, what: str
) -> None:
    """The error has file, line and what to do; the ledger stays whole; then the whole session is there, once."""
    content, status, words = BAD[what]
    with pytest.raises(Rejected, match=re.escape(words)) as refused:
        take(chain, written(tmp_path, content))
    assert refused.value.exit_status == status
    recorded = check_whole(chain)
    if recorded > 1:
        # What was read before stays, and whoever has to mend the file must know.
        assert re.search(r"recorded( for good)?: .*goes on from there", str(refused.value))
    report = take(chain, written(tmp_path, SESSION.text()))
    assert report.read == SESSION.read
    assert {x["key"] for x in report.breaks} == set(SESSION.breaks)
    check_whole(chain)


def test_the_command_says_what_is_wrong_with_bad_input(chain: Database, tmp_path: Path) -> None:
    """One sentence that begins with the file, its exit status, nothing on stdout, and never a traceback."""
    instruments = tmp_path / "instruments.json"
    instruments.write_text(json.dumps(INSTRUMENTS))
    for what in SHOWN:
        content, status, words = BAD[what]
        bad = written(tmp_path, content, "bad")
        done = tradeledger("import", "nautilus", bad, "--instruments", instruments, LEDGER_DSN=chain.dsn("writer"))
        assert (done.returncode, done.stdout) == (status, ""), (what, done.stderr)
        assert words in done.stderr
        assert f"error: {bad}" in done.stderr
        assert "Traceback" not in done.stderr
    check_whole(chain)


ODD: tuple[Any, ...] = (None, "", "x", "a\0b", "ä", "1.5", "-1", "0", 7, -7, 2**70, 0.5, True, [], [1], {}, {"a": 1})


def test_no_field_of_any_kind_ends_in_anything_but_a_refusal(chain: Database) -> None:
    """Every field of every event and instrument, replaced by odd values: a Rejected by name, or it is recorded."""
    print(f"seed {SEED}")
    rng, tried, refused = random.Random(SEED), 0, 0
    kinds = {line["type"]: line for line in SESSION.lines + Session(SEED, orders=40).lines}
    with Ledger.open(chain.dsn("writer"), source="nautilus") as ledger:
        for kind, source in kinds.items():
            for field in (*source, "reason", "account_id", "options", "base_currency", "parent_order_id", "commission"):
                for value in ODD:
                    definitions = [dict(one) for one in INSTRUMENTS]
                    spoil = rng.choice(definitions)
                    if rng.random() < 0.3:
                        spoil[rng.choice([*spoil, "multiplier", "isin"])] = rng.choice(ODD)
                    changed = {**source, field: value, "event_id": f"e-{tried}"} if field != "event_id" else source
                    tried += 1
                    try:
                        translator = Translator(definitions, Known({}, set(), set()))
                        found = translator.translate({**changed, field: value})
                        if kind == "OrderFilled" and tried % 5 == 0:
                            for group in found.groups:
                                ledger.append(group.events, key=group.key, actor=group.actor)
                    except Rejected:
                        refused += 1
        assert refused > tried / 4
    check_whole(chain)


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b"no", b"\xff", b"[" * 100_000, b'{"instruments": {}}'])
def test_instruments_that_are_none_are_refused(text: bytes) -> None:
    """What is no list of instruments says what is expected."""
    with pytest.raises(Rejected, match="instruments"):
        instruments_of(text)


def run_with(code: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a Python that ran *code* first."""
    program = f"{code}\nimport sys\nsys.argv[0] = 'tradeledger'\nfrom ledger.cli.app import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


def session_files(tmp_path: Path) -> tuple[object, ...]:
    instruments = tmp_path / "instruments.json"
    instruments.write_text(json.dumps(INSTRUMENTS))
    return ("import", "nautilus", written(tmp_path, SESSION.text()), "--instruments", instruments)


@pytest.mark.parametrize("off", [-3600, 3600])
def test_the_command_refuses_to_record_a_time_that_is_an_hour_off(chain: Database, tmp_path: Path, off: int) -> None:
    """Exit 5 names the clocks, and nothing is recorded."""
    code = f"import time; real = time.time_ns; time.time_ns = lambda: real() + {off} * 10**9"
    done = run_with(code, *session_files(tmp_path), LEDGER_DSN=chain.dsn("writer"))
    assert (done.returncode, done.stdout) == (5, "")
    assert "set the clocks right" in done.stderr or "set the clock right" in done.stderr
    assert check_whole(chain) == 1


@pytest.mark.parametrize(
    ("done", "status", "words"),
    [
        ("UPDATE ledger.alembic_version SET version_num = '0999'", 8, "0999"),
        ("UPDATE ledger.chain_heads SET mode = 'replica'", 8, "is a replica"),
        ("DELETE FROM ledger.source_logins WHERE source = 'nautilus'", 8, "not as 'nautilus'"),
        ("ALTER ROLE writer IN DATABASE {} SET synchronous_commit = off", 5, "synchronous_commit is 'off'"),
        ("ALTER DATABASE {} SET default_transaction_read_only = on", 8, "read-only"),
        ("ALTER DATABASE {} ALLOW_CONNECTIONS false", 5, "cannot be used now"),
    ],
)
def test_the_command_names_a_database_that_cannot_take_the_import(
    chain: Database, tmp_path: Path, done: str, status: int, words: str
) -> None:
    """Another version, a replica, a login without the source, a setting that loses commits, a closed door."""
    chain.server.sql(done.format(chain.name), chain.name if "{}" not in done else "postgres")
    ended = tradeledger(*session_files(tmp_path), LEDGER_DSN=chain.dsn("writer"))
    assert (ended.returncode, ended.stdout) == (status, ""), ended.stderr
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_given_database_without_a_chain_asks_for_init(database: Database, tmp_path: Path) -> None:
    """Keys of a database of one's own are never made by the way."""
    done = tradeledger(*session_files(tmp_path), LEDGER_DSN=database.dsn("writer"))
    assert (done.returncode, "tradeledger init --origin" in done.stderr) == (8, True)


def test_a_server_that_dies_in_the_middle_ends_the_command_and_the_next_run_goes_on(
    chain: Database, tmp_path: Path
) -> None:
    """Connections are ended while it appends: exit 0 or 5 and a sentence; what is recorded is whole, then complete."""
    stop = (
        f"import threading, time, psycopg\n"
        f"def kill():\n"
        f"    with psycopg.connect({chain.server.dsn('postgres', 'postgres')!r}, autocommit=True) as c:\n"
        f"        time.sleep(0.2)\n"
        f"        c.execute('ALTER DATABASE {chain.name} ALLOW_CONNECTIONS false')\n"
        f"        for _ in range(30):\n"
        f"            c.execute('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s', "
        f"['{chain.name}'])\n"
        f"            time.sleep(0.05)\n"
        f"threading.Thread(target=kill).start()"
    )
    done = run_with(stop, *session_files(tmp_path), LEDGER_DSN=chain.dsn("writer"))
    assert done.returncode == 5, done.stderr
    assert "Traceback" not in done.stderr
    chain.server.sql(f"ALTER DATABASE {chain.name} ALLOW_CONNECTIONS true")
    check_whole(chain)
    report = take(chain, written(tmp_path, SESSION.text()))
    assert report.read == SESSION.read
    check_whole(chain)
