"""
Change one fact in every place where it stands, so that no two rows disagree: alone, and as a whole other history.

Alone means that each place is edited by hand and the hashes are left. As another history the ledger's own rules decide
every event anew, and a whole database is built of what comes out, tree included: nothing in it is wrong, by any rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from ledger.chain.entry import RecordedEvent
from tests.tamper.forging import given, grown, installed, remade
from tests.tamper.scene import Scene
from tests.tamper.way import Expected, add, way
from tests.tamper.ways.clocks import moved
from tests.verifier.intruder import Intruder

History = list[RecordedEvent]
_EDITED: Final = "superuser: UPDATE of every row that says it, in both places of the payload too"
_FORGED: Final = "superuser: every event decided anew by the ledger's rules, all tables and the tree rebuilt from them"


def _everywhere(scene: Scene, event_sql: str, *edits: tuple[str, str]) -> int:
    """Edit an event and the rows that follow from it."""
    intruder = scene.intruder()
    done = intruder.edit("events", event_sql)
    assert done is not None
    for table, sql in edits:
        intruder.edit(table, sql)
    return int(str(done[0]))


@way("the price of a trade, in the event, its execution, the position and both balances", "events and 3 tables", (6,),
     "full", _EDITED)  # fmt: skip
def a_price_everywhere(scene: Scene) -> Expected:
    seq = _everywhere(
        scene,
        "UPDATE ledger.events SET payload = replace(payload::text, '\"price\":\"99\"', '\"price\":\"90\"')::json "
        "WHERE event_type = 'TradeCorrected' RETURNING seq",
        ("executions", "UPDATE ledger.executions SET price = 90, gross = 0.9 WHERE exec_id = 'E3'"),
        ("positions", "UPDATE ledger.positions SET cost = cost - 0.09 WHERE account = 'A' AND instrument = 'BTCUSDT'"),
        ("balances", "UPDATE ledger.balances SET unsettled = unsettled + CASE account WHEN 'A' THEN 0.09 ELSE -0.09 "
         "END WHERE asset = 'USDT' AND account IN ('A', '~clearing.V')"),
    )  # fmt: skip
    return Expected(kind="BYTES_MODIFIED", seq=seq)


@way(
    "the amount of a deposit, in the event, its movement and both balances",
    "events and 2 tables",
    (6,),
    "full",
    _EDITED,
)
def a_deposit_everywhere(scene: Scene) -> Expected:
    seq = _everywhere(
        scene,
        "UPDATE ledger.events SET payload = regexp_replace(payload::text, '(\"-?)25\"', '\\195\"', 'g')::json WHERE "
        "idempotency_key = 't5-moved' RETURNING seq",
        ("movements", "UPDATE ledger.movements SET postings = replace(postings, '25', '95'), "
         "content = replace(content, '25', '95') WHERE movement_id = 'm-t5'"),
        ("balances", "UPDATE ledger.balances SET settled = settled + CASE account WHEN 'A' THEN 70 ELSE -70 END WHERE "
         "asset = 'USDT' AND account IN ('A', '~external')"),
    )  # fmt: skip
    return Expected(kind="BYTES_MODIFIED", seq=seq)


@way(
    "the owner of an account, in the event and the account",
    "events and accounts",
    (6,),
    "full",
    _EDITED,
    also=("chain",),
)
def an_owner_everywhere(scene: Scene) -> Expected:
    seq = _everywhere(
        scene,
        "UPDATE ledger.events SET payload = replace(payload::text, '\"owner\":\"firm-2\"', '\"owner\":\"firm-9\"')"
        "::json WHERE stream = 'account/B' AND stream_version = 1 RETURNING seq",
        ("accounts", "UPDATE ledger.accounts SET owner = 'firm-9' WHERE account = 'B'"),
    )  # fmt: skip
    return Expected(kind="BYTES_MODIFIED", seq=seq)


@way("the client's number of an order, in the event and two tables", "events and 2 tables", (6,), "full", _EDITED)
def a_client_order_id_everywhere(scene: Scene) -> Expected:
    seq = _everywhere(
        scene,
        "UPDATE ledger.events SET payload = replace(payload::text, '\"c-t9\"', '\"d-t9\"')::json WHERE "
        "idempotency_key = 't9-placed' RETURNING seq",
        ("orders", "UPDATE ledger.orders SET cl_ord_id = 'd-t9' WHERE order_id = 't9'"),
        ("client_order_ids", "UPDATE ledger.client_order_ids SET cl_ord_id = 'd-t9' WHERE order_id = 't9'"),
    )  # fmt: skip
    return Expected(kind="BYTES_MODIFIED", seq=seq)


def changed(where: Callable[[RecordedEvent], bool], old: bytes, new: bytes) -> Callable[[History], History]:
    """Return what changes what was given in the one event of a history that is meant."""
    return lambda history: [given(x, old, new) if where(x) else x for x in history]


def _key(key: str, index: int = 0) -> Callable[[RecordedEvent], bool]:
    return lambda event: event.idempotency_key == key and event.group_index == index


def _without(key: str) -> Callable[[History], History]:
    return lambda history: [x for x in history if x.idempotency_key != key]


def _twice(key: str) -> Callable[[History], History]:
    """Put a second deposit like the first one behind it, under a name of its own."""

    def made(history: History) -> History:
        place = next(n for n, x in enumerate(history) if x.idempotency_key == key)
        first, after = history[place], history[place + 1]
        now = (first.recorded_at + after.recorded_at) // 2
        group = first.group_id[:-1] + bytes([first.group_id[-1] ^ 1])
        second = msgspec.structs.replace(first, idempotency_key=key + "-2", group_id=group)
        second = moved(second, now - first.recorded_at)
        return [*history[: place + 1], given(second, b'"m-', b'"n-'), *history[place + 1 :]]

    return made


def _actor(key: str) -> Callable[[History], History]:
    return lambda history: [
        msgspec.structs.replace(x, actor="nobody") if x.idempotency_key == key else x for x in history
    ]


FORGED: Final[dict[str, tuple[str, Callable[[History], History]]]] = {
    "forged deposit": ("the amount of a deposit is another", changed(_key("t5-moved"), b'"25"', b'"9500"')),
    "forged price": ("the price of a trade is another", changed(
        _key("t6-filled", 1), b'"price":"96"', b'"price":"91"')),
    "forged quantity": ("a trade is of another quantity", changed(_key("t6-filled", 1), b'"0.02"', b'"0.01"')),
    "forged owner": ("an account belongs to somebody else", changed(
        lambda x: x.stream == "account/B" and x.stream_version == 1, b'"firm-2"', b'"firm-9"')),
    "forged removal": ("a deposit never happened: the event is left out, and all behind it count one less",
                       _without("t10-moved")),
    "forged addition": ("a deposit happened twice: an event is put in, and all behind it count one more",
                        _twice("t10-moved")),
    "forged actor": ("somebody else did it", _actor("t5-moved")),
}  # fmt: skip


def forged(scene: Scene, change: Callable[[History], History]) -> None:
    """Have a whole other history verified, in a database in which no two rows disagree, with its tree."""
    region = installed(scene.empty(), remade(change(scene.firm.events())), scene.firm.ends())
    scene.look_at(grown(region))


def _forged(name: str, what: str, change: Callable[[History], History]) -> None:
    def do(scene: Scene) -> Expected:
        forged(scene, change)
        return Expected(kind="INCONSISTENT")

    add(
        name, do, what=f"{what}; every event, row, digest, hash and tile follows it", where="every table",
        threats=(6, 7), mode="open", how=_FORGED, also=("full --expect",) if name != "forged actor" else (),
        blind=("full", "chain", "state") if name in ("forged deposit", "forged removal") else (),
    )  # fmt: skip


for _name, (_what, _change) in FORGED.items():
    _forged(_name, _what, _change)


@way("the amount of a deposit is another in a whole other history, and a new region is compared with the other one",
     "every table", (7, 10), "diff", _FORGED)  # fmt: skip
def forged_in_one_region(scene: Scene) -> Expected:
    forged(scene, FORGED["forged deposit"][1])
    with Intruder(scene.region) as intruder:
        (seq,) = intruder.connection.execute(
            "SELECT seq FROM ledger.events WHERE idempotency_key = 't5-moved'"
        ).fetchone() or (0,)
    return Expected(seq=seq)


@way("the amount of a deposit is another in a whole other history, and the engine has its receipts", "every table",
     (7,), "receipts", _FORGED)  # fmt: skip
def forged_against_receipts(scene: Scene) -> Expected:
    forged(scene, FORGED["forged deposit"][1])
    return Expected(kind="RECEIPT_MISMATCH")
