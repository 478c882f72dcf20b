"""
Check the reading and translation of an engine's events, on a recorded session and on damaged files.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import zstandard

from ledger.domain import fold
from ledger.domain.amounts import parse
from ledger.domain.fold import Context
from ledger.domain.state import State
from ledger.errors import InvalidInput
from ledger.importing import lines
from ledger.importing.definitions import instruments_of
from ledger.importing.nautilus import Translator
from ledger.importing.translation import Known

SESSION = Path(__file__).parents[2] / "examples" / "session"
EVENTS = SESSION / "btcusdt-20240808.events.jsonl.zst"
EXPECTED = json.loads((SESSION / "btcusdt-20240808.expected.json").read_text())
SINCE = 1_800_000_000_000_000_000
"""When it is recorded, in ns: every day of the session has come."""


def translator() -> Translator:
    return Translator(EXPECTED["instruments"], Known({}, set(), set()))


def test_the_session_ends_with_the_engines_own_books() -> None:
    """Every AccountState agrees to the last digit, and the end is the engine's: totals, held, position, fills."""
    translate, state, seen = translator(), State(), set()
    recorded: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    for _, source in lines.read(EVENTS):
        translation = translate.translate(source)
        for group in translation.groups:
            if group.key in seen:
                classes["duplicate"] += 1
                continue
            seen.add(group.key)
            context = Context(sum(recorded.values()) + 1, SINCE, group.occurred_at or 0)
            outcome = fold.record(state, group.events[0], context)
            recorded[outcome.event_type] += 1
        classes[translation.not_appended or "appended"] += 1
        if translation.statement is not None:
            for asset, (total, _) in translation.statement.amounts.items():
                balance = state.balances.get(translation.statement.account, asset)
                assert balance is not None
                assert balance.total == total
        state.durable(state.begin())
    for asset, end in EXPECTED["engine_end_balances"].items():
        balance = state.balances.get("BINANCE-001", asset)
        assert balance is not None
        assert (balance.total, balance.held) == (parse(end["total"]), parse(end["locked"]))
    for instrument, quantity in EXPECTED["engine_open_positions"].items():
        position = state.positions.get("BINANCE-001", instrument)
        assert position is not None
        assert position.qty == parse(quantity)
    assert recorded["TradeExecuted"] == EXPECTED["distinct_fills"]
    assert recorded["FactQuarantined"] == 0
    assert classes["duplicate"] == EXPECTED["by_type"]["OrderFilled"] - EXPECTED["distinct_fills"]
    assert len(state.orders.rows) == EXPECTED["open_orders"]
    assert translate.unplaced() == 0


def plain() -> bytes:
    return b'{"type":"a"}\n\n{"type":"b"}'


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
def test_plain_gzip_and_zstd_read_alike(tmp_path: Path, pack: Any) -> None:
    """Compression is told by the first bytes; two members after each other are one file; empty lines are none."""
    path = tmp_path / "events"
    path.write_bytes(pack(plain() + b"\n") + pack(b'{"type":"c"}'))
    assert [(n, x["type"]) for n, x in lines.read(path)] == [(1, "a"), (3, "b"), (4, "c")]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_a_cut_or_damaged_file_is_an_error_and_never_a_shorter_file(tmp_path: Path, pack: Any) -> None:
    """Every prefix of a compressed file, and a flipped byte in it, is refused with the file's name."""
    whole = pack(b"".join(b'{"n":%d}\n' % n for n in range(200)))
    path = tmp_path / "events"
    for length in (*range(5, len(whole), max(1, len(whole) // 40)), len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidInput, match="events"):
            list(lines.read(path))
    path.write_bytes(plain()[:-3])
    with pytest.raises(InvalidInput, match=r"events:3.*cut off"):
        list(lines.read(path))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"type": "OrderEaten"}, "known are AccountState"),
        ({"instrument_id": "ETHUSDT.BINANCE"}, "defines BTCUSDT.BINANCE"),
        ({"last_qty": 0.01}, "last_qty 0.01"),
        ({"last_qty": "1e-2"}, "plain decimal"),
        ({"last_qty": "NaN"}, "plain decimal"),
        ({"last_px": "1.0000000000000000001"}, "at most 18"),
        ({"client_order_id": "a\0b"}, "identifier"),
        ({"ts_event": "now"}, "ts_event"),
        ({"commission": "1"}, "currency"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], words: str) -> None:
    """An unknown type or instrument, a float, NaN, an exponent, excess decimals or U+0000 is refused by name."""
    fill = next(source for _, source in lines.read(EVENTS) if source["type"] == "OrderFilled")
    with pytest.raises(InvalidInput, match=words):
        translator().translate({**fill, **change})


def test_instruments_are_a_list_or_an_object_with_one() -> None:
    """Anything else is refused with what is expected."""
    assert instruments_of(b'[{"id":"a"}]') == instruments_of(b'{"instruments":[{"id":"a"}]}')
    for bad in (b"{}", b"[1]", b"no"):
        with pytest.raises(InvalidInput, match="instruments"):
            instruments_of(bad)
