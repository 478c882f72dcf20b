"""
Close, mark, reconcile, decide and seal as may well be, and now and then as cannot.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ledger.domain.events.control import (
    BreakResolution,
    CheckpointSealed,
    ControlsSet,
    Difference,
    KeyDestroyed,
    MarkRecorded,
    PeriodClosed,
    ReconciliationRecorded,
    SchemaRegistered,
)
from ledger.domain.events.executions import QuarantineResolved
from ledger.domain.events.fields import Event
from tests.model import control, periods, reference
from tests.model.dice import WILD, Dice
from tests.model.firm import SCHEMAS, sealed
from tests.model.history import History
from tests.model.moment import Moment
from tests.model.requests_of_trades import days_before


def resolved(history: History, _: Moment, dice: Dice) -> Event:
    waiting = [x.seq for x in history.entries if control.waits(x) and x.seq not in control.resolved(history)]
    answered = [x for x in waiting if control.answer(history, x)]
    ref = dice.aimed(answered if answered and dice.often(0.7) else waiting, range(1, len(history.entries) + 2))
    known = ref <= len(history.entries)
    newest = control.answer(history, ref) if known else None
    seq = None
    if newest is not None or dice.often(0.3):
        seq = newest if newest is not None and not dice.often(0.1) else dice.randint(1, len(history.entries))
    how: Any = "accepted" if seq is not None else dice.of("duplicate", "discarded", "discarded", "accepted")
    return QuarantineResolved(ref=ref, resolution=how, accepted_seq=seq, proposed_by="ann",
                              approved_by=dice.of("bob", "bob", "ann", None))  # fmt: skip


def marked(history: History, now: Moment, dice: Dice) -> Event:
    kind: Any = dice.of("eod", "settlement", "intraday")
    given: dict[str, Any] = {"kind": kind, "day": days_before(now.day, dice.of(0, 0, 0, 1, 1, -1)),
                             "as_of": now.at - dice.of(0, 0, 86_400 * 10**9)}  # fmt: skip
    if dice.often(0.4):
        base, quote = dice.aimed([("EUR", "USD"), ("USD", "EUR")], [("EUR", "EUR"), ("EUR", "GBP"), (None, "USD")])
        return MarkRecorded(base=base, quote=quote, price=dice.of("1.1", "1.0825", "0.9", "0.9", "0"), **given)
    every = reference.instruments(history)
    name = dice.aimed((x for x in every if every[x].renamed_to is None), ["IBM"])
    return MarkRecorded(instrument=name, price=dice.of("10", "10.5", "99.99"), **given)


def reconciled(history: History, now: Moment, dice: Dice) -> Event:
    origin = dice.of("custodian", "venue")
    stood = [key for source, key in control.breaks(history) if source == origin]
    keys = dice.sample(["a", "b", "c", "d"], dice.randint(0, 3))
    breaks = tuple(Difference(key=x, ledger=dice.of("1", "2"), external="3") for x in keys)
    gone = [x for x in stood if x not in keys] if not dice.often(0.05) else ["a"]
    decided = []
    for key in gone:
        if dice.often(0.6):
            how: Any = dice.of("adjusted", "theirs", "explained")
            ref = dice.randint(1, now.seq) if (how == "adjusted") != dice.often(0.03) else None
            decided.append(BreakResolution(key=key, how=how, reason="r", ref=ref, proposed_by="ann",
                                           approved_by=dice.of("bob", "bob", None)))  # fmt: skip
    return ReconciliationRecorded(origin=origin, statement_hash="ab", as_of=now.at,
                                  matched=dice.of(3, 0, 412, -1 if dice.often(WILD) else 7), breaks=breaks,
                                  resolved=tuple(decided))  # fmt: skip


def closed(history: History, now: Moment, dice: Dice) -> Event:
    yesterday = days_before(now.day, 1)
    fit = [x for x in (yesterday, days_before(now.day, 2)) if x > periods.closed_through(history)]
    through = dice.aimed(fit, [now.day, days_before(now.day, -1), yesterday])
    digest = control.trial_balance(history) if dice.often(0.5) else None
    return PeriodClosed(through=through, trial_balance="00" if dice.often(0.05) else digest)


def sealed_now(history: History, now: Moment, dice: Dice) -> Event:
    event = sealed(dice.aimed([now.seq - 1], [0, now.seq, now.seq + 1]))
    if dice.often(0.15):
        return msgspec.structs.replace(event, **{dice.of("head_hash", "root", "state_digest", "key_id"): "dd"})
    return event


def registered(_: History, __: Moment, dice: Dice) -> Event:
    kind, version = dice.choice(list(SCHEMAS))
    own = SCHEMAS[kind, version] if not dice.often(0.1) else "00"
    return SchemaRegistered(event_type=kind, version=version + dice.often(0.05), schema_hash=own, encoder_version="1")


def destroyed(_: History, __: Moment, dice: Dice) -> Event:
    return KeyDestroyed(subject_key_id=f"k{dice.randint(1, 6)}", authority="court")


def controls_set(_: History, __: Moment, dice: Dice) -> Event:
    actions: Any = tuple(dice.sample(["resolution", "journal", "reversal"], dice.randint(0, 2)))
    return ControlsSet(second_person=actions, reason="policy", proposed_by="ann",
                       approved_by=dice.of("bob", "bob", "ann", None))  # fmt: skip


REQUESTS: dict[type[Event], tuple[Any, int]] = {
    QuarantineResolved: (resolved, 5), MarkRecorded: (marked, 4), ReconciliationRecorded: (reconciled, 3),
    PeriodClosed: (closed, 2), CheckpointSealed: (sealed_now, 2), SchemaRegistered: (registered, 2),
    KeyDestroyed: (destroyed, 1), ControlsSet: (controls_set, 1),
}  # fmt: skip
