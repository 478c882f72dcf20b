"""
Open the books that every history begins with: shares, coins, also for shares, a contract, and four accounts with
something in them.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ledger.chain.signatures import KeyPair
from ledger.domain.events.cash import CashMoved
from ledger.domain.events.control import ChainCreated, CheckpointSealed, KeyNamed
from ledger.domain.events.fields import Event
from ledger.domain.events.reference import (
    AccountLimitsSet,
    AccountOpened,
    AssetDefined,
    CalendarPublished,
    Cycle,
    InstrumentDefined,
)
from ledger.domain.registry import EVENT_TYPES
from ledger.domain.rules.evidence import CHECKPOINT_DOMAIN, checkpoint_statement
from ledger.domain.schemas import schema_hash

FIRST_DAY = "2024-05-22"
"""A Wednesday, two business days before US equities went from T+2 to T+1 over Memorial Day."""
CYCLES = (
    Cycle(product="us_equity", days=2, effective_from="2017-09-05"),
    Cycle(product="us_equity", days=1, effective_from="2024-05-28"),
)
HOLIDAYS = ("2024-05-27", "2024-06-19")
SHARES = InstrumentDefined(
    instrument="XYZ.N", asset="XYZ", quote_asset="USD", settle_asset="USD", tick="0.01", lot="0.1", settlement_cycle=5,
    calendar="us", product="us_equity", venue="N",
)  # fmt: skip
COINS = InstrumentDefined(
    instrument="BTC-USD", asset="BTC", quote_asset="USD", settle_asset="USD", tick="0.005", lot="0.001",
    settlement_cycle=0, venue="V",
)  # fmt: skip
CONTRACT = InstrumentDefined(
    instrument="FUT", asset="FUT", quote_asset="EUR", settle_asset="EUR", tick="0.25", lot="1", multiplier="12.5",
    settlement_cycle=1, venue="N",
)  # fmt: skip
PAID_IN_SHARES = InstrumentDefined(
    instrument="BTC-XYZ", asset="BTC", quote_asset="XYZ", settle_asset="XYZ", tick="0.005", lot="0.001",
    settlement_cycle=2, venue="V",
)  # fmt: skip
KEY = KeyPair("checkpoint", "x", bytes(32))
SIGNERS = {KEY.key_id}
SIGNED: dict[str, tuple[int, str, str, str, str]] = {}
"""What was truly signed, by signature."""
SCHEMAS = {(name, kind.SCHEMA_VERSION): schema_hash(kind) for name, kind in EVENT_TYPES.items()}
"""The hash of each type's fields in this program."""
ACCOUNTS = ("A", "F", "M", "BLOCK")


def sealed(size: int) -> CheckpointSealed:
    """Return a checkpoint of the first *size* events, signed by the chain's key."""
    event = CheckpointSealed(size=size, head_hash="aa", root="bb", state_digest="cc", key_id=KEY.key_id, signature="00")
    signature = KEY.sign(CHECKPOINT_DOMAIN, checkpoint_statement(event)).hex()
    SIGNED[signature] = (size, "aa", "bb", "cc", KEY.key_id)
    return msgspec.structs.replace(event, signature=signature)


def opening() -> Iterator[Event]:
    named = KeyNamed(key_id=KEY.key_id, purpose="checkpoint", name=KEY.name, public_key=KEY.public_key.hex())
    yield ChainCreated(origin="example.com/a", format_version=1, keys=(named,))
    for asset, kind, scale in (("USD", "currency", 2), ("EUR", "currency", 2), ("XYZ", "security", 1),
                               ("BTC", "crypto", 8), ("FUT", "contract", 0)):  # fmt: skip
        yield AssetDefined(asset=asset, kind=kind, scale=scale, name=asset)  # type: ignore[arg-type]
    yield CalendarPublished(calendar="us", calendar_version=1, holidays=HOLIDAYS, cycles=CYCLES)
    yield from (SHARES, COINS, CONTRACT, PAID_IN_SHARES)
    for account, kind, method in (("A", "cash", "AVG"), ("F", "cash", "FIFO"), ("M", "margin", "FIFO"),
                                  ("BLOCK", "house", "AVG")):  # fmt: skip
        yield AccountOpened(account=account, owner="o", kind=kind, base_asset="USD", cost_method=method)  # type: ignore[arg-type]
    yield AccountLimitsSet(account="M", asset="USD", floor="-2000")
    for account, asset, amount in (("A", "USD", "5000"), ("A", "XYZ", "20"), ("F", "USD", "3000"), ("F", "BTC", "2"),
                                   ("A", "EUR", "900"), ("M", "XYZ", "1.5")):  # fmt: skip
        yield CashMoved(movement_id=f"{account}.{asset}", account=account, asset=asset, amount=amount, kind="deposit",
                        value_date=FIRST_DAY)  # fmt: skip
