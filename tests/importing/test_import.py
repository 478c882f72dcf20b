"""
Check the import command as a user runs it: the whole session, twice, and what goes wrong.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands import tradeledger
from tests.conftest import Database
from tests.importing.test_translation import EVENTS, EXPECTED, SESSION
from tests.journal.test_ledger import check_whole

INSTRUMENTS = SESSION / "btcusdt-20240808.expected.json"


def imported(chain: Database, events: Path = EVENTS, instruments: Path = INSTRUMENTS) -> Any:
    done = tradeledger(
        "import", "nautilus", events, "--instruments", instruments, "--format", "json", LEDGER_DSN=chain.dsn("writer")
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_session_is_imported_to_the_last_digit_and_a_second_run_appends_nothing(chain: Database) -> None:
    """Books, counts and held amounts are the engine's own; every source event is accounted for; then nothing is new."""
    report = imported(chain)
    assert report["read"] == EXPECTED["by_type"]
    assert report["appended"]["TradeExecuted"] == EXPECTED["distinct_fills"]
    assert report["not_appended"] == {
        "submission": 10942, "reconciled": 23721, "duplicate": 4422, "position": 4422,
    }  # fmt: skip
    for asset, end in EXPECTED["recomputed_balances"].items():
        shown = report["balances"]["BINANCE-001"][asset]
        assert float(shown["total"]) == float(end)
    assert report["balances"]["BINANCE-001"]["USDT"] == {
        "total": "335623.56684586", "held": "616.8599", "available": "335006.70694586",
    }  # fmt: skip
    assert report["balances"]["BINANCE-001"]["BTC"] == {"total": "20.7335", "held": "0.01", "available": "20.7235"}
    assert report["positions"]["BINANCE-001"]["BTCUSDT.BINANCE"]["quantity"] == "10.7335"
    assert report["breaks"] == []
    again = imported(chain)
    assert again["appended"] == {}
    assert (again["head"], again["balances"]) == (report["head"], report["balances"])
    assert check_whole(chain) == report["head"]["seq"]


def cut(tmp_path: Path, count: int, change: Any = None) -> Path:
    from ledger.importing import lines

    path = tmp_path / f"{change.__name__ if change else 'first'}-{count}.jsonl"
    kept = []
    for number, source in lines.read(EVENTS):
        if number > count:
            break
        kept.append(json.dumps(change(number, source) if change else source))
    path.write_text("\n".join(kept) + "\n")
    return path


def test_a_damaged_line_stops_the_import_and_a_mended_file_goes_on(chain: Database, tmp_path: Path) -> None:
    """Everything before the bad line is recorded; the second run appends only the rest."""

    def spoil(number: int, source: dict[str, Any]) -> dict[str, Any]:
        return {**source, "type": "OrderEaten"} if number == 900 else source

    bad, good = cut(tmp_path, 1000, spoil), cut(tmp_path, 1000)
    done = tradeledger("import", "nautilus", bad, "--instruments", INSTRUMENTS, LEDGER_DSN=chain.dsn("writer"))
    assert done.returncode == 8
    assert f"{bad}:900: found an event of type 'OrderEaten'" in done.stderr
    before = check_whole(chain)
    assert before > 300
    report = imported(chain, good)
    assert check_whole(chain) == before + sum(report["appended"].values())


def test_a_break_is_recorded_listed_and_no_failure(chain: Database, tmp_path: Path) -> None:
    """A statement that differs from the ledger opens a break, the next that agrees ends it, and exit is 0."""

    def lie(number: int, source: dict[str, Any]) -> dict[str, Any]:
        if source["type"] == "AccountState" and number in (2, 700):
            balances = [dict(balance) for balance in source["balances"]]
            balances[0]["total"] = "1.00000000"
            return {**source, "balances": balances}
        return source

    from ledger.importing import lines

    last = max(n for n, s in lines.read(EVENTS) if s["type"] == "AccountState" and n <= 700)

    def lie_last(number: int, source: dict[str, Any]) -> dict[str, Any]:
        return lie(700 if number == last else number, source)

    report = imported(chain, cut(tmp_path, last, lie_last))
    assert [(x["key"], x["external"]) for x in report["breaks"]][:1] == [("BINANCE-001:USDT", "1")]
    assert report["appended"]["ReconciliationRecorded"] >= 1
    assert imported(chain, cut(tmp_path, last, lie_last))["appended"] == {}
    check_whole(chain)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("import", "nautilus", "nowhere", "--instruments", INSTRUMENTS), 8, "is no file"),
        (("import", "nautilus", EVENTS, "--instruments", "nowhere"), 8, "cannot be read"),
        (("import", "nautilus", EVENTS, "--instruments", INSTRUMENTS, "--origin", "a.b/c"), 8, "example.com/trades"),
        (("import", "nautilus", EVENTS, "--instruments", INSTRUMENTS, "--format", "xml"), 2, "table or json"),
        (("import", "nautilus", EVENTS), 2, "--instruments"),
        (("imprt",), 2, "No such command"),
        (("init", "--origin", "no name"), 8, "expected a name"),
    ],
)
def test_a_wrong_command_says_what_is_wrong(
    chain: Database, tmp_path: Path, arguments: tuple[object, ...], status: int, words: str
) -> None:
    """A clear sentence on stderr, nothing on stdout, and the status that says what to do."""
    login = "owner" if arguments[0] == "init" else "writer"
    done = tradeledger(*arguments, LEDGER_DSN=chain.dsn(login), LEDGER_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr


def test_a_dead_server_and_a_reader_are_told_apart(chain: Database) -> None:
    """Exit 5 where the server is down, 8 where the login may not append."""
    arguments = ("import", "nautilus", EVENTS, "--instruments", INSTRUMENTS)
    down = tradeledger(*arguments, LEDGER_DSN="postgresql://writer@/ledger?host=/nowhere")
    assert (down.returncode, "cannot be used now" in down.stderr) == (5, True)
    reader = tradeledger(*arguments, LEDGER_DSN=chain.dsn("reader"))
    assert (reader.returncode, "ledger_writer" in reader.stderr) == (8, True)


def test_a_first_import_needs_nothing_but_a_folder(tmp_path: Path) -> None:
    """On an empty home the import starts a server, makes a chain with throwaway keys, and says both."""
    home = tmp_path / "home"
    events = cut(tmp_path, 200)
    done = tradeledger("import", "nautilus", events, "--instruments", INSTRUMENTS, LEDGER_HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert "starting a private PostgreSQL" in done.stderr
    assert "throwaway keys" in done.stderr
    assert [oct(path.stat().st_mode & 0o777) for path in home.glob("keys/*/*.json")] == ["0o600"] * 4
    shown = tradeledger("head", LEDGER_HOME=str(home))
    assert shown.stdout.split()[0].isdigit()


def test_a_stock_that_flips_fills_before_acceptance_and_strangers_are_recorded(chain: Database, tmp_path: Path) -> None:
    """A margin account goes short through zero, a fill precedes its acceptance, and one of an unknown order waits."""

    def event(kind: str, number: int, **more: object) -> str:
        base = {"type": kind, "event_id": f"e{number}", "ts_event": 1_723_161_254_087_891_268 + number}
        return json.dumps({**base, "instrument_id": "AAPL.XNAS", "account_id": "XNAS-001", **more})

    def state(number: int, total: str) -> str:
        balance = {"total": total, "locked": "0.00", "free": total, "currency": "USD"}
        return event("AccountState", number, account_type="MARGIN", base_currency="USD", balances=[balance])

    def order(number: int, name: str, side: str, quantity: str) -> str:
        return event("OrderInitialized", number, strategy_id="S", client_order_id=name, order_side=side,
                     order_type="MARKET", quantity=quantity, time_in_force="DAY", options={})  # fmt: skip

    def fill(number: int, name: str, side: str, quantity: str, price: str) -> str:
        return event("OrderFilled", number, client_order_id=name, trade_id=f"T{number}", order_side=side,
                     last_qty=quantity, last_px=price, commission="1.00 USD", liquidity_side="TAKER")  # fmt: skip

    events, instruments = tmp_path / "events.jsonl", tmp_path / "instruments.json"
    events.write_text("\n".join((
        state(1, "10000.00"), order(2, "O1", "BUY", "10"), event("OrderSubmitted", 3, client_order_id="O1"),
        fill(4, "O1", "BUY", "10", "210.005"), event("OrderAccepted", 5, client_order_id="O1"),
        order(6, "O2", "SELL", "25"), event("OrderSubmitted", 7, client_order_id="O2"),
        fill(8, "O2", "SELL", "25", "212.00"), state(9, "13197.95"), fill(10, "O9", "SELL", "1", "212.00"),
    )))  # fmt: skip
    instruments.write_text(json.dumps([{
        "type": "Equity", "id": "AAPL.XNAS", "raw_symbol": "AAPL", "currency": "USD", "price_increment": "0.01",
        "size_increment": "1", "multiplier": "1", "isin": "US0378331005",
    }]))  # fmt: skip
    report = imported(chain, events, instruments)
    assert report["positions"]["XNAS-001"]["AAPL.XNAS"] == {"quantity": "-15", "cost": "-3180", "realised": "19.95"}
    assert report["balances"]["XNAS-001"]["USD"]["total"] == "13197.95"
    assert report["breaks"] == []
    assert report["appended"]["FactQuarantined"] == 1
    assert imported(chain, events, instruments)["appended"] == {}
    check_whole(chain)
