"""
Draw the settlement ladder: what is due, what has settled and what failed, by day, account and asset.

It is a pure query over executions, fails and settlements. An execution is due on the day it was to settle, or, once
that failed, on the day it is tried again. A correction goes on with what its trade was, unless it is to settle after
the day that failed. A line of an allocation that has not failed itself is due when the last of the block's executions
is, and what was taken back from lines that failed, when the last of those was to be. Amounts are as the account sees
them: positive where it receives.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from ledger.domain import postings
from ledger.domain.rows import Allocation, Execution, Movement, SettlementFail
from ledger.domain.rules.trades import outstanding
from ledger.errors import StateMismatch

Name = tuple[str, str, str]
"""The venue, trade date and id of an execution."""


class _Fail(msgspec.Struct, frozen=True, order=True):
    """A fail; the newest of a trade says when it is tried again, which need not be the one that was told last."""

    failed_on: str
    seq: int
    again: str
    of: Name


_NEVER: Final = _Fail("", 0, "", ("", "", ""))
"""Before any fail."""


class Rung(msgspec.Struct, frozen=True, order=True):
    """
    One day of one account in one asset; amounts in units of 10^-18.
    """

    date: str
    account: str
    asset: str
    due: int
    settled: int
    failed: int


def ladder(
    executions: Iterable[Execution],
    fails: Iterable[SettlementFail],
    movements: Iterable[Movement],
    allocations: Iterable[Allocation],
    scales: Mapping[str, int],
) -> list[Rung]:
    """
    Return the rungs that are not empty, by day, account and asset; the ledger's own accounts are left out.

    Among *executions* are also those that *fails* and *allocations* name, which tell what trade they are versions of.
    *scales* are the decimals of each asset.
    """
    sums: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    executions, fails = list(executions), list(fails)
    for fail in _once_a_day(executions, fails):
        sums[fail.failed_on, fail.account, fail.asset][2] += fail.qty
        sums[fail.failed_on, fail.account, fail.amount_asset][2] += fail.amount
    tries = _Tries(executions, fails, allocations)
    for row in executions:
        if row.live and row.bucket == "unsettled" and row.settled_qty < row.qty:
            day = tries.day(row)
            for asset, amount in _outstanding(row, scales).items():
                sums[day, row.account, asset][0] += amount
    for movement in movements:
        if movement.kind == "settlement":
            for line in postings.from_text(movement.postings):
                if line.bucket == "settled" and not postings.is_system(line.account):
                    sums[movement.effective_on, line.account, line.asset][1] += line.amount
    return sorted(Rung(*place, *found) for place, found in sums.items() if any(found))


def _outstanding(row: Execution, scales: Mapping[str, int]) -> dict[str, int]:
    try:
        return outstanding(row, scales.__getitem__)
    except KeyError as error:
        raise StateMismatch(
            f"found the asset {error.args[0]!r} in executions.fees of {_name(row)}, and no such row of assets; verify "
            "the ledger"
        ) from None


def names_of(allocation: Allocation) -> list[Name]:
    """
    Return the names of the executions that were allocated.
    """
    return [(allocation.venue, allocation.trade_date, exec_id) for exec_id in allocation.exec_ids]


def lines_of(allocation: Allocation, after: int, count: int) -> list[Name]:
    """
    Return the names of the lines that they became: of *count* at most, of those after number *after*.
    """
    numbers = range(after + 1, min(after + count, allocation.lines) + 1)
    return [(allocation.venue, allocation.trade_date, f"{allocation.allocation_id}.{number}") for number in numbers]


def is_line(name: Name, allocation: Allocation) -> bool:
    """
    Return whether *name* is that of a line that they became, however many the row says there are.
    """
    allocated, number = _block_of(name)
    return allocated == _block(allocation) and 0 < number <= allocation.lines


def _block(allocation: Allocation) -> Name:
    return allocation.venue, allocation.trade_date, allocation.allocation_id


def _block_of(name: Name) -> tuple[Name, int]:
    """Return the venue, day and id of the allocation whose line is called so, and the line's number; 0 of no line."""
    venue, trade_date, exec_id = name
    allocation_id, _, number = exec_id.rpartition(".")
    is_number = number.isdecimal() and number == str(int(number))
    return (venue, trade_date, allocation_id), int(number) if is_number else 0


def _name(row: Execution | SettlementFail) -> Name:
    return row.venue, row.trade_date, row.exec_id


def _roots(executions: Iterable[Execution]) -> dict[Name, Name]:
    """Return of each execution the name of the trade that it is a version of."""
    return {_name(row): (row.venue, row.root_trade_date, row.root_exec_id) for row in executions}


def _once_a_day(executions: Sequence[Execution], fails: Iterable[SettlementFail]) -> Iterator[SettlementFail]:
    """
    Yield of the fails of a trade on a day those of one telling: of the newest version that failed, and of these the one
    of most. What was left in the evening is of what was left in the morning.
    """
    roots, made = _roots(executions), {_name(row): row.event_seq for row in executions}
    told: dict[tuple[Name, str], dict[int, list[SettlementFail]]] = defaultdict(lambda: defaultdict(list))
    for fail in fails:
        told[roots.get(_name(fail), _name(fail)), fail.failed_on][fail.event_seq].append(fail)

    def rank(rows: list[SettlementFail]) -> tuple[int, int, int]:
        return made.get(_name(rows[0]), 0), max(abs(row.qty) for row in rows), -rows[0].event_seq

    for tellings in told.values():
        yield from max(tellings.values(), key=rank)


class _Tries:
    """
    When what failed is tried again, of the trades that all versions are of.
    """

    def __init__(
        self, executions: Iterable[Execution], fails: Iterable[SettlementFail], allocations: Iterable[Allocation]
    ) -> None:
        self._roots = _roots(executions)
        self._newest: dict[Name, _Fail] = {}
        for told in fails:
            of = _name(told)
            fail, root = _Fail(told.failed_on, told.event_seq, told.new_intended_date, of), self._roots.get(of, of)
            self._newest[root] = max(self._newest.get(root, _NEVER), fail)
        self._blocks: dict[str | None, list[Name]] = {}
        self._taken_back: dict[Name, list[_Fail]] = defaultdict(list)
        of_lines: dict[Name, list[tuple[int, _Fail]]] = defaultdict(list)
        for name, newest in self._newest.items():
            allocated, number = _block_of(name)
            of_lines[allocated].append((number, newest))
        for allocation in allocations:
            block = self._blocks[allocation.allocation_id] = names_of(allocation)
            if allocation.reversed_by is not None:
                lines = of_lines.get(_block(allocation), ())
                failed = [fail for number, fail in lines if 0 < number <= allocation.lines]
                for name in block:
                    self._taken_back[self._roots.get(name, name)] += failed

    def day(self, row: Execution) -> str:
        """
        Return the day on which *row* is due.
        """
        own = _name(row)
        if row.kind != "allocation" or own in self._newest:
            return self._day(own, row.settle_date)
        block = self._blocks.get(row.allocation_id)
        if not block:
            raise StateMismatch(
                f"found {row.allocation_id!r} in executions.allocation_id of {own}, and no such row of allocations, or "
                "one of no executions; verify the ledger"
            )
        return max(self._day(name, row.settle_date) for name in block)

    def _day(self, name: Name, settle_date: str) -> str:
        root = self._roots.get(name, name)
        newest = self._newest.get(root, _NEVER)
        since = [newest, *(fail for fail in self._taken_back.get(root, ()) if fail > newest)]
        return max((x.again for x in since if x.of == name or x.failed_on >= settle_date), default=settle_date)
