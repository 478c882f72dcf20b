"""
Check that every name has a legal one of its own, from which it can be read back.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidInput
from ledger.exporting import names

IDENTIFIERS = st.text(st.sampled_from([chr(c) for c in range(32, 127) if chr(c) != "/"]), min_size=1, max_size=128)


@given(name=IDENTIFIERS | st.from_regex(r"X[-'][0-9A-F]{0,6}", fullmatch=True))
def test_every_identifier_is_read_back_from_its_name(name: str) -> None:
    """As a commodity and within an account, and both are what the programs' grammars take."""
    commodity = names.commodity(name)
    assert re.fullmatch(r"[A-Z][A-Z0-9'._-]*[A-Z0-9]", commodity)
    assert commodity not in ("TRUE", "FALSE", "NULL")
    assert names.commodity_read(commodity) == name
    part = names.component(name)
    assert re.fullmatch(r"[A-Z0-9][A-Za-z0-9-]*", part)
    assert names.component_read(part) == name
    assert names.account_read(names.account(name, name, "held")) == (name, name, "held")


def test_names_that_are_legal_stay_and_others_are_spelled() -> None:
    """What most firms use reads as it was; the rest is told apart from it."""
    assert [names.commodity(x) for x in ("USD", "BTC-PERP", "usd", "B", "TRUE")] == [
        "USD", "BTC-PERP", "X''75'73'64", "X'B", "X'TRUE",
    ]  # fmt: skip
    assert names.account("client-7", "USD", "settled") == "Assets:X-client-2D7:USD:Settled"
    assert names.account("~fees", "USD", "unsettled") == "Equity:X--7Efees:USD:Unsettled"


def test_a_name_of_something_else_is_not_read() -> None:
    """An account of three parts is none of the ledger's."""
    with pytest.raises(InvalidInput, match="expected root:account:asset:bucket"):
        names.account_read("Assets:A:USD")
