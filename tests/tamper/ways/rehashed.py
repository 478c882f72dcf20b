"""
Edit one column of an event, and make every hash from there to the head anew: no link is broken any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from ledger.chain.entry import RecordedEvent
from tests.tamper.forging import given, relink
from tests.tamper.scene import Scene
from tests.tamper.way import Expected, add, way

_HOW: Final = "superuser: triggers off; the event, and every hash from it to the head, made anew with BLAKE3"
_DAY_NS: Final = 86_400 * 10**9


def _other(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


COLUMNS: Final[dict[str, Callable[[Any], Any]]] = {
    "epoch": lambda value: value + 1, "event_id": _other, "event_type": lambda value: "TradeCorrected",
    "schema_version": lambda value: value + 1, "stream": lambda value: value + "x",
    "stream_version": lambda value: value + 1000, "group_id": _other, "group_index": lambda value: value + 1,
    "group_size": lambda value: value + 1, "idempotency_key": lambda value: value + "x", "request_hash": _other,
    "occurred_at": lambda value: value - _DAY_NS, "recorded_at": lambda value: value + 1,
    "effective_on": lambda value: value - 1, "actor": lambda value: "nobody", "source": lambda value: "nautilus",
    "correlation_id": lambda value: bytes(15) + b"\1", "causation_id": lambda value: bytes(15) + b"\2",
    "salt": _other,
}  # fmt: skip


def _seq(scene: Scene, column: str, history: list[RecordedEvent]) -> int:
    """Return an event that both checkpoints cover, where the column can be what it is changed to."""
    size = 2 if column == "group_index" else 1
    after = scene.firm.sizes[0] // 2
    return next(x.seq for x in history if x.seq > after and x.group_size == size and x.group_index == 0)


def _column(name: str, change: Callable[[Any], Any]) -> None:
    def do(scene: Scene) -> Expected:
        history = scene.firm.events()
        seq = _seq(scene, name, history)
        relink(scene.intruder(), history, seq, lambda x: msgspec.structs.replace(x, **{name: change(getattr(x, name))}))
        return Expected(kind="TREE_MISMATCH", seq=seq)

    add(
        f"rehashed {name}", do, what=f"the {name} of an event is changed, and the chain hashed again behind it",
        where=f"events.{name}", threats=(6, 7), mode="full --policy", how=_HOW,
        also=("scrub", "sample") if name in ("actor", "occurred_at") else (),
        blind=("chain", "open") if name == "actor" else (),
    )  # fmt: skip


for _name, _change in COLUMNS.items():
    _column(_name, _change)


def _trade(history: list[RecordedEvent], after: int) -> int:
    return next(x.seq for x in history if x.seq > after and x.event_type == "TradeExecuted")


@way("the price in a trade is changed, and the chain hashed again behind it", "events.payload", (6, 7), "state", _HOW,
     also=("full --policy",))  # fmt: skip
def rehashed_payload(scene: Scene) -> Expected:
    history = scene.firm.events()
    seq = _trade(history, scene.firm.sizes[0] // 2)
    relink(scene.intruder(), history, seq, lambda x: given(x, b'"qty":"0.02"', b'"qty":"0.03"'))
    return Expected(seq=seq)


@way("an amount is changed so that a posting no longer balances, and the chain hashed again", "events.payload", (1, 7),
     "full", _HOW, also=("state",))  # fmt: skip
def rehashed_unbalanced(scene: Scene) -> Expected:
    history = scene.firm.events()
    seq = next(x.seq for x in history if x.event_type == "FeeCharged" and x.seq > scene.firm.sizes[0] // 2)

    def unbalanced(event: RecordedEvent) -> RecordedEvent:
        payload = event.payload.replace(b'"settled","-0.5"', b'"settled","-9.5"', 1)
        assert payload != event.payload, event.payload
        return msgspec.structs.replace(event, payload=payload)

    relink(scene.intruder(), history, seq, unbalanced)
    return Expected(kind="STATE_MISMATCH", seq=seq)


@way("an event type that no program knows, and the chain hashed again", "events.event_type", (19,), "full", _HOW)
def rehashed_unknown_type(scene: Scene) -> Expected:
    history = scene.firm.events()
    seq = _trade(history, scene.firm.sizes[0] // 2)
    relink(scene.intruder(), history, seq, lambda x: msgspec.structs.replace(x, event_type="TradeImagined"))
    return Expected(kind="UNKNOWN_FORMAT", seq=seq)


@way("the newest events are hashed again after a change, past every checkpoint; the replica's signed word is left",
     "events.actor", (7,), "incremental", _HOW, also=("receipts", "diff", "full"), blind=("open", "chain"),
     otherwise={"receipts": Expected(kind="RECEIPT_MISMATCH", table="receipts", column="hash"),
                "diff": Expected(kind="DIVERGENCE", column="actor")})  # fmt: skip
def rehashed_tail(scene: Scene) -> Expected:
    history = scene.firm.events()
    seq = next(x.seq for x in reversed(history) if x.group_size == 1)
    relink(scene.intruder(), history, seq, lambda x: msgspec.structs.replace(x, actor="nobody"))
    # The other region has acknowledged these events, with its signature.
    return Expected(kind="ACK_MISMATCH")
