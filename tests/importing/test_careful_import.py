"""
Check that an import books nothing silently wrong: instruments it cannot book, names that collide, statements that lie.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ledger import Ledger
from ledger.domain import amounts
from ledger.errors import InvalidInput
from ledger.importing import run
from ledger.queries import Books
from tests.commands import tradeledger
from tests.conftest import Database
from tests.importing.sessions import NOON_NS
from tests.importing.test_sessions import accounted, written
from tests.journal.test_ledger import check_whole

STOCK = {
    "type": "Equity", "id": "PENNY.XNAS", "currency": "USD", "price_increment": "0.0001", "size_increment": "1",
}  # fmt: skip
ETF = {**STOCK, "id": "USD.ARCX", "price_increment": "0.01"}
INVERSE = {
    "type": "CryptoPerpetual", "id": "XBTUSD.BITMEX", "base_currency": "BTC", "quote_currency": "USD",
    "settlement_currency": "BTC", "is_inverse": True, "price_increment": "0.5", "size_increment": "1",
}  # fmt: skip


class Recording:
    """
    The lines of a small recording in one account.
    """

    def __init__(self, instrument: str = "PENNY.XNAS", account: str = "XNAS-001") -> None:
        self.about = {"instrument_id": instrument, "account_id": account}
        self.lines: list[dict[str, Any]] = []

    def put(self, kind: str, **more: Any) -> Recording:
        number = len(self.lines) + 1
        self.lines.append({"type": kind, "event_id": f"e{number}", "ts_event": NOON_NS + number, **self.about, **more})
        return self

    def state(self, *balances: tuple[str, str], held: str = "0") -> Recording:
        stated = [{"currency": asset, "total": total, "locked": held} for asset, total in balances]
        return self.put("AccountState", account_type="MARGIN", base_currency=None, balances=stated)

    def made(self, quantity: str) -> Recording:
        return self.put("OrderInitialized", strategy_id="S", client_order_id="O1", order_side="BUY", quantity=quantity,
                        order_type="MARKET", time_in_force="GTC", account_id=None)  # fmt: skip

    def done(self, quantity: str, price: str, commission: str = "0.00 USD") -> Recording:
        self.put("OrderSubmitted", client_order_id="O1").put("OrderAccepted", client_order_id="O1")
        return self.put("OrderFilled", client_order_id="O1", trade_id="T1", order_side="BUY", last_qty=quantity,
                        last_px=price, commission=commission, liquidity_side="TAKER")  # fmt: skip

    def text(self, first: int = 0, last: int | None = None) -> bytes:
        return b"".join(json.dumps(line).encode() + b"\n" for line in self.lines[first:last])


def take(chain: Database, folder: Path, text: bytes, *instruments: dict[str, Any]) -> run.Report:
    with Ledger.open(chain.dsn("writer"), source="nautilus") as ledger, ledger.books() as books:
        report = run.import_session(ledger, books, written(folder, text), instruments or (STOCK,))
    check_whole(chain)
    return report


@pytest.mark.parametrize("change", [{}, {"settlement_currency": None}, {"is_inverse": False}, {"is_inverse": "yes"}])
def test_a_contract_that_does_not_settle_in_its_quote_is_refused(
    chain: Database, tmp_path: Path, change: dict[str, Any]
) -> None:
    """Inverse, or paid in another currency than the price's: booking it in the quote would be silently wrong."""
    text = Recording("XBTUSD.BITMEX", "BITMEX-1").state(("BTC", "10.0")).made("100").done("100", "50000.0").text()
    with pytest.raises(InvalidInput, match=r"'XBTUSD.BITMEX'.*(inverse|settles in 'BTC').*leave its events out"):
        take(chain, tmp_path, text, {**INVERSE, **change})


def test_a_share_whose_ticker_is_a_currency_does_not_become_cash(chain: Database, tmp_path: Path) -> None:
    """The ETF with the ticker USD is the asset USD.ARCX; the cash is what the engine says."""
    file = Recording("USD.ARCX", "ARCX-1").state(("USD", "10000.00")).made("10").done("10", "50.00")
    report = take(chain, tmp_path, file.state(("USD", "9500.00")).text(), ETF)
    assert report.breaks == []
    assert {asset: shown["total"] for asset, shown in report.balances["ARCX-1"].items()} == {
        "USD": "9500", "USD.ARCX": "10",
    }  # fmt: skip


def test_a_ticker_that_is_a_code_of_iso_4217_or_a_currency_of_another_account_is_none(
    chain: Database, tmp_path: Path
) -> None:
    """A code that nothing used yet, and a token that only the first statement names."""
    for place, (name, token) in enumerate((("CHF.ARCX", "USD"), ("WIF.ARCX", "WIF"))):
        file = Recording(name, f"A-{place}").state(("USD", "10000.00"), (token, "10000.00"))
        if token == "USD":
            file = Recording(name, f"A-{place}").state(("USD", "10000.00"))
        for line in file.made("10").done("10", "50.00").lines:
            line["event_id"] += f"-{place}"
            line.update({"client_order_id": f"O{place}", "trade_id": f"T{place}"})
        report = take(chain, tmp_path, file.text(), {**ETF, "id": name})
        assert report.balances[f"A-{place}"][name]["total"] == "10"


def test_a_currency_that_is_a_security_already_is_refused(chain: Database, tmp_path: Path) -> None:
    """A fee in a name that shares have would come out of the shares."""
    file = Recording().state(("USD", "10000.00")).made("10").done("10", "50.00", "1.00 PENNY")
    with pytest.raises(InvalidInput, match=r"PENNY.*security"):
        take(chain, tmp_path, file.text())


def test_a_balance_that_a_later_statement_leaves_out_is_a_break(chain: Database, tmp_path: Path) -> None:
    """What the engine no longer lists it does not have; once it lists it again, the break ends."""
    file = Recording().state(("USD", "100.00"), ("EUR", "5.00")).state(("USD", "100.00"))
    report = take(chain, tmp_path, file.text())
    assert [(x["key"], x["ledger"], x["external"]) for x in report.breaks] == [("XNAS-001:EUR", "5", "0")]
    assert take(chain, tmp_path, file.text()).appended == {}
    assert take(chain, tmp_path, file.state(("USD", "100.00"), ("EUR", "5.00")).text()).breaks == []


def test_shares_are_no_balance_that_a_statement_could_leave_out(chain: Database, tmp_path: Path) -> None:
    """An engine states its cash; positions are its fills."""
    file = Recording().state(("USD", "100.00")).made("3").done("3", "1.2300").state(("USD", "96.31"))
    assert take(chain, tmp_path, file.text()).breaks == []


def test_a_currency_stated_twice_and_an_instrument_defined_twice_are_refused(chain: Database, tmp_path: Path) -> None:
    """Which of the two is meant nobody can know; the same definition again is no harm."""
    with pytest.raises(InvalidInput, match="name 'USD' twice"):
        take(chain, tmp_path, Recording().state(("USD", "1.00"), ("USD", "2.00")).text())
    text = Recording().state(("USD", "100.00")).text()
    with pytest.raises(InvalidInput, match=r"two definitions of 'PENNY\.XNAS' that differ"):
        take(chain, tmp_path, text, STOCK, {**STOCK, "currency": "EUR"})
    assert take(chain, tmp_path, text, STOCK, dict(STOCK)).appended["CashMoved"] == 1


@pytest.mark.parametrize(("increment", "fee"), [("0.0001", "0.35"), ("0.000000001", "0.350000001")])
def test_a_first_total_without_decimals_does_not_bind_the_currency(
    chain: Database, tmp_path: Path, increment: str, fee: str
) -> None:
    """A currency has 8 decimals, or what the instruments need, however its first total was written."""
    file = Recording().state(("USD", "100")).made("3").done("3", "1.2300", f"{fee} USD").state(("USD", "95.96"))
    report = take(chain, tmp_path, file.text(), {**STOCK, "price_increment": increment})
    assert report.quarantined == []
    assert [x["ledger"] for x in report.breaks] == ([] if fee == "0.35" else ["95.959999999"])


@pytest.mark.parametrize("told", [{"price": "1.23001"}, {"trigger_price": "1.20007"}])
def test_an_order_that_was_changed_on_other_ticks_keeps_its_fills(
    chain: Database, tmp_path: Path, told: dict[str, str]
) -> None:
    """Ticks of then are not those of the definitions of today, and a stop trails between them."""
    file = Recording().state(("USD", "100.00")).made("1")
    file.put("OrderSubmitted", client_order_id="O1").put("OrderAccepted", client_order_id="O1")
    file.put("OrderUpdated", client_order_id="O1", quantity="3", **told)
    for number in ("1", "2"):
        file.put("OrderFilled", client_order_id="O1", trade_id=f"T{number}", order_side="BUY", last_qty=number,
                 last_px="1.2300", commission="0.00 USD", liquidity_side="TAKER")  # fmt: skip
    assert take(chain, tmp_path, file.text()).quarantined == []
    with Books(chain.dsn("auditor")) as books:
        assert [row.qty for row in books.positions().value] == [amounts.parse("3")]


def test_an_order_made_in_an_earlier_file_is_counted_as_lost(chain: Database, tmp_path: Path) -> None:
    """The order is `unplaced` in the first file and `split` in the second, and the table says to join them."""
    file = Recording().state(("USD", "100.00")).made("3").done("3", "1.2300")
    first = take(chain, tmp_path, file.text(0, 2))
    assert first.not_appended == {"unplaced": 1}
    second = take(chain, tmp_path, file.text(2) + file.text(2, 3))
    assert (second.not_appended, accounted(second)) == ({"split": 2}, 4)
    assert [x["rule"] for x in second.quarantined] == ["unknown_order", "unknown_order"]
    instruments = tmp_path / "instruments.json"
    instruments.write_text(json.dumps([STOCK]))
    path = written(tmp_path, file.text(2))
    shown = tradeledger("import", "nautilus", path, "--instruments", instruments, LEDGER_DSN=chain.dsn("writer"))
    assert "not appended: split" in shown.stdout
    assert "join the files" in shown.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\n \n\n", "only blank lines"),
        (b"\xef\xbb\xbf{}\n", "byte order mark of UTF-8"),
        ("{}\n".encode("utf-16"), "byte order mark of UTF-16"),
    ],
)
def test_a_file_without_events_and_one_with_a_byte_order_mark_are_refused(
    chain: Database, tmp_path: Path, text: bytes, words: str
) -> None:
    """Nothing to read is an error as an empty file is; a mark is named, and not called damage."""
    with pytest.raises(InvalidInput, match=words):
        take(chain, tmp_path, text)
