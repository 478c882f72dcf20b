"""
Edit one figure of each read model, in either region, and delete, invent and exchange rows.
"""

from __future__ import annotations

from typing import Final

from ledger.domain.rows import TABLES
from tests.tamper.editing import change
from tests.tamper.scene import Scene
from tests.tamper.way import Expected, add, way
from tests.verifier.intruder import columns, keys_of, where

FIGURES: Final = {
    "assets": "scale", "instruments": "tick", "calendars": "holidays", "accounts": "owner",
    "account_limits": "max_position", "orders": "price", "client_order_ids": "order_id", "executions": "price",
    "balances": "settled", "positions": "cost", "lots": "value", "lot_queues": "base_realised",
    "corporate_actions": "content", "entitlements": "gross", "marks": "price", "closed_periods": "trial_balance",
    "holds": "remaining", "movements": "postings", "quarantine": "rule", "breaks": "external_value",
    "settlement_fails": "amount", "allocations": "rounding", "controls": "second_person", "streams": "version",
    "chain_keys": "public_key", "incidents": "severity", "divergent_tails": "bundle_hash",
    "divergent_events": "disposition", "schemas": "schema_hash",
}  # fmt: skip
"""Of each read model the column that somebody would change."""
HISTORIES: Final = {
    "balance_history": ("account", "asset", "seq"),
    "position_history": ("account", "instrument", "seq"),
}
_HOW: Final = "superuser: triggers off, UPDATE of one row, triggers on again"


def _figure(table: str, column: str, in_replica: bool) -> None:
    def do(scene: Scene) -> Expected:
        region = scene.look_at(scene.copy(scene.firm.b)) if in_replica else scene.region
        intruder = scene.intruder(region)
        key = keys_of(intruder, table, TABLES[table].key)[-1]
        change(intruder, table, column, where(TABLES[table].key, key))
        return Expected(table=table, key=key, column=column)

    place = "region B" if in_replica else "region A"
    add(
        f"read model {table}", do, what=f"the {column} of one row is changed a little, in {place}",
        where=f"{table}.{column}", threats=(6, 10) if in_replica else (6,), mode="full", how=_HOW,
        blind=("chain", "open") if table == "balances" else (),
    )  # fmt: skip


for _number, (_table, _column) in enumerate(FIGURES.items()):
    # Every third one where the replica's operator is; both regions hold all of them.
    _figure(_table, _column, in_replica=_number % 3 == 2)


def _history(table: str, column: str) -> None:
    def do(scene: Scene) -> Expected:
        intruder, key = scene.intruder(), HISTORIES[table]
        row = keys_of(intruder, table, key)[-1]
        change(intruder, table, column, where(key, row))
        return Expected(table=table, column=column)

    add(f"kept history {table}", do, what="a figure of what is kept for reads of the past is changed",
        where=f"{table}.{column}", threats=(6,), mode="full", how=_HOW)  # fmt: skip


_history("balance_history", "settled")
_history("position_history", "cost")


@way("an account's balance is deleted", "balances", (6, 18), "full", "superuser: triggers off, DELETE of one row")
def a_balance_deleted(scene: Scene) -> Expected:
    scene.intruder().edit("balances", "DELETE FROM ledger.balances WHERE account = 'A' AND asset = 'USDT'")
    return Expected(table="balances", key=("A", "USDT"))


@way("an execution is invented", "executions", (6,), "full", "superuser: triggers off, INSERT of a copy")
def an_execution_invented(scene: Scene) -> Expected:
    names = ", ".join(f'"{name}"' for name in columns(scene.firm.a, "executions"))
    chosen = names.replace('"exec_id"', "'invented'", 1)
    scene.intruder().edit(
        "executions", f"INSERT INTO ledger.executions ({names}) SELECT {chosen} FROM ledger.executions "
        "WHERE exec_id = 'x-t0'",
    )  # fmt: skip
    return Expected(table="executions", key=("V", "2024-08-08", "invented"))


@way("two accounts' balances are exchanged", "balances", (6,), "full", "superuser: triggers off, UPDATE of two rows")
def two_balances_exchanged(scene: Scene) -> Expected:
    intruder = scene.intruder()
    intruder.unguard("balances")
    intruder.edit(
        "balances", "UPDATE ledger.balances a SET settled = b.settled, unsettled = b.unsettled FROM ledger.balances b "
        "WHERE a.asset = 'USDT' AND b.asset = 'USDT' "
        "AND (a.account, b.account) IN (('A', '~suspense'), ('~suspense', 'A'))",
    )  # fmt: skip
    return Expected(table="balances", key=("A", "USDT"), column="settled")


@way("a whole read model is emptied", "positions", (6,), "full", "superuser: TRUNCATE")
def a_read_model_emptied(scene: Scene) -> Expected:
    scene.intruder().edit("positions", "TRUNCATE ledger.positions")
    return Expected(kind="TRUNCATED", table="positions")


@way("a balance is raised in both regions alike", "balances.settled", (6, 10), "full",
     "superuser of both regions: the same UPDATE", blind=("diff", "incremental"))  # fmt: skip
def a_balance_raised_in_both_regions(scene: Scene) -> Expected:
    other = scene.copy(scene.firm.b)
    scene.words["other"] = other.dsn("auditor")
    for region in (scene.region, other):
        scene.intruder(region).edit(
            "balances", "UPDATE ledger.balances SET settled = settled + 0.25 WHERE account = 'B' AND asset = 'BTC'"
        )
    return Expected(table="balances", key=("B", "BTC"), column="settled")


@way("a balance that new events have touched is raised", "balances.settled", (6,), "incremental", _HOW, also=("full",))
def a_touched_balance_raised(scene: Scene) -> Expected:
    scene.intruder().edit(
        "balances", "UPDATE ledger.balances SET settled = settled + 1000000 WHERE account = 'A' AND asset = 'USDT'"
    )
    return Expected(table="balances", key=("A", "USDT"), column="settled")


@way("an account is invented which no index of its table leads to", "accounts", (6,), "full",
     "superuser: triggers off; the table is said to have no index, INSERT of a copy, and said to have them again",
     also=("full --state",), blind=("state", "incremental", "chain", "open"))  # fmt: skip
def an_account_that_no_index_has(scene: Scene) -> Expected:
    chosen = ", ".join(f'"{name}"' for name in columns(scene.firm.a, "accounts")).replace('"account"', "'invented'", 1)
    scene.intruder().hide("accounts", f"SELECT {chosen} FROM ledger.accounts WHERE account = 'A'")
    return Expected(kind="PROJECTION_MISMATCH", table="accounts", key=("invented",))
