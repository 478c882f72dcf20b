"""
Name the invariants of docs/INVARIANTS.md, and which of them each rule keeps.

A rule that is broken is told with the number of its invariant, so that whoever reads the message finds the page's row:
what it means, what else guards it, and how it is tested. Rules that keep no invariant (an id that is taken, a name that
is not known) keep a request sensible, and the books would stay whole without them: they have the number of a principle,
R1 to R8, which has its row on the same page.
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
    "I9": "available is not below the floor, unless a fact or a reversed allocation forced it and it is flagged",
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
    "I20": "amounts fit their asset's decimals; what rounding leaves between parts and their whole is posted",
}

PRINCIPLES: Final[dict[str, str]] = {
    "R1": "an id is used once, and a fact is recorded once",
    "R2": "what an event names is there",
    "R3": "what an event says agrees with itself and with what it is about",
    "R4": "who acts may, within their limits and in their state",
    "R5": "keys, schemas and checkpoints are those of this chain",
    "R6": "what is decided is decided once, by what is there",
    "R7": "what corporate actions give is what they say of what was held",
    "R8": "an event, with all that follows from it, fits where it is kept",
}

_RULES: Final[dict[str, str]] = {
    "I6": "exec_id_reused exec_id_taken",
    "I7": "postings",
    "I9": "insufficient_funds floor value_date_to_come",
    "I10": "overfill filled_more order_adjustment",
    "I11": "unknown_order order_exists cl_ord_id_reused cl_ord_id_of_another order_mismatch order_not_live "
    "order_rejected rejected_after_fill nothing_left not_pending orig_cl_ord_id",
    "I12": "unknown_ref stale_ref ref_is_bust ref_mismatch ref_is_allocation",
    "I13": "over_settlement not_whole net_quantity settlement_amount settled_before settled_with_trade allocated "
    "allocated_qty allocated_price block_mismatch",
    "I14": "settle_date settled_before_trade settlement_to_come",
    "I15": "unknown_position unknown_lot before_split traded_since moved_since ex_date_to_come trade_date_to_come",
    "I16": "period_closed period_not_over trial_balance",
    "I19": "hold_exceeded hold_not_open held_below_zero held_bucket",
    "I20": "excess_scale scale gross beyond_limit",
    "R1": "account_exists asset_exists instrument_exists allocation_exists chain_exists fee_exists hold_exists "
    "incident_exists journal_exists key_exists schema_exists tail_exists ca_id_reused fx_id_reused movement_id_reused "
    "payment_id_reused settlement_id_reused duplicate_fact",
    "R2": "unknown_account unknown_allocation unknown_asset unknown_calendar unknown_corporate_action unknown_hold "
    "unknown_incident unknown_instrument unknown_key unknown_movement unknown_tail instrument_renamed not_in_tail "
    "order_of_days",
    "R3": "amount calendar_version capture_ref cycles exec_ids expire_at expires_at fx_assets hold "
    "incident_time legs lines mark_to_come matched net_mismatch new_intended_date not_expired price quantity rate "
    "settles_what subject terms",
    "R4": "account_not_empty account_status line_account max_position requests_pending second_person system_account",
    "R5": "backup_seq format_version key_bytes key_destroyed key_id key_mismatch key_revoked no_recovery_key "
    "original_version schema_hash schema_version signature size tail_count",
    "R6": "accepted_seq break_key break_ref disposed_before incident_status new_seq no_such_break not_quarantined "
    "reversed_before tail_not_disposed",
    "R7": "beyond_due cash_in_lieu entitlement entitlements not_a_dividend not_entitled ratio shared_asset tax",
    "R8": "too_large",
}
OF_RULE: Final[dict[str, str]] = {rule: number for number, rules in _RULES.items() for rule in rules.split()}
"""The invariant or principle that a rule keeps, by the name that a quarantined fact and a refusal carry."""


def named(event: Any) -> str:
    """
    Return an event's type and what it is about, by its first field: `OrderPlaced 'O-17'`.
    """
    first = getattr(event, event.__struct_fields__[0])
    return f"{type(event).__name__} {first!r:.140}" if isinstance(first, str | int) else type(event).__name__
