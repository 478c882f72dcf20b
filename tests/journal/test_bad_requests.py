"""
Check what the API answers to bad requests: a clear error, nothing lost, nothing half-written; facts are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from ledger import Ledger
from ledger.domain.events.control import EpochStarted
from ledger.domain.events.orders import OrderCanceled, OrderRejected
from ledger.errors import (
    IdempotencyConflict,
    InvalidAmount,
    InvalidEvent,
    InvalidInput,
    Rejected,
    RuleBroken,
    TooLarge,
    VersionConflict,
)
from ledger.queries import Books
from tests.conftest import Database
from tests.journal.test_ledger import check_whole, deposit, fee, fill, order, trade

Ask = Callable[[Ledger], Any]

REIGN = EpochStarted(epoch=2, base_seq=1, base_hash="ab", reason="r", from_region="b")
REFUSED: dict[str, tuple[Ask, type[Rejected], str]] = {
    "a float": (lambda x: x.append(fee("f", 0.5), key="k"), InvalidAmount, "float"),  # type: ignore[arg-type]
    "NaN": (lambda x: x.append(fee("f", "NaN"), key="k"), InvalidAmount, "NaN"),
    "a Decimal NaN": (lambda x: x.append(fee("f", Decimal("NaN")), key="k"), InvalidAmount, "finite"),  # type: ignore[arg-type]
    "an exponent": (lambda x: x.append(fee("f", "1e2"), key="k"), InvalidAmount, "plain decimal"),
    "19 decimals": (lambda x: x.append(fee("f", f"0.{'0' * 18}1"), key="k"), InvalidAmount, "at most 18"),
    "more decimals than the asset": (lambda x: x.append(fee("f", "0.000000001"), key="k"), RuleBroken, "decimals"),
    "U+0000": (
        lambda x: x.append(OrderRejected(order_id="O", reason_code="r", text="a\0b"), key="k"), InvalidEvent,
        r"U\+0000",
    ),
    "a surrogate": (
        lambda x: x.append(OrderRejected(order_id="O", reason_code="r", text="\ud800"), key="k"), InvalidEvent,
        "surrogate",
    ),
    "a payload over the limit": (
        lambda x: x.append(OrderRejected(order_id="O", reason_code="r", text="x" * 300_000), key="k"), TooLarge,
        r"OrderRejected 'O': found a payload of 3\d+ bytes as given; expected at most 122880 of a fact.*give less",
    ),
    "too many events": (lambda x: x.append([fee(f"f{n}") for n in range(10_001)], key="k"), TooLarge, "at most 10000"),
    "no event": (lambda x: x.append(object(), key="k"), Rejected, "expected"),
    "a fact beside a command": (lambda x: x.append([deposit("d"), fee("f")], key="k"), InvalidEvent, "of their own"),
    "a fact beside an event of the chain's own": (
        lambda x: x.append([deposit("d"), REIGN], key="k"), InvalidEvent, "of their own"
    ),
    "an order of 0": (lambda x: x.append(order("Q", qty="0"), key="k"), RuleBroken, "above 0"),
    "a negative order": (lambda x: x.append(order("Q", qty="-1"), key="k"), RuleBroken, "above 0"),
    "a key that was used": (lambda x: x.append(fee("other"), key="setup-0"), IdempotencyConflict, "seq 2"),
    "a key with a line end": (lambda x: x.append(fee("f"), key="a\nb"), InvalidEvent, "printable"),
    "a stream that no text is": (
        lambda x: x.append(fee("f"), key="k", expected={"order/\ud800": 0}), InvalidEvent, "names of streams",
    ),
    "a stream without end": (
        lambda x: x.append(fee("f"), key="k", expected={"x" * 10_000_000: 0}), InvalidEvent, "10000000 characters",
    ),
    "a version beyond any": (
        lambda x: x.append(fee("f"), key="k", expected={"account/A": 2**63}), InvalidEvent, "whole number",
    ),
    "a stale version": (lambda x: x.append(fee("f"), key="k", expected={"account/A": 1}), VersionConflict, "read it"),
    "an unknown account": (
        lambda x: x.append(fee("f").__class__(fee_id="f", account="no", kind="k", asset="USDT", amount="1"), key="k"),
        RuleBroken, "no",
    ),
}  # fmt: skip


def test_every_bad_request_is_refused_by_name_and_leaves_nothing(chain: Database) -> None:
    """The error says what was found; the head is where it was; the same key is free for a good request."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        before = ledger.head()
        for what, (ask, kind, words) in REFUSED.items():
            with pytest.raises(kind, match=words):
                ask(ledger)
            assert ledger.head() == before, what
        assert ledger.lookup("k") is None
        assert ledger.append(deposit("d"), key="k").seq == before.seq + 1
        check_whole(chain, ledger)


def test_an_execution_that_fits_no_order_is_kept_and_waits(chain: Database) -> None:
    """Of an unknown order, over the quantity: quarantined, listed, nothing moves; after a cancel: late, and booked."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        for name in ("O1", "O2"):
            ledger.append(order(name, qty="0.01"), key=name)
        with ledger.books() as books:
            before = books.balances("A").value, books.positions("A").value
        unknown = ledger.append(trade("E1", "none"), key="e1")
        over = ledger.append(trade("E2", "O1", "0.02"), key="e2")
        assert [x.rule for receipt in (unknown, over) for x in receipt.quarantined] == ["unknown_order", "overfill"]
        with ledger.books() as books:
            assert (books.balances("A").value, books.positions("A").value) == before
            assert [x.seq for x in books.quarantine().value] == [unknown.seq, over.seq]
        again = ledger.append(trade("E1", "none"), key="e1")
        assert (again.replayed, again.quarantined) == (True, unknown.quarantined)
        ledger.append(OrderCanceled(order_id="O2"), key="c2")
        late = ledger.append(trade("E3", "O2", "0.004"), key="e3")
        assert not late.quarantined
        with ledger.books() as books:
            assert [x.exec_id for x in books.table("executions").value if x.late] == ["E3"]
            assert [x.qty for x in books.positions("A").value] == [4 * 10**15]
        check_whole(chain, ledger)


@pytest.mark.parametrize(
    ("address", "words"),
    [(None, "a NoneType as"), (7, "a int as"), ("postgresql://ann:s3cret\ud800@h/db", "U\\+D800 at place 24"),
     ("postgresql://ann:s3cret@h/d\0b", "U\\+0000 at place 28")],
)  # fmt: skip
def test_what_is_no_address_is_refused_by_name_and_not_shown(address: Any, words: str) -> None:
    """Such as that of a variable that is not set."""
    for opened in (Ledger.open, Books):
        with pytest.raises(InvalidInput, match=words) as refused:
            opened(address)
        assert "s3cret" not in str(refused.value)


def test_an_address_may_have_lines(chain: Database) -> None:
    address = chain.dsn("writer")
    words = "\n ".join(f"{name}={value}" for name, value in psycopg.conninfo.conninfo_to_dict(address).items())
    with Ledger.open(words + "\n") as ledger:
        assert ledger.head().seq == 1
