"""
Name the invariants of docs/INVARIANTS.md, and which of them each rule keeps.

A rule that is broken is told with the number of its invariant, so that whoever reads the message finds the page's row:
what it means, what else guards it, and how it is tested. Rules without a number (an id that is taken, a name that is
not known) keep a request sensible; the books would stay whole without them.
"""

from __future__ import annotations

from typing import Any, Final

INVARIANTS: Final[dict[str, str]] = {
    "I1": "seq is contiguous, and prev_hash is the hash before",
    "I2": "the head row is the last event",
    "I3": "recorded_at rises strictly",
    "I4": "stream versions are contiguous",
    "I5": "an idempotency key is that of one request",
    "I6": "an execution id is used once a venue and trade date",
    "I7": "postings of an event sum to zero per asset, two or more, none of zero",
    "I8": "all balances of an asset sum to zero",
    "I9": "available is not below the floor, unless a fact forced it and it is flagged",
    "I10": "0 <= cum_qty <= order_qty, leaves >= 0",
    "I11": "an order's status follows from its facts, by the transition table",
    "I12": "a bust or correction names the newest version of a trade",
    "I13": "a trade settles at most its quantity; an allocation adds up to its executions",
    "I14": "a trade settles when the calendar says, or for a reason",
    "I15": "a position is what its trades and corporate actions make; a flat one costs nothing",
    "I16": "nothing new counts for a closed day",
    "I17": "a group is whole",
    "I18": "every row of a read model is what the events make",
    "I19": "of what was held no more is released than is left",
    "I20": "amounts fit their asset's decimals, and residuals are posted",
}

_RULES: Final[dict[str, str]] = {
    "I6": "exec_id_reused exec_id_taken",
    "I7": "postings",
    "I9": "insufficient_funds floor value_date_to_come",
    "I10": "overfill filled_more",
    "I11": "order_not_live order_rejected rejected_after_fill nothing_left not_pending orig_cl_ord_id",
    "I12": "unknown_ref stale_ref ref_is_bust ref_mismatch ref_is_allocation",
    "I13": "over_settlement not_whole net_quantity settlement_amount settled_before allocated allocated_qty "
    "allocated_price",
    "I14": "settle_date settlement_to_come",
    "I15": "unknown_position before_split traded_since ex_date_to_come",
    "I16": "period_closed",
    "I19": "hold_exceeded hold_not_open held_below_zero held_bucket",
    "I20": "excess_scale scale gross beyond_limit",
}
OF_RULE: Final[dict[str, str]] = {rule: number for number, rules in _RULES.items() for rule in rules.split()}
"""The invariant that a rule keeps, by the rule's name, which is the one that a quarantined fact and a refusal carry."""


def named(event: Any) -> str:
    """
    Return an event's type and what it is about, by its first field: `OrderPlaced 'O-17'`.
    """
    first = getattr(event, event.__struct_fields__[0])
    return f"{type(event).__name__} {first!r:.140}" if isinstance(first, str | int) else type(event).__name__
