"""
Check that a verifier written from docs/FORMAT.md alone agrees with the ledger, and sees what was changed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger import Ledger
from ledger.chain.link import genesis
from ledger.chain.signatures import KeyPair
from ledger.domain.events.cash import FeeCharged, JournalPosted, Posting
from ledger.domain.events.control import KeyNamed
from ledger.domain.events.reference import AssetDefined
from ledger.journal.chain_creation import create_chain
from ledger.sandbox.postgres import Server
from ledger.storage import chains
from ledger.storage.database import connect
from tests.conftest import ORIGIN, Database, copy_database
from tests.vectors.read_models import READ_MODELS
from tests.verifier.history import history

EXAMPLES = Path(__file__).parents[2] / "examples"
PAIR = KeyPair("recovery", "vault", bytes(32))
MEMO = 'Zins f\u00fcr M\u00e4rz \u5229\u606f \U0001d11e "q" \\ \u2028 e\u0301 \x01\x7f <&>'
Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def export(pg_server: Server, migrated: str) -> Iterator[Lines]:
    """Return the lines of the export of a history with every field in use."""
    name = "exported"
    copy_database(pg_server, name, migrated)
    database = Database(pg_server, name)
    key = KeyNamed(key_id=PAIR.key_id, purpose="recovery", name=PAIR.name, public_key=PAIR.public_key.hex())
    create_chain(database.dsn("owner"), ORIGIN, (key,), [("writer", "engine")])
    with Ledger.open(database.dsn("writer")) as ledger:
        # Before the history, which closes its books: a day before 1970.
        old = [AssetDefined(asset=f"OLD{n}", kind="crypto", scale=8, name="o") for n in range(2)]
        ledger.append(old, key="old", occurred_at=-86_400_000_000_001)
        history(ledger)
        fees = [FeeCharged(fee_id=f"x{n}", account="A", kind="k", asset="USDT", amount="0.00000001") for n in range(3)]
        ids = {"correlation_id": b"\xc0" * 16, "causation_id": b"\xca" * 16}
        ledger.append(fees, key="group", actor="desk 9", **ids)
        legs = tuple(
            Posting(account=a, asset="USDT", bucket="settled", amount=v) for a, v in (("A", 1), ("~suspense", -1))
        )
        ledger.append(JournalPosted(journal_id="memo", memo=MEMO, postings=legs), key="memo")
    yield exported(database)
    pg_server.sql(f"DROP DATABASE {name} WITH (FORCE)")


def exported(database: Database) -> Lines:
    server = database.server
    done = subprocess.run(
        [server.binaries / "psql", "-h", server.socket, "-U", "auditor", "-d", database.name, "-XAtq",
         "-v", "ON_ERROR_STOP=1", "-f", EXAMPLES / "export.sql"], capture_output=True, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def verified(lines: Lines, folder: Path) -> subprocess.CompletedProcess[str]:
    path = folder / "export.jsonl"
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return subprocess.run(
        [sys.executable, EXAMPLES / "verify_export.py", path], capture_output=True, text=True, check=False
    )


def of(lines: Lines, table: str) -> Lines:
    return [line["row"] for line in lines if line["table"] == table]


def test_an_export_holds_every_table_and_verifies(export: Lines, tmp_path: Path) -> None:
    """Every read model has rows in it, every field is in use, and the example comes to the ledger's own head."""
    assert {line["table"] for line in export} >= {*READ_MODELS, "events", "chains", "chain_heads", "commits"}
    events = of(export, "events")
    assert {e["event_type"] for e in events} >= {"FactQuarantined", "ChainCreated", "JournalPosted"}
    assert any(e["occurred_at"] < 0 and e["effective_on"] < "1970" for e in events)
    assert any(e["correlation_id"] and e["causation_id"] and e["group_size"] > 1 for e in events)
    done = verified(export, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (head,) = of(export, "chain_heads")
    assert f"{len(events)} events, head {head['hash'][2:]}" in done.stdout


def test_each_chain_of_a_database_is_verified_also_one_without_events(chain: Database, tmp_path: Path) -> None:
    """Two chains that were written and a replica that waits for its first event; an edit in the second is seen."""
    create_chain(chain.dsn("owner"), "second.example", (), [("writer", "engine")])
    for origin in (ORIGIN, "second.example"):
        with Ledger.open(chain.dsn("writer"), origin=origin) as ledger:
            ledger.append(AssetDefined(asset="USDT", kind="crypto", scale=8, name=origin), key="one")
    with connect(chain.dsn("applier"), "test") as connection:
        chains.create(connection, b"\7" * 16, "third.example", genesis(b"\7" * 16, "third.example"), "replica")
    lines = exported(chain)
    done = verified(lines, tmp_path)
    heads = [f"verified: {c['origin']}, {h['seq']} events, head {h['hash'][2:]}"
             for c, h in zip(of(lines, "chains"), of(lines, "chain_heads"), strict=True)]  # fmt: skip
    assert (done.returncode, done.stderr, done.stdout.splitlines()) == (0, "", heads)
    assert [head.split(",")[1] for head in heads] == [" 2 events", " 2 events", " 0 events"]
    last = of(lines, "events")[-1]
    assert last["chain"] == 2
    for change, status in ((last | {"actor": "else"}, 1), (last, 0)):
        changed = [line | {"row": change} if line["row"] is last else line for line in lines]
        assert verified(changed, tmp_path).returncode == status
    assert verified([line for line in lines if line["table"] != "chains"], tmp_path).returncode == 1
    assert verified([], tmp_path).returncode == 1


def edited(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value[:-1] + ("1" if value.endswith("0") else "0")
    return [*value, "x"] if isinstance(value, list) else 7 if value is None else value + 1


@pytest.mark.parametrize(
    "table", [*READ_MODELS, "events", "chains", "chain_heads", "idempotency_keys", "state_digests"]
)
def test_every_edited_column_is_seen(export: Lines, tmp_path: Path, table: str) -> None:
    """One column of one row at a time, of every table that means something."""
    place = max(n for n, line in enumerate(export) if line["table"] == table)
    for column in export[place]["row"]:
        if column in ("chain", "mode"):
            continue
        row = export[place]["row"]
        lines = [*export[:place], {"table": table, "row": row | {column: edited(row[column])}}, *export[place + 1 :]]
        done = verified(lines, tmp_path)
        assert done.returncode == 1, column
        assert done.stderr.startswith("BROKEN: ")


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("events", lambda rows: rows[:-1]), ("events", lambda rows: rows[1:]),
        ("events", lambda rows: rows[:5] + rows[6:]),
        ("events", lambda rows: [*rows[:5], rows[6], rows[5], *rows[7:]]), ("events", lambda rows: [*rows, rows[-1]]),
        ("commits", lambda rows: rows[:-1]), ("commits", lambda rows: rows[1:]), ("balances", lambda rows: rows[1:]),
        ("balances", lambda rows: [*rows, rows[0]]), ("idempotency_keys", lambda rows: rows[1:]),
    ],
)  # fmt: skip
def test_rows_that_are_gone_doubled_or_swapped_are_seen(
    export: Lines, tmp_path: Path, table: str, change: Callable[[Lines], Lines]
) -> None:
    """At the start, in the middle and at the end."""
    rest = [line for line in export if line["table"] != table]
    done = verified([*rest, *({"table": table, "row": row} for row in change(of(export, table)))], tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("BROKEN: ")


def test_the_example_is_short_and_has_nothing_of_the_ledger() -> None:
    """Else it would prove little of the page."""
    text = (EXAMPLES / "verify_export.py").read_text()
    assert text.count("\n") < 160
    imported = {line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imported == {"datetime", "json", "re", "struct", "sys", "fractions", "pathlib", "blake3"}
