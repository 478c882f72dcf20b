"""
Run an import: translate, append, and reconcile every statement of the engine against what was recorded.

The running totals are summed from the postings of the chain, in the order of its seqs and up to the request that came
before a statement, so a second run, a resumed one, or one of a file that continues another compares as the first did.
A difference is a break: it is recorded when it appears, changes or ends, and listed; it is a finding about the books
and no failure of the import.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

import msgspec
from blake3 import blake3

from ledger.domain import amounts, postings, registry
from ledger.domain.events.control import Difference, ReconciliationRecorded
from ledger.errors import Rejected
from ledger.importing import lines
from ledger.importing.fields import as_given
from ledger.importing.nautilus import Translator
from ledger.importing.totals import SEPARATOR, Standing, Totals, standing_after
from ledger.importing.translation import ACTOR, Known, Statement, Translation
from ledger.journal.answers import Quarantined, Receipt
from ledger.journal.group import Group
from ledger.journal.ledger import Ledger
from ledger.queries import Books

SOURCE: Final = "nautilus"
BATCH_LINES: Final = 4_000
"""Source events whose requests are on their way together; the next batch is translated while one commits."""


class Report(msgspec.Struct):
    """
    What an import read, appended and left out, and how the books compare with the engine's.
    """

    read: Counter[str]
    appended: Counter[str]
    not_appended: Counter[str]
    balances: dict[str, dict[str, dict[str, str]]]
    positions: dict[str, dict[str, dict[str, str]]]
    breaks: list[dict[str, str]]
    quarantined: list[dict[str, Any]]
    head: dict[str, Any]
    schema_version: int = 1


_Sent = list[tuple[int, Translation, list[Future[Receipt]]]]


class _Run:
    def __init__(self, ledger: Ledger, path: Path, is_currency: Callable[[str], bool]) -> None:
        self.ledger = ledger
        self.path = path
        self._is_currency = is_currency
        self.report = Report(Counter(), Counter(), Counter(), {}, {}, [], [], {})
        self.totals = Totals(ledger, SOURCE)
        self.statements: dict[str, Statement] = {}
        self.quarantined: dict[int, tuple[int, Quarantined]] = {}
        self._started = False

    def send(self, batch: list[tuple[int, Translation]]) -> _Sent:
        """Hand in every request of the batch."""
        return [(number, t, [self._submit(group) for group in t.groups]) for number, t in batch]

    def _submit(self, group: Group) -> Future[Receipt]:
        return self.ledger.submit(
            group.events, key=group.key, actor=group.actor, occurred_at=group.occurred_at, timeout=None
        )

    def settle(self, sent: _Sent) -> None:
        """Wait for the batch, and follow what was recorded in the order in which it was."""
        receipts = [[self._receipt(number, future) for future in futures] for number, _, futures in sent]
        seqs = [receipt.seq for found in receipts for receipt in found]
        if sent and not self._started:
            self._started = True
            self.totals.start_at(seqs[0] - 1 if seqs else self.ledger.head().seq)
        self.totals.read_to(max(seqs, default=0))
        for (number, translation, _), found in zip(sent, receipts, strict=True):
            for receipt in found:
                if not receipt.replayed:
                    self.report.appended[self.totals.kinds[receipt.seq]] += 1
                for one in receipt.quarantined:
                    self.quarantined.setdefault(one.seq, (number, one))
                self.totals.advance(receipt.seq)
            self._classify(translation, found)
            if translation.statement is not None:
                self._compare(number, translation.statement)

    def _classify(self, translation: Translation, found: list[Receipt]) -> None:
        """Count the classes of what this line, and an order that was held back till it, did not append."""
        if translation.placed is not None and found[translation.placed].replayed:
            self.report.not_appended["duplicate"] += 1
        if translation.not_appended is not None:
            self.report.not_appended[translation.not_appended] += 1
        elif found and found[-1].replayed and translation.placed != len(found) - 1:
            self.report.not_appended["duplicate"] += 1

    def _receipt(self, number: int, future: Future[Receipt]) -> Receipt:
        try:
            return future.result()
        except Rejected as error:
            raise type(error)(
                f"{self.path}:{number}: the ledger refused what this line says: {error}; the lines before it, and "
                "those on their way with it, are recorded: mend it, and a second run goes on from there"
            ) from error

    def _compare(self, number: int, statement: Statement) -> None:
        account, stated = statement.account, statement.amounts
        self.statements[account] = statement
        # What a statement leaves out, the engine says it has none of.
        left_out = {asset for asset in self.totals.assets[account] if asset not in stated and self._is_currency(asset)}
        compared = {
            f"{account}:{asset}": (self.totals.sums[account, asset], stated[asset][0] if asset in stated else 0)
            for asset in (*stated, *sorted(left_out))
        }
        self._note(number, statement, compared)

    def _note(self, number: int, statement: Statement, compared: dict[str, tuple[int, int]]) -> None:
        standing = standing_after(self.totals.standing, compared)
        if standing != self.totals.standing:
            self._record(number, statement, compared, standing)
            self.totals.standing = standing

    def _record(
        self, number: int, statement: Statement, compared: dict[str, tuple[int, int]], standing: Standing
    ) -> None:
        matched = sum(ours == theirs for ours, theirs in compared.values())
        recorded = ReconciliationRecorded(
            origin=SOURCE, statement_hash=_hash(statement), as_of=statement.as_of, matched=matched,
            breaks=tuple(standing[key] for key in sorted(standing)),
        )  # fmt: skip
        # A statement that another file repeats late is compared anew: what it then comes to has a key of its own.
        digest = blake3(registry.encode_given(recorded)).hexdigest()[:16]
        group = Group((recorded,), f"{statement.event_id}{SEPARATOR}:{digest}", ACTOR, statement.as_of)
        if not self._receipt(number, self._submit(group)).replayed:
            self.report.appended["ReconciliationRecorded"] += 1

    def compare_end(self, books: Books, number: int, is_ours: Callable[[str], bool]) -> None:
        """
        Compare what is held at the end; in between the engine delivers in another order than it acts.

        What then stands is held against the breaks that are open in the books: those of an earlier run may have ended
        since. Of accounts that moved on after this file, and of others, the books know better.
        """
        moved = self.totals.moved_since(is_ours)
        if moved is None:
            return
        ends = {account: statement for account, statement in self.statements.items() if account not in moved}
        if not ends:
            return
        held = {(balance.account, balance.asset): balance.held for balance in books.balances().value}
        compared = {
            f"{account}:{asset}:held": (ours, 0)
            for (account, asset), ours in held.items()
            if account in ends and self._is_currency(asset)
        } | {
            f"{account}:{asset}:held": (held.get((account, asset), 0), theirs)
            for account, statement in ends.items()
            for asset, (_, theirs) in statement.amounts.items()
        }
        found = [row for row in books.breaks().value if row.source == SOURCE]
        there = {
            row.key: Difference(key=row.key, ledger=row.ledger_value, external=row.external_value) for row in found
        }
        ours = standing_after(self.totals.standing, compared)
        standing = {key: one for key, one in there.items() if key.partition(":")[0] not in ends}
        standing |= {key: one for key, one in ours.items() if key.partition(":")[0] in ends}
        if standing != there:
            last = max(ends.values(), key=lambda statement: statement.as_of)
            self._record(number, last, compared, standing)


def _hash(statement: Statement) -> str:
    return blake3(msgspec.json.encode(msgspec.structs.astuple(statement), order="sorted")).hexdigest()


def known_to(ledger: Ledger, books: Books) -> Known:
    """
    Return what a ledger knows already of what an import would define.
    """
    return Known(
        {asset.asset: asset.kind for asset in books.table("assets").value},
        {instrument.instrument for instrument in books.table("instruments").value},
        {account.account for account in books.table("accounts").value},
        lambda key: ledger.lookup(key) is not None,
        lambda order_id: bool(books.table("orders", order_id=order_id).value),
    )


def _translated(path: Path, translator: Translator) -> Iterator[tuple[int, str, Translation]]:
    """Yield (line, type of event, translation); where line or file are bad, the error says what stays recorded."""
    taken = 0
    try:
        for number, source in lines.read(path):
            try:
                translation = translator.translate(source)
            except Rejected as error:
                raise type(error)(f"{path}:{number}: {error}") from error
            yield number, str(source["type"]), translation
            taken = number
    except Rejected as error:
        if not taken:
            raise
        raise type(error)(
            f"{error}; the lines before, up to {taken}, are recorded for good: a second run, with a file that is "
            "whole, goes on from there"
        ) from error


def import_session(
    ledger: Ledger,
    books: Books,
    path: Path,
    instruments: Iterable[dict[str, Any]],
    progress: Callable[[int], None] = lambda count: None,
) -> Report:
    """
    Import the engine events in *path*, and return the report; *progress* is told how many lines were settled.

    Raises:
        Rejected: a line is damaged, unknown or refused; what came before it is recorded.
        Unavailable: the ledger cannot append now; run it again.
    """
    translator = Translator(instruments, known_to(ledger, books))
    run = _Run(ledger, path, translator.is_currency)
    sent: _Sent = []
    batch: list[tuple[int, Translation]] = []
    number = 0
    try:
        for number, kind, translation in _translated(path, translator):
            batch.append((number, translation))
            run.report.read[kind] += 1
            if len(batch) == BATCH_LINES:
                following = run.send(batch)
                run.settle(sent)
                progress(len(sent))
                sent, batch = following, []
    finally:
        # What was read before an error is recorded all the same: the next run then goes on from there.
        following = run.send(batch)
        run.settle(sent)
        run.settle(following)
        progress(len(sent) + len(following))
    if unplaced := translator.unplaced():
        run.report.not_appended["unplaced"] += unplaced
    run.compare_end(books, number, translator.has_seen)
    _close(run, books)
    return run.report


def _close(run: _Run, books: Books) -> None:
    report = run.report
    for balance in books.balances().value:
        if not postings.is_system(balance.account):
            shown = {"total": balance.total, "held": balance.held, "available": balance.available}
            report.balances.setdefault(as_given(balance.account), {})[as_given(balance.asset)] = {
                name: amounts.render(amount) for name, amount in shown.items()
            }
    for position in books.positions().value:
        report.positions.setdefault(as_given(position.account), {})[as_given(position.instrument)] = {
            "quantity": amounts.render(position.qty),
            "cost": amounts.render(position.cost),
            "realised": amounts.render(position.realised),
        }
    report.breaks = [
        {
            "key": as_given(x.key), "ledger": x.ledger_value, "external": x.external_value,
            "opened_seq": str(x.opened_seq),
        }
        for x in books.breaks().value
    ]  # fmt: skip
    rows = {row.seq: row for row in books.table("quarantine").value}
    report.quarantined = [
        {
            "line": line, "seq": seq, "type": rows[seq].original_type, "rule": one.rule, "detail": one.detail,
            "status": rows[seq].status,
        }
        for seq, (line, one) in sorted(run.quarantined.items())
    ]  # fmt: skip
    head = books.head()
    report.head = {"seq": head.seq, "hash": head.hash.hex()}
