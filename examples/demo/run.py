"""
Show the whole ledger at work: a real trading session, two regions, its seal, and two edits in each that are found.

Everything runs in a folder of its own (build/demo) and on loopback; nothing is left running, also after Ctrl-C.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from examples.demo import evidence
from examples.demo.screen import bar, say, show, tell_edits, tell_verdict
from examples.demo.tampering import ACCOUNT, ROOT, tampered, verified
from ledger import command, start
from ledger.chain import signatures
from ledger.cli import access, creation
from ledger.domain.rows import TABLES
from ledger.errors import LedgerError, SetupNeeded
from ledger.importing.definitions import instruments_of
from ledger.importing.run import SOURCE, import_session
from ledger.journal.ledger import Ledger
from ledger.queries import Books
from ledger.sandbox.kafka import Broker
from ledger.sandbox.postgres import Server
from ledger.storage import chains, database, upgrade

SESSION = ROOT / "examples" / "session"
EVENTS = SESSION / "btcusdt-20240808.events.jsonl.zst"
EXPECTED = SESSION / "btcusdt-20240808.expected.json"
ORIGIN = "demo.example/trades"
ROOM_BYTES = 64 << 20
"""With less than that left, a server's failure is most likely the disk's."""


@contextlib.contextmanager
def replicator(name: str, folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run one side of the replicator as a process of its own."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "replicator", *arguments, "--status", str(folder / f"{name}.json")],
            cwd=ROOT, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def status(folder: Path, name: str) -> dict[str, Any]:
    """Return what one side of the replicator last said about itself."""
    try:
        found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found


def imported(server: Server) -> Any:
    """Import the session into region A, with a progress bar, and return the import's report."""
    definitions = instruments_of(EXPECTED.read_bytes())
    total = json.loads(EXPECTED.read_text())["events"]
    with (
        Ledger.open(server.dsn("writer"), origin=ORIGIN, source=SOURCE) as ledger,
        Books(server.dsn("reader"), ORIGIN) as books,
        bar("engine events", total) as advance,
    ):
        return import_session(ledger, books, EVENTS, definitions, advance)


def head(server: Server) -> tuple[int, str]:
    """Return the head of a region."""
    with Books(server.dsn("reader"), ORIGIN) as books:
        found = books.head()
    return found.seq, found.hash.hex()


def wait_for_replica(folder: Path, servers: tuple[Server, Server], processes: list[subprocess.Popen[bytes]]) -> None:
    """Wait until region B has acknowledged all that region A holds."""
    goal, reached = head(servers[0])[0], 0
    deadline = time.monotonic() + 120
    with bar("events acknowledged by region B", goal) as advance:
        while reached < goal:
            now = status(folder, "publisher").get("acknowledged_seq", 0)
            advance(now - reached)
            reached = now
            _check_sides(folder, processes)
            if time.monotonic() > deadline:
                raise SetupNeeded(f"region B did not catch up with seq {goal} within two minutes; see {folder}")
            time.sleep(0.1)


def _check_sides(folder: Path, processes: list[subprocess.Popen[bytes]]) -> None:
    """Raise SetupNeeded when a side of the replicator has ended."""
    for process in processes:
        if process.poll() is not None:
            logs = "\n".join(path.read_text()[-1500:] for path in folder.glob("*er.log"))
            raise SetupNeeded(f"a side of the replicator ended with {process.returncode}:\n{logs}")


def equal_tables(servers: tuple[Server, Server]) -> bool:
    """Return whether every read model holds the same rows in both regions."""
    same = True
    with (
        Books(servers[0].dsn("reader"), ORIGIN) as a,
        Books(servers[1].dsn("reader"), ORIGIN) as b,
        bar("tables compared", len(TABLES)) as advance,
    ):
        for table in TABLES:
            same = same and set(a.table(table).value) == set(b.table(table).value)
            advance(1)
    return same


def regions(folder: Path, stack: contextlib.ExitStack) -> tuple[tuple[Server, Server], Broker]:
    """Start two databases and a broker, and make the chain in the first."""
    say.print("[bold]1[/] starting two private PostgreSQL servers and a Kafka broker")
    servers = []
    with bar("servers", 3) as advance:
        for region in ("a", "b"):
            server = Server.start(folder / f"region-{region}")
            stack.callback(server.stop)
            upgrade.upgrade(server.dsn("owner"))
            servers.append(server)
            advance(1)
        broker = Broker.start(folder / "kafka")
        stack.callback(broker.stop)
        advance(1)
    found = access.Access(None, str(servers[0].socket))
    creation.make(found, ORIGIN, folder / "keys", "writer")
    return (servers[0], servers[1]), broker


def replicated(folder: Path, servers: tuple[Server, Server], broker: Broker, stack: contextlib.ExitStack) -> Any:
    """Import into region A while both sides of the replicator run; return the import's report."""
    with database.connect(servers[0].dsn("reader"), "demo") as connection:
        chain = chains.find(connection, ORIGIN)
    public = signatures.read(folder / "keys" / "publisher.json").public_key.hex()
    common = ("--kafka", broker.bootstrap, "--origin", ORIGIN)
    sides = [
        stack.enter_context(replicator("publisher", folder, "publish", "--dsn", servers[0].dsn("publisher"),
                                       "--key", str(folder / "keys" / "publisher.json"), *common)),
        stack.enter_context(replicator("applier", folder, "apply", "--dsn", servers[1].dsn("applier"),
                                       "--key", str(folder / "keys" / "replica.json"), "--trust", public,
                                       "--chain-id", chain.chain_id.hex(), *common)),
    ]  # fmt: skip
    say.print("[bold]2[/] importing the session into region A, while Kafka carries it to region B")
    report = imported(servers[0])
    wait_for_replica(folder, servers, sides)
    return report


def run(folder: Path) -> dict[str, Any]:
    """Run the demo in *folder*, and return its report."""
    started = time.monotonic()
    expected = json.loads(EXPECTED.read_text())
    with contextlib.ExitStack() as stack:
        servers, broker = regions(folder, stack)
        report = replicated(folder, servers, broker, stack)
        heads = [head(server) for server in servers]
        same = equal_tables(servers)
        balances = report.balances[ACCOUNT]
        place = "at the same head" if heads[0] == heads[1] else "ELSEWHERE"
        rows = "hold the same rows" if same else "DIFFER"
        say.print(f"    region A is at seq {heads[0][0]:,}, region B {place}; their tables {rows}")
        say.print(
            "[bold]3[/] sealing the chain: signed, cosigned by region B and a witness, archived without a database"
        )
        seal = evidence.sealed(folder, servers, ORIGIN)
        evidence.tell_sealed(seal)
        say.print("[bold]4[/] verifying both regions: every byte, link, rule and row")
        reports = []
        for region, server in zip("ab", servers, strict=True):
            reports.append(verified(server))
            tell_verdict(region, reports[-1])
        say.print("[bold]5[/] changing one event and one balance in each region behind the ledger's back")
        tamper = []
        for region, server, seq in zip("ab", servers, (12_345, 23_456), strict=True):
            edits = tampered(region, server, seq)
            tell_edits(region, edits)
            tamper += edits
        lag = status(folder, "publisher")
    return {
        "events": heads[0][0],
        "distinct_fills": report.appended["TradeExecuted"],
        "balances": {asset: shown["total"] for asset, shown in balances.items()},
        "engine_balances": {asset: end["total"] for asset, end in expected["engine_end_balances"].items()},
        "positions": {name: shown["quantity"] for name, shown in report.positions[ACCOUNT].items()},
        "held": {asset: shown["held"] for asset, shown in balances.items()},
        "breaks": len(report.breaks),
        "region_a_head": dict(zip(("seq", "hash"), heads[0], strict=True)),
        "region_b_head": dict(zip(("seq", "hash"), heads[1], strict=True)),
        "tables_equal": same,
        "sealed": seal,
        "verify_a": {name: reports[0][name] for name in ("verdict", "events", "findings")},
        "verify_b": {name: reports[1][name] for name in ("verdict", "events", "findings")},
        "tamper": tamper,
        "max_rpo_seconds": lag["max_rpo_seconds"],
        "seconds": round(time.monotonic() - started, 1),
    }


def good(report: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Return whether the demo showed what it promises: *expected* are the engine's own closing books."""
    engine = expected["engine_end_balances"]
    books = (
        report["distinct_fills"] == expected["distinct_fills"]
        and report["balances"] == {asset: end["total"] for asset, end in engine.items()}
        and report["held"] == {asset: end["locked"] for asset, end in engine.items()}
        and {name: Decimal(quantity) for name, quantity in report["positions"].items()}
        == {name: Decimal(quantity) for name, quantity in expected["engine_open_positions"].items()}
    )
    found = sorted((x["region"], x["what"]) for x in report["tamper"]) == [
        (region, what) for region in ("a", "b") for what in ("balances", "events")
    ] and all(
        x.get("edited_seq") == x.get("found_seq") and x.get("edited_key") == x.get("found_key")
        and x["edited_column"] == x["found_column"] and x["findings"] == 2
        for x in report["tamper"]
    )  # fmt: skip
    same = report["region_a_head"] == report["region_b_head"] and report["tables_equal"]
    clean = report["verify_a"]["verdict"] == report["verify_b"]["verdict"] == "verified"
    sealed = evidence.good(report["sealed"], report["region_a_head"]["seq"])
    return books and found and same and clean and sealed and report["max_rpo_seconds"] > 0 and not report["breaks"]


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keep every other demo out of this clone: each makes build/demo afresh."""
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    with (build / "demo.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SetupNeeded(
                "another demo is running in this clone; wait until it ends, or run this one in another clone"
            ) from None
        yield


def worded(error: LedgerError) -> str:
    """Return what to say of *error*: nobody here holds a key with which to send something again."""
    return re.sub("try again(, and an append)? with the same key", "run the demo again", str(error))


def afresh(folder: Path) -> int:
    """Run the demo in an empty *folder*, leave the report and the archive there, and return the exit status."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    report = run(folder)
    for made in ("region-a", "region-b", "kafka", "keys"):
        shutil.rmtree(folder / made, ignore_errors=True)
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    show(report)
    if good(report, json.loads(EXPECTED.read_text())):
        return 0
    print(f"error: the demo did not show what it promises; see {folder / 'report.json'}", file=sys.stderr)
    return 1


def main() -> None:
    """Run the demo in build/demo, and end with a sentence whatever happens."""
    folder = ROOT / "build" / "demo"
    try:
        start.ready()
        with alone():
            ended = afresh(folder)
    except LedgerError as error:
        print(f"error: {worded(error)}", file=sys.stderr)
        if (free := shutil.disk_usage(ROOT).free) < ROOM_BYTES:
            print(f"the disk under {folder} has {free >> 20} MiB left: make room, then run it again", file=sys.stderr)
        ended = error.exit_status
    except OSError as error:
        print(
            f"error: {error.filename or folder}: {error.strerror}; make room, or copy this elsewhere", file=sys.stderr
        )
        ended = 5
    except KeyboardInterrupt:
        print("interrupted; nothing was left running", file=sys.stderr)
        ended = start.INTERRUPTED
    command.end(ended)
