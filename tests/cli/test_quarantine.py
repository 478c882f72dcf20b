"""
Check the quarantine on the command line: what waits is listed, read whole and decided on, by two where need be.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable

import pytest

from ledger import Ledger
from ledger.cli import quarantine
from ledger.domain.events.control import ControlsSet
from ledger.domain.events.corporate_actions import InstrumentRenamed
from ledger.domain.events.executions import FactQuarantined
from ledger.errors import IdempotencyConflict, RuleBroken
from tests.commands import tradeledger
from tests.conftest import Database
from tests.journal.test_ledger import check_whole, fill, order, trade


def test_a_fact_that_fits_no_rule_is_listed_shown_and_resolved_by_two(chain: Database) -> None:
    """The original is shown as it came; without a second person the decision is refused; said again it is the same."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        seq = ledger.append(trade("E", "none"), key="1").seq
        unreadable = ledger.append(
            FactQuarantined(original_type="Fill", original="8=FIX…", rule="unreadable", detail="no JSON"), key="2"
        ).seq
        ledger.append(
            ControlsSet(second_person=("resolution",), reason="policy", proposed_by="ann"), key="3", actor="ann"
        )

    def quarantine(*arguments: object) -> tuple[int, str, str]:
        done = tradeledger("quarantine", *arguments, LEDGER_DSN=chain.dsn("writer"))
        return done.returncode, done.stdout, done.stderr

    code, shown, _ = quarantine("list", "--format", "json")
    told = json.loads(shown)
    assert (code, told["seq"], [(x["seq"], x["rule"]) for x in told["rows"]]) == (
        0, unreadable + 1, [(seq, "unknown_order"), (unreadable, "unreadable")],
    )  # fmt: skip
    code, shown, _ = quarantine("show", seq)
    fact = json.loads(shown)
    assert (code, fact["rule"], fact["original"]["exec_id"], fact["status"]) == (0, "unknown_order", "E", "open")
    assert fact["at_seq"] == told["seq"]
    row, _ = csv.DictReader(quarantine("list", "--format", "csv")[1].splitlines())
    assert [row[name] for name in ("at_seq", "seq", "original_type", "rule", "status")] == [
        str(told["seq"]), str(seq), "TradeExecuted", "unknown_order", "open",
    ]  # fmt: skip
    lines = [json.loads(line) for line in quarantine("list", "--format", "jsonl")[1].splitlines()]
    assert lines == [{"at_seq": told["seq"]} | one for one in told["rows"]]
    assert quarantine("list")[1] == tradeledger("show", "quarantine", "--dsn", chain.dsn("reader")).stdout
    assert json.loads(quarantine("show", unreadable)[1])["original"] == "8=FIX…"
    decision = ("resolve", seq, "--as", "discarded", "--proposed-by", "ann", "--source", "engine")
    code, _, words = quarantine(*decision)
    assert (code, "second person" in words) == (8, True)
    assert quarantine(*decision, "--approved-by", "ann")[0] == 8
    code, first, _ = quarantine(*decision, "--approved-by", "bob")
    assert (code, f"seq {seq} is discarded" in first) == (0, True)
    assert quarantine(*decision, "--approved-by", "bob") == (0, first, "")
    code, _, words = quarantine("resolve", seq, "--as", "duplicate", "--proposed-by", "ann", "--approved-by", "bob",
                                "--source", "engine")  # fmt: skip
    assert (code, f"the fact of seq {seq} is discarded, as ann and bob decided" in words) == (7, True)
    code, shown, _ = quarantine("list")
    assert (code, str(seq) in shown, str(unreadable) in shown) == (0, False, True)
    code, shown, _ = quarantine("list", "--all", "--format", "json")
    assert json.loads(shown)["rows"][0]["approved_by"] == "bob"
    assert quarantine("list")[1].endswith(f"\ntrue at seq {json.loads(shown)['seq']}\n")
    assert check_whole(chain) > unreadable


def test_what_is_not_quarantined_or_no_decision_is_refused_in_words(chain: Database) -> None:
    """A seq that is none, a word that is none and a source that is not allowed are told apart by status and words."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
    for arguments, code, words in (
        (("show", 1), 8, "no quarantined fact"),
        (("list", "--format", "xml"), 2, "expected table, json, jsonl, csv"),
        (("resolve", 1, "--as", "eaten", "--proposed-by", "ann"), 8, "accepted, duplicate, discarded"),
        (("resolve", 1, "--as", "discarded", "--proposed-by", "ann"), 8, "not as 'operator'"),
        (("resolve", 1, "--as", "discarded", "--proposed-by", "ann", "--source", "engine"), 8, "not_quarantined"),
    ):
        done = tradeledger("quarantine", *arguments, LEDGER_DSN=chain.dsn("writer"))
        assert words in done.stderr, done.stderr
        assert done.returncode == code, done.stderr


def test_a_fact_is_accepted_as_it_came_once_it_fits(chain: Database) -> None:
    """Refused with the rule while it does not fit or a second person is missing; then recorded again and resolved."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        first = ledger.append(trade("E", "O"), key="1", occurred_at=1_723_161_254_000_000_000).seq
        raw = FactQuarantined(original_type="Fill", original="8=FIX…", rule="unreadable", detail="no JSON")
        unreadable = ledger.append(raw, key="2").seq
        ledger.append(
            ControlsSet(second_person=("resolution",), reason="policy", proposed_by="ann"), key="3", actor="ann"
        )
        before = ledger.head().seq

    def accept(seq: int, *more: str) -> tuple[int, str]:
        done = tradeledger("quarantine", "resolve", seq, "--as", "accepted", "--proposed-by", "ann", "--source",
                           "engine", *more, LEDGER_DSN=chain.dsn("writer"))  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    by_two = ("--approved-by", "bob")
    for seq, more, words in (
        (first, by_two, "still fits no rule (unknown_order)"), (first, (), "second person"),
        (unreadable, by_two, "give --accepted-seq"), (before, by_two, "not_quarantined"),
    ):  # fmt: skip
        code, said = accept(seq, *more)
        assert (code, words in said) == (8, True), said
    with Ledger.open(chain.dsn("writer")) as ledger:
        assert ledger.head().seq == before
        ledger.append(order("O"), key="4")
    code, said = accept(first, *by_two)
    assert (code, f"seq {first} is accepted, recorded at seq {before + 3}" in said) == (0, True), said
    assert accept(first, *by_two) == (code, said)
    with Ledger.open(chain.dsn("writer")) as ledger:
        again = ledger.events_at([first, before + 2])
        assert again[before + 2].event_type == "TradeExecuted"
        assert again[before + 2].occurred_at == again[first].occurred_at
        assert [x.qty for x in ledger.positions("A").value] == [10**16]
        check_whole(chain, ledger)


def test_a_fact_that_somebody_else_recorded_is_accepted_as_often_as_it_is_said(chain: Database) -> None:
    """Its engine told it again, under a key of its own; and what was decided otherwise is not accepted afterwards."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        waiting = [ledger.append(trade(name, "O"), key=name).seq for name in ("E", "F")]
        ledger.append(order("O"), key="1")
        told_again = ledger.append(trade("E", "O"), key="2")
        assert not told_again.quarantined

    def resolve(seq: int, resolution: str, proposed_by: str = "ann") -> tuple[int, str]:
        done = tradeledger("quarantine", "resolve", seq, "--as", resolution, "--proposed-by", proposed_by, "--source",
                           "engine", LEDGER_DSN=chain.dsn("writer"))  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    code, said = resolve(waiting[0], "accepted")
    assert (code, f"seq {waiting[0]} is accepted, recorded at seq {told_again.seq + 1}" in said) == (0, True), said
    assert resolve(waiting[0], "accepted") == (code, said)
    assert resolve(waiting[1], "discarded")[0] == 0
    for seq, proposed_by, status in ((waiting[0], "bob", "accepted"), (waiting[1], "ann", "discarded")):
        code, said = resolve(seq, "accepted", proposed_by)
        assert (code, f"the fact of seq {seq} is {status}, as ann decided" in said) == (7, True), said


def test_what_was_announced_is_accepted_on_its_day_as_of_that_day(chain: Database) -> None:
    """A new name that was told the day before is recorded again as what occurs now, with the same words."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        renamed = InstrumentRenamed(ca_id="R", old="BTCUSDT", new="XBTUSDT", effective="2024-08-09")
        receipt = ledger.append(renamed, key="1", occurred_at=1_723_161_254_000_000_000)
        assert receipt.quarantined[0].rule == "ex_date_to_come"
    done = tradeledger("quarantine", "resolve", receipt.seq, "--as", "accepted", "--proposed-by", "ann", "--source",
                       "engine", LEDGER_DSN=chain.dsn("writer"))  # fmt: skip
    assert done.returncode == 0, done.stderr
    with Ledger.open(chain.dsn("writer")) as ledger:
        made = ledger.events_at([receipt.seq, receipt.seq + 1])
        assert made[receipt.seq + 1].event_type == "InstrumentRenamed"
        assert made[receipt.seq].recorded_at < made[receipt.seq + 1].occurred_at
        check_whole(chain, ledger)


class Desk:
    """A fact that waits and would fit by now, and the people who decide on it, each with a ledger of their own."""

    def __init__(self, chain: Database) -> None:
        self.dsn = chain.dsn("writer")
        with Ledger.open(self.dsn) as ledger:
            fill(ledger)
            self.seq = ledger.append(trade("E", "O"), key="E").seq
            ledger.append(order("O"), key="O")

    def resolve(self, resolution: str, who: str) -> None:
        quarantine.resolve(self.seq, resolution, who, None, None, self.dsn, None, "engine")

    def quarantine_another(self) -> None:
        with Ledger.open(self.dsn) as ledger:
            ledger.append(trade("F", "none"), key="F")

    def events_after_the_order(self) -> list[str]:
        with Ledger.open(self.dsn) as ledger:
            return [x.event_type for x in ledger.events(self.seq + 1)]


def once_after(monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[], None]) -> None:
    """Have *act* done once, when the function *name* of the command has answered."""
    before = getattr(quarantine, name)

    def late(*arguments: object) -> object:
        answer = before(*arguments)
        monkeypatch.setattr(quarantine, name, before)
        act()
        return answer

    monkeypatch.setattr(quarantine, name, late)


def test_a_fact_that_is_discarded_meanwhile_is_not_recorded(chain: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who accepts it has seen that it fits; by the time it would be recorded somebody else has decided."""
    desk = Desk(chain)
    once_after(monkeypatch, "_fitting", lambda: desk.resolve("discarded", "bob"))
    with pytest.raises(IdempotencyConflict) as refused:
        desk.resolve("accepted", "ann")
    assert f"the fact of seq {desk.seq} is discarded, as bob decided; a decision is made once" in str(refused.value)
    assert desk.events_after_the_order() == ["QuarantineResolved"]
    check_whole(chain)


def test_a_fact_is_accepted_though_others_come_to_wait_meanwhile(
    chain: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was seen of it is seen once more."""
    desk = Desk(chain)
    once_after(monkeypatch, "_fitting", desk.quarantine_another)
    desk.resolve("accepted", "ann")
    assert desk.events_after_the_order() == ["FactQuarantined", "TradeExecuted", "QuarantineResolved"]
    check_whole(chain)


def test_a_fact_that_is_being_accepted_is_not_discarded(chain: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is recorded by then, so that nobody may say it is not; and it is accepted."""
    desk = Desk(chain)
    refusals = []

    def discard() -> None:
        with pytest.raises(RuleBroken) as refused:
            desk.resolve("discarded", "bob")
        refusals.append(str(refused.value))

    once_after(monkeypatch, "_recorded", discard)
    desk.resolve("accepted", "ann")
    assert f"is recorded since, as it came, at seq {desk.seq + 2}: resolve it as accepted" in refusals[0]
    assert desk.events_after_the_order() == ["TradeExecuted", "QuarantineResolved"]


def test_who_recorded_what_is_discarded_at_the_same_moment_is_told_so(
    chain: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other had seen that it was not recorded; the conflict says where it is, now and when it is asked again."""
    desk = Desk(chain)

    def discard() -> None:
        with monkeypatch.context() as seen:
            seen.setattr(quarantine, "_check_not_recorded", lambda ledger, seq: None)
            desk.resolve("discarded", "bob")

    once_after(monkeypatch, "_recorded", discard)
    for _ in range(2):
        with pytest.raises(IdempotencyConflict) as refused:
            desk.resolve("accepted", "ann")
        assert (
            f"is discarded, as bob decided; what it says is recorded all the same, at seq {desk.seq + 2}"
            in str(refused.value)
        )  # fmt: skip
    desk.resolve("discarded", "bob")


def test_a_wrong_fact_is_discarded_though_the_right_one_has_its_ids(chain: Database) -> None:
    """What is recorded says something else, so that the one that waits is in no books."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        fill(ledger)
        seq = ledger.append(trade("E", "O", "5000"), key="1").seq
        ledger.append(order("O"), key="2")
        assert not ledger.append(trade("E", "O"), key="3").quarantined
    quarantine.resolve(seq, "discarded", "ann", None, None, chain.dsn("writer"), None, "engine")
