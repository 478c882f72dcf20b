"""
Check that a statement is read exactly, and that everything that cannot be is named with its place.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.amounts import UNIT
from ledger.errors import Rejected
from ledger.reconciliation import keys
from ledger.reconciliation.statement import Statement, Told, read

EXAMPLES = Path(__file__).parents[2] / "examples" / "statements"
TOLD = Told("custodian-1", "2024-08-08")
HEADER = "account,asset,total\n"
TRADES = "venue,trade_date,exec_id,account,instrument,side,qty,price\n"


def example(name: str) -> Statement:
    return read(name, (EXAMPLES / name).read_bytes(), TOLD if name.endswith("csv") else Told())


def test_csv_and_json_say_the_same() -> None:
    """The three CSV examples have the rows of the JSON one, exact; places and hashes differ."""
    whole = example("custodian.json")
    assert whole.balances is not None
    assert [(x.key, x.figures["total"]) for x in whole.balances] == [
        (("ACC-1", "USDT"), 98_999 * UNIT + UNIT // 2), (("ACC-1", "BTC"), 100 * UNIT + UNIT // 100),
    ]  # fmt: skip
    for name in ("balances", "positions", "trades"):
        one = example(f"{name}.csv")
        rows = getattr(one, name)
        assert [x.key for x in rows] == [x.key for x in getattr(whole, name)]
        assert all(x.figures.items() >= y.figures.items() for x, y in zip(rows, getattr(whole, name), strict=True))
        assert (one.issuer, one.as_of, one.day) == (whole.issuer, whole.as_of, whole.day)
    assert (example("trades.csv").trades_from, whole.trades_from) == ("2024-08-08", "2024-08-01")


def test_what_spreadsheets_do_is_read() -> None:
    """A byte order mark, CRLF, blank lines, spaces around cells and quotes change nothing."""
    found = read("s.csv", b'\xef\xbb\xbfaccount,asset,total\r\n\r\n"A, Inc", USD ,"1.50"\r\n', TOLD)
    assert found.balances is not None
    assert [(x.where, x.key, x.figures) for x in found.balances] == [
        ("s.csv:3", ("A, Inc", "USD"), {"total": UNIT * 3 // 2})
    ]


BAD = (
    ("s.csv", b"", "s.csv is empty"),
    ("s.csv", b" \n\n", "s.csv is empty"),
    ("s.txt", b"x", "name it"),
    ("s.csv", "account,asset,total\nA,USD,1\n".encode("utf-16"), "UTF-16; expected UTF-8"),
    ("s.csv", b"account,asset,total\nA,\xdc,1\n", "s.csv:2: found the byte 0xdc, which is no UTF-8"),
    ("s.csv", b"account,asset,total\nA,US\0,1\n", "s.csv:2: found U+0000"),
    ("s.csv", b"account;asset;total\nA;USD;1\n", "columns parted by ';'"),
    ("s.csv", b"acount,asset,total\nA,USD,1\n", "found the column 'acount' (did you mean 'account'?)"),
    ("s.csv", b"account,asset,total,total\nA,USD,1,1\n", "found the column 'total' twice"),
    ("s.csv", b"account,total\nA,1\n", "the column 'asset' is missing"),
    ("s.csv", b"account,asset\nA,USD\n", "no figure to compare"),
    ("s.csv", b"account,asset,total,held\nA,USD,,\n", "s.csv:2: found no figure"),
    ("s.csv", HEADER.encode() + b"A,USD,1,000.5\n", "found 4 cells under 3 columns"),
    ("s.csv", HEADER.encode() + b'A,USD,"1\n', "is the file cut off"),
    ("s.csv", HEADER.encode() + b'A,USD,"1,000.5"\n', "s.csv:2: total: found '1,000.5'"),
    ("s.csv", HEADER.encode() + b"A,USD,1e5\n", "s.csv:2: total: found '1e5'"),
    ("s.csv", HEADER.encode() + b"A,USD,NaN\n", "s.csv:2: total: found 'NaN'"),
    ("s.csv", HEADER.encode() + b"A,USD,inf\n", "s.csv:2: total: found 'inf'"),
    ("s.csv", HEADER.encode() + b"A,USD,0.1234567890123456789\n", "at most 18"),
    ("s.csv", HEADER.encode() + b"A,USD,10000000000000000000000000000000\n", "10^30"),
    ("s.csv", HEADER.encode() + b"A,EUR,1\nA,USD,-0\n", "s.csv:3: total: found '-0'; an amount of nothing has no sign"),
    ("s.csv", b"account,instrument,qty\nA,X,-0.00\n", "s.csv:2: qty: found '-0.00'; an amount of nothing has no sign"),
    ("s.csv", HEADER.encode() + b"A,USD,1\nA,USD,2\n", "s.csv:3: found 'A, USD' a second time, first at s.csv:2"),
    ("s.csv", HEADER.encode() + b"A/B,USD,1\n", "s.csv:2: found account 'A/B'"),
    ("s.csv", TRADES.encode() + b"V,8/8/2024,E,A,X,buy,1,1\n", "s.csv:2: trade_date: found '8/8/2024'"),
    ("s.csv", TRADES.encode() + b"V,2024-08-09,E,A,X,buy,1,1\n", "the statement is as of 2024-08-08, before it"),
    ("s.csv", TRADES.encode() + b"V,2024-08-08,E,A,X,Buy,1,1\n", "found side 'Buy'; expected buy, sell, sell_short"),
    ("s.csv", TRADES.encode() + b"V,2024-08-08,E,A,X,sell,-1,1\n", "expected more than 0"),
    ("s.json", b"[]", "found a JSON list"),
    ("s.json", b"{", "is the file cut off"),
    ("s.json", b'{"balanses": []}', "found the key 'balanses' (did you mean 'balances'?)"),
    ("s.json", b'{"issuer": "x"}', "states nothing"),
    ("s.json", b'{"balances": {}}', "no list"),
    ("s.json", b'{"balances": [1]}', "s.json, balances 1: found a JSON int"),
    ("s.json", b'{"balances": [{"account": "A", "asset": "USD", "total": 1.5}]}', 'write it as text: "1.5"'),
    ("s.json", b'{"balances": [{"account": "A", "asset": "USD", "total": NaN}]}', "found the number NaN"),
    ("s.json", b'{"balances": [{"account": "A", "asset": "USD", "total": true}]}', "found total 'True' (bool)"),
    ("s.json", b'{"balances": [{"account": "A", "asset": "USD", "total": ' + b"9" * 5000 + b"}]}",
     "s.json: found a number of 5000 digits"),
    ("s.json", b'{"balances": [{"account": "A", "asset": "USD", "total": -' + b"9" * 31 + b"}]}", "10^30"),
    ("s.json", b'{"balances": [{"account": "A", "asset": "USD", "total": "-0"}]}',
     "s.json, balances 1: total: found '-0'; an amount of nothing has no sign"),
    ("s.json", b'{"balances": [{"account": "A", "asset": "USD", "total": -0}]}',
     "s.json, balances 1: total: found '-0'; an amount of nothing has no sign"),
    ("s.json", b'{"issuer": -0, "balances": []}', "found issuer '-0'; expected text"),
    ("s.json", b'{"balances": [{"account": "A", "account": "B", "asset": "USD", "total": "1"}]}', "twice in one"),
    ("s.json", b'{"balances": [{"account": "A", "instrument": "X", "qty": "1"}]}', "found the columns of positions"),
    ("s.json", b"[" * 100_000, "nested too deep"),
    ("s.json", b'{"issuer": "other", "balances": []}', "says issuer 'other'"),
    ("s.json", b'{"as_of": 5, "balances": []}', "expected text"),
    ("s.json", b'{"accounts": "A", "balances": []}', "no list"),
    ("s.json", b'{"trades_from": "2024-13-01", "trades": []}', "trades_from: found '2024-13-01'"),
)  # fmt: skip


@pytest.mark.parametrize(("name", "content", "words"), BAD, ids=[str(n) for n in range(len(BAD))])
def test_a_statement_that_cannot_be_read_is_refused_with_its_place(name: str, content: bytes, words: str) -> None:
    """Encoding, header, cells, amounts, days and JSON: what was found, what was expected, and where."""
    with pytest.raises(Rejected) as refused:
        read(name, content, TOLD)
    assert words in str(refused.value)


@pytest.mark.parametrize(("told", "words"), [
    (Told(None, "2024-08-08"), "--issuer"), (Told("c", None), "--as-of"), (Told("c", "yesterday"), "'yesterday'"),
    (Told("c", "2024-08-32"), "2024-08-32"), (Told("c", "1969-01-01"), "1970"), (Told("a/b", "2024-08-08"), "issuer"),
])  # fmt: skip
def test_a_statement_says_whose_and_of_when_it_is(told: Told, words: str) -> None:
    """Where neither the file nor the caller says it, or says what is none, the message names the option."""
    with pytest.raises(Rejected, match=words):
        read("s.csv", HEADER.encode() + b"A,USD,1\n", told)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode), st.sampled_from(["s.csv", "s.json"]))
def test_no_bytes_end_in_anything_but_a_statement_or_a_refusal(content: bytes, name: str) -> None:
    """Whatever the file holds: it is read, or Rejected; anything else fails the test."""
    with contextlib.suppress(Rejected):
        read(name, HEADER.encode() + content if name == "s.csv" else content, TOLD)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(["A", "1", "buy"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["issuer", "as_of", "balances", "trades", "account", "asset", "total", "qty"]), inner,
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["balances", "positions", "trades", "accounts", "issuer"]), JSON))
def test_no_json_ends_in_anything_but_a_statement_or_a_refusal(found: object) -> None:
    """Whatever shape it has."""
    with contextlib.suppress(Rejected):
        read("s.json", json.dumps(found).encode(), TOLD)


IDENTIFIER = st.text(alphabet=[chr(c) for c in range(32, 127) if chr(c) != "/"], min_size=1, max_size=128)


@given(st.lists(IDENTIFIER, min_size=3, max_size=3), st.lists(IDENTIFIER, min_size=3, max_size=3))
def test_keys_keep_apart_what_is_apart(left: list[str], right: list[str]) -> None:
    """Keys are identifiers, injective in their parts, and each part of one is found again."""
    one, other = (keys.make("trade", *x, "settle_date") for x in (left, right))
    assert (one == other) == (left == right)
    assert len(one) <= 128
    found = keys.parts(one)
    assert len(found) == 5
    assert all(keys.stands_for(written, part) for written, part in zip(found[1:4], left, strict=True))
