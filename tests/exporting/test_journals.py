"""
Let beancount and hledger add up what the ledger recorded: they accept it, and refuse it when it is off by 10^-18.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from ledger import Ledger
from ledger.cli.app import app
from ledger.domain import amounts
from ledger.domain.events.cash import CashMoved, JournalPosted, Posting
from ledger.domain.events.reference import AccountOpened, AssetDefined
from ledger.exporting import journals
from ledger.generation.requests import generate
from ledger.importing import run
from ledger.importing.definitions import instruments_of
from ledger.queries import Books, Seq
from tests.conftest import Database
from tests.exporting.programs import FORMS, refused
from tests.generation.test_generation import ENOUGH, KEY, firm
from tests.importing.test_translation import EVENTS
from tests.verifier.intruder import Intruder

INSTRUMENTS = EVENTS.with_name("btcusdt-20240808.expected.json")
DAY = "2024-08-08"
HUGE = "100000000000000000000000000000.000000000000000001"
_BALANCES = {
    "beancount": re.compile(r"^.{10} balance (\S+)  (\S+) ~ 0 (\S+)$", re.MULTILINE),
    "hledger": re.compile(r'^    (\S+)  0 "\S+" = (\S+) "(\S+)"$', re.MULTILINE),
}
_POSTINGS = {
    "beancount": re.compile(r"^  (\S+:\w+)  (\S+) (\S+)$", re.MULTILINE),
    "hledger": re.compile(r'^    (\S+:\w+)  (\S+) "(\S+)"$', re.MULTILINE),
}

__all__ = ["firm"]


def written(database: Database, form: str, path: Path, at: Seq | None = None) -> str:
    with Books(database.dsn("reader")) as books:
        text = "".join(f"{line}\n" for line in journals.journal(books, journals.FORMS[form], at))
    path.write_text(text)
    return text


def spoiled(text: str, pattern: re.Pattern[str], random: Random, count: int) -> Iterator[tuple[str, str]]:
    """Yield the account and the journal, each with one figure more by 10^-18."""
    for match in random.sample(list(pattern.finditer(text)), count):
        wrong = amounts.render(amounts.parse(match[2]) + random.choice((-1, 1)))
        yield match[1], text[: match.start(2)] + wrong + text[match.end(2) :]


def check(database: Database, form: str, folder: Path, count: int = 3) -> None:
    """Assert that the program accepts the export, and refuses it with one assertion or one posting off by 10^-18."""
    seed = int(os.environ.get("LEDGER_TEST_SEED", Random().randrange(2**32)))
    print(f"LEDGER_TEST_SEED={seed}")
    random, right = Random(seed), folder / f"right.{form}"
    text = written(database, form, right)
    wrong = []
    for pattern in (_BALANCES[form], _POSTINGS[form]):
        for account, changed in spoiled(text, pattern, random, count):
            wrong.append((account, folder / f"wrong-{len(wrong)}.{form}"))
            wrong[-1][1].write_text(changed)
    found = refused(form, right, *(path for _, path in wrong))
    assert found[0] == []
    for (account, _), said in zip(wrong, found[1:], strict=True):
        assert any(account in one or "balance" in one for one in said), (account, said)


@pytest.mark.parametrize("form", FORMS)
def test_a_history_of_every_event_type_adds_up(firm: Database, form: str, tmp_path: Path) -> None:
    """Conversions, splits, dividends, busts and allocations balance in the program's own arithmetic, and did before."""
    with Ledger.open(firm.dsn("writer")) as ledger:
        ledger.append_many(generate(ENOUGH, Random(5), "g", key=KEY))
    check(firm, form, tmp_path)
    text = written(firm, form, tmp_path / "past", Seq(ENOUGH // 2))
    assert refused(form, tmp_path / "past") == [[]]
    with Books(firm.dsn("reader")) as books:
        then = books.balances(at=Seq(ENOUGH // 2)).value
        assert f"; head {ENOUGH // 2} {books.link(ENOUGH // 2).hash.hex()}\n" in text
    assert len(_BALANCES[form].findall(text)) == 3 * len(then)


@pytest.mark.parametrize("form", FORMS)
def test_odd_names_and_amounts_of_every_digit_add_up(chain: Database, form: str, tmp_path: Path) -> None:
    """Names that no program would take, days out of order, 10^29 with 18 decimals, and a bucket that was emptied."""
    odd = ("usd", "TRUE", "B", 'x y"z;', "X'41", "N" * 128)
    account = 'a;b "c"\\ | *'
    with Ledger.open(chain.dsn("writer")) as ledger:
        for asset in odd:
            ledger.append(AssetDefined(asset=asset, kind="crypto", scale=18, name=asset), key=f"asset-{asset}")
        for name in (account, "B"):
            ledger.append(AccountOpened(account=name, owner="o", kind="house", base_asset="usd"), key=f"open-{name}")
        for number, asset in enumerate(odd):
            ledger.append(
                CashMoved(movement_id=asset, account=account, asset=asset, amount=HUGE, kind="deposit",
                          value_date=f"20{24 - number:02}-01-01"), key=f"in-{asset}",
            )  # fmt: skip
        moved = JournalPosted(
            journal_id="J", memo="m",
            postings=[
                Posting(account=name, asset="usd", bucket="settled", amount=f"{sign}{HUGE}")
                for name, sign in ((account, "-"), ("B", ""))
            ],
        )  # fmt: skip
        ledger.append(moved, key="J")
    check(chain, form, tmp_path, count=4)
    text = (tmp_path / f"right.{form}").read_text()
    assert f"; account X-a-3Bb-20-22c-22-5C-20-7C-20-2A = {account}\n" in text
    assert "; asset X'X'2741 = X'41; within an account X-X-2741\n" in text


def test_the_recorded_session_adds_up(chain: Database, tmp_path: Path) -> None:
    """The real engine's day, fill by fill and fee by fee, in both programs."""
    definitions = instruments_of(INSTRUMENTS.read_bytes())
    with Ledger.open(chain.dsn("writer"), source=run.SOURCE) as ledger, ledger.books() as books:
        report = run.import_session(ledger, books, EVENTS, definitions)
    for form in FORMS:
        text = written(chain, form, tmp_path / form)
        total = report.balances["BINANCE-001"]["USDT"]["available"]
        assert ("Assets:X-BINANCE-2D001:USDT:Settled", total, "USDT") in _BALANCES[form].findall(text)
        assert refused(form, tmp_path / form) == [[]]


@pytest.mark.parametrize("form", FORMS)
def test_a_balance_that_was_edited_behind_the_ledgers_back_is_refused(
    chain: Database, form: str, tmp_path: Path
) -> None:
    """The program adds up the events, so a read model that says something else has nobody on its side."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        ledger.append_many(generate(200, Random(1), "g"))
    with Intruder(chain) as intruder:
        intruder.edit("balances", "UPDATE ledger.balances SET settled = settled + 1e-18 "
                      "WHERE account = 'client-1' AND asset = 'ETH'")  # fmt: skip
    written(chain, form, tmp_path / form)
    (said,) = refused(form, tmp_path / form)
    assert "Assets:X-client-2D1:ETH:Settled" in "".join(said)


@pytest.mark.parametrize("form", sorted(journals.FORMS))
def test_the_command_writes_a_whole_file_or_none(chain: Database, form: str, tmp_path: Path) -> None:
    """What stdout has is what the file has; a moment to come is refused, and leaves no part of a file."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        ledger.append_many(generate(100, Random(1), "g"))
    path = tmp_path / "journal"
    arguments = ["export", form, "--dsn", chain.dsn("reader")]
    assert CliRunner().invoke(app, [*arguments, "--output", str(path)]).exit_code == 0
    assert path.read_text() == CliRunner().invoke(app, arguments).stdout == written(chain, form, tmp_path / "again")
    done = CliRunner().invoke(app, [*arguments, "--at-seq", "900", "--output", str(tmp_path / "none")])
    assert "900" in str(done.exception)
    assert sorted(x.name for x in tmp_path.iterdir()) == ["again", "journal"]


@pytest.mark.parametrize("form", sorted(journals.FORMS))
def test_a_link_and_a_pipe_stay_what_they_are(chain: Database, form: str, tmp_path: Path) -> None:
    """The file behind a link is written, and a pipe takes the journal; a device would not be one for long otherwise."""
    file, link, pipe = (tmp_path / name for name in ("file", "link", "pipe"))
    link.symlink_to(file)
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR)
    try:
        for place in (link, pipe):
            done = CliRunner().invoke(app, ["export", form, "--dsn", chain.dsn("reader"), "--output", str(place)])
            assert done.exit_code == 0
        assert (link.is_symlink(), pipe.is_fifo()) == (True, True)
        assert os.read(reader, 65_536) == file.read_bytes()
    finally:
        os.close(reader)


@pytest.mark.parametrize("form", FORMS)
def test_the_closing_stands_after_the_last_day_also_when_that_is_the_first_of_1970(
    chain: Database, form: str, tmp_path: Path
) -> None:
    """A deposit of 1970-01-01 and one of the day before it, which came later: the balances are those of the 2nd."""
    with Ledger.open(chain.dsn("writer")) as ledger:
        ledger.append(AssetDefined(asset="USD", kind="currency", scale=2, name="USD"), key="asset")
        ledger.append(AccountOpened(account="A", owner="o", kind="cash", base_asset="USD"), key="account")
        for number, day in enumerate(("1970-01-01", "1969-12-31")):
            moved = CashMoved(movement_id=day, account="A", asset="USD", amount="5", kind="deposit", value_date=day)
            ledger.append(moved, key=f"cash-{number}")
    text = written(chain, form, tmp_path / "old")
    assert "1970-01-02 " in text
    assert refused(form, tmp_path / "old") == [[]]


@pytest.mark.parametrize("form", FORMS)
def test_a_chain_on_which_nothing_was_posted_is_a_journal_too(chain: Database, form: str, tmp_path: Path) -> None:
    """A new chain has nothing to add up, and the program says that nothing is wrong."""
    written(chain, form, tmp_path / form)
    assert refused(form, tmp_path / form) == [[]]
