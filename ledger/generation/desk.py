"""
Remember what the made-up firm must not contradict: its day, its clock, what it owns of shares, what is to settle.

The memory is bounded: of an ended order nothing is kept, of a trade only until it has settled, and a day has no more
trades that wait for settlement than `SETTLING_A_DAY`, so a history of any length takes the same.
"""

from __future__ import annotations

import datetime
from collections import Counter, defaultdict
from random import Random
from typing import Any, Final, Literal

import msgspec

from ledger.domain import amounts
from ledger.domain.events.executions import Fee, TradeExecuted
from ledger.generation import firm
from ledger.generation.firm import Listing

SETTLING_A_DAY: Final = 1_500
ODD_FACTS_A_DAY: Final = 40
BLOCKS_A_DAY: Final = 12
RESTING: Final = 6
"""Orders that stay open over night."""
_OPENING_S: Final = 13.5 * 3600
_SESSION_NS: Final = int(6.5 * 3600 * 10**9)
_EPOCH: Final = datetime.date(1970, 1, 1)

Side = Literal["buy", "sell", "sell_short"]


class Trade(msgspec.Struct):
    """
    A trade that may still change or settle: what of it is live, in lots.
    """

    listing: Listing
    account: str
    side: Side
    lots: int
    ticks: int
    exec_id: str
    day: str
    order_id: str | None
    left: int
    waits: bool = False
    live: bool = True

    def signed(self, lots: int) -> int:
        """Return *lots* as the account sees them: positive where it buys."""
        return lots if self.side == "buy" else -lots


class Resting(msgspec.Struct):
    """
    An order that is open over night, in lots.
    """

    order_id: str
    listing: Listing
    account: str
    side: Side
    lots: int
    filled: int


class Waiting(msgspec.Struct):
    """
    A quarantined fact, and how the desk will decide on it.
    """

    seq: int
    resolution: Literal["accepted", "duplicate", "discarded"]
    accepted_seq: int | None = None


class Desk:
    """
    The firm on its current day.
    """

    def __init__(self, random: Random, seq: int, per_day: int) -> None:
        self.random = random
        self.seq = seq
        self.per_day = per_day
        self.listings = firm.listings()
        self.everything = list(self.listings.values())
        self.at_once = [listing for listing in self.everything if not listing.cycle]
        self.shares = [self.listings[name] for name in ("ACME", "BOLT", "EDEL")]
        self.number = -1
        self.now = 0
        self.owned: dict[tuple[str, str], int] = {
            (account, share.asset): int(firm.DEPOSITS[share.asset]) for account in firm.FUNDED for share in self.shares
        }
        self.due: dict[int, list[Trade]] = defaultdict(list)
        self.recent: list[Trade] = []
        self.blocks: list[list[Trade]] = []
        self.resting: list[Resting] = []
        self.waiting: list[Waiting] = []
        self.dividends: list[tuple[int, str, list[tuple[str, int, int]]]] = []
        self.holds: list[tuple[int, str]] = []
        self.odd_kinds = -1
        self.allocations = 0
        self._turns: Counter[str] = Counter()
        self._settling = 0
        self._odd = 0
        self._ids = 0
        self._step = 0

    def begin(self, date: datetime.date) -> None:
        """Go on to the next day."""
        self.number += 1
        self.date, self.day = date, date.isoformat()
        self.now = (date - _EPOCH).days * 86_400 * 10**9 + int(_OPENING_S) * 10**9
        # The clock stays within the day, also when there is three times as much to do as planned.
        self._step = max(2, 2 * _SESSION_NS // (3 * self.per_day + 3_000))
        self._settling = self._odd = 0

    def tick(self) -> int:
        """Let a moment pass, and return the time in ns."""
        self.now += 1 + int(self.random.random() * self._step)
        return self.now

    def name(self, prefix: str) -> str:
        """Return an id that was not used before."""
        self._ids += 1
        return f"{prefix}{self._ids}"

    def pick(self, options: Any) -> Any:
        """Return one of *options*, a sequence."""
        return options[int(self.random.random() * len(options))]

    def below(self, most: int) -> int:
        """Return a number from 1 to *most*."""
        return 1 + int(self.random.random() * most)

    def market(self) -> tuple[str, Listing, Side, int]:
        """Return who trades what next, on which side and how many lots, and let the price move."""
        random = self.random.random()
        if random < 0.03:
            account, listing = firm.FIFO_CLIENT, self.listings["BOLT"]
        else:
            account = self.pick(firm.TRADERS)
            listing = self.pick(self.everything if self._settling < SETTLING_A_DAY else self.at_once)
        listing.price = max(100, listing.price + int(self.random.random() * 7) - 3)
        side: Side = "buy" if self.random.random() < 0.5 else "sell"
        if side == "sell" and account == "prime-1":
            side = "sell_short"
        return account, listing, side, self.below(listing.most)

    def turn(self, what: str) -> int:
        """Return how often *what* was asked for before, so that what is rare is sure to come early in every history."""
        self._turns[what] += 1
        return self._turns[what] - 1

    def may_be_odd(self) -> bool:
        """Return whether one more fact that cannot be fits into the day, and count it."""
        self._odd += 1
        return self._odd <= ODD_FACTS_A_DAY

    def cycle(self, listing: Listing) -> int:
        """Return in how many trading days a trade of today settles."""
        if listing.calendar == "us" and listing.product == "equity" and self.date >= firm.ONE_DAY_CYCLE:
            return 1
        return listing.cycle

    def book(self, trade: Trade, lots: int) -> None:
        """Note *lots* more of a trade, or fewer, in what its account owns of shares."""
        if trade.listing.product == "equity":
            key = (trade.account, trade.listing.asset)
            self.owned[key] = self.owned.get(key, 0) + trade.signed(lots)

    def await_settlement(self, trade: Trade, days: int) -> None:
        """Let a trade settle in so many trading days, if it waits for that at all."""
        if trade.listing.cycle and not trade.waits:
            trade.waits = True
            self._settling += 1
            self.due[self.number + days].append(trade)

    def fees(self, listing: Listing, lots: int) -> tuple[Fee, ...]:
        """Return what a trade costs beside its price; now and then a rebate, or an odd amount of 18 decimals."""
        random = self.random.random()
        if listing.asset == "ETH":
            return (Fee(kind="commission", asset="ETH", amount=amounts.render(1 + int(random * 10**13))),)
        if random < 0.2:
            return ()
        if listing.quote == "JPY":
            return (Fee(kind="commission", asset="JPY", amount=str(1 + int(random * 300))),)
        cents = amounts.render((1 + int(random * 400)) * 10**16)
        if random > 0.95:
            return (Fee(kind="rebate", asset=listing.quote, amount=f"-{cents}"),)
        return (Fee(kind="commission", asset=listing.quote, amount=cents),)

    def execute(
        self, listing: Listing, account: str, side: Side, lots: int, order_id: str | None, **more: Any
    ) -> tuple[Trade, TradeExecuted]:
        """Trade, and return what is remembered of it and what the venue reports."""
        ticks = max(1, listing.price + int(self.random.random() * 5) - 2)
        trade = Trade(listing, account, side, lots, ticks, self.name("E"), self.day, order_id, lots)
        self.book(trade, lots)
        self.await_settlement(trade, self.cycle(listing))
        return trade, TradeExecuted(
            exec_id=trade.exec_id, venue=listing.venue, order_id=order_id, account=account, instrument=listing.name,
            side=side, qty=listing.qty(lots), price=listing.at(ticks), trade_date=self.day,
            fees=self.fees(listing, lots), liquidity="maker" if self.random.random() < 0.4 else "taker", **more,
        )  # fmt: skip
