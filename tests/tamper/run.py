"""
Go every way to tamper on a world of its own, write down who noticed, and say where nobody did.

Each way works on copies, so two are gone at once. The report is build/tamper/report.json, the page docs/TAMPER.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import msgspec

from ledger import command, start
from ledger.errors import LedgerError
from ledger.sandbox.kafka import Broker
from ledger.sandbox.postgres import Server
from ledger.storage import upgrade
from tests.tamper import page
from tests.tamper.firm import ROOT, Firm, working
from tests.tamper.modes import MODES
from tests.tamper.scene import Answer, Scene
from tests.tamper.way import Caught, Edit, Expected, Unexpected, Way
from tests.tamper.ways import WAYS

AT_ONCE: Final = 2
SAID_CHARACTERS: Final = 300
"""How much of an answer the report keeps in its own words."""
LATE: Final = ("open --max-age", "liar")
"""What the good world is not asked: it is sealed before, and no verifier was made to lie."""
PAGE: Final = ROOT / "docs" / "TAMPER.md"
WORDS: Final = {"script": {3: "BROKEN: ", 4: "could not verify: "}, "fsck": {3: "", 4: ""}}
"""What programs of another kind say that end with a status."""
CONTROL: Final = Way(
    name="nothing at all",
    what="nothing is done",
    where="nowhere",
    threats=(1,),
    how="by nobody",
    mode=None,
    do=lambda scene: None,
    blind=tuple(mode for mode, made in MODES.items() if made.arguments is not None and mode not in LATE),
)
"""What every check has to call good, so that one which calls nothing good shows."""


class Said(msgspec.Struct):
    """
    What one check answered: its command, how it ended, and its verdict.
    """

    command: str
    status: int
    said: str


class Done(msgspec.Struct):
    """
    One edit that nothing notices: what was done, and what each check answered. `listed` is what the report of the last
    of them says about it among what only the region says of itself.
    """

    what: str
    where: str
    answers: list[Said]
    listed: list[str] = []


class Outcome(msgspec.Struct):
    """
    What came of one way. `wrong` says in words what is not as its declaration promises; empty is as it should be.
    """

    name: str
    what: str
    where: str
    threat: tuple[int, ...]
    how: str
    found: bool = False
    cannot_be_found: bool = False
    kind: str | None = msgspec.field(default=None, name="class")
    seq: int | None = None
    table: str | None = None
    key: tuple[str, ...] | None = None
    column: str | None = None
    seconds: float = 0.0
    mode: str | None = None
    command: str = ""
    latency: str = ""
    said: str = ""
    also: tuple[str, ...] = ()
    blind: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    edits: list[Done] = []
    """Of what cannot be found: each edit of this kind that was done by itself."""
    wrong: str = ""


def gone(firm: Firm, chosen: Way, folder: Path) -> Outcome:
    """Go one way, and return what came of it; a fault of the program is an outcome, too."""
    made = Outcome(chosen.name, chosen.what, chosen.where, chosen.threats, chosen.how)
    try:
        with Scene(firm, folder) as scene:
            _go(scene, chosen, made)
    except Exception as error:
        made.wrong = f"it ended with {type(error).__name__}: {error}\n{traceback.format_exc()}"
    return made


def _go(scene: Scene, chosen: Way, made: Outcome) -> None:
    # Before the scene is broken: a role is seen in every database of a server.
    before = _good(scene, chosen)
    edits = _one_by_one(scene, chosen, before, made)
    began = time.monotonic()
    expected = chosen.do(scene)
    made.cannot_be_found, made.mode = chosen.mode is None, chosen.mode
    if chosen.mode is not None:
        made.command, made.latency = MODES[chosen.mode].command, MODES[chosen.mode].soon
    if isinstance(expected, Caught):
        made.found, made.kind, made.said = True, expected.kind, expected.said
        made.seq, made.column = expected.seq, expected.column
        made.seconds = round(time.monotonic() - began, 2)
    elif chosen.mode is not None and expected is not None:
        began = time.monotonic()
        answer = scene.ask(chosen.mode)
        made.seconds = round(time.monotonic() - began, 2)
        _noticed(answer, expected, made)
    left = [mode for mode in (*chosen.also, *chosen.blind) if mode == "fsck" and scene.firm.fsck is None]
    made.left_out = tuple(left)
    for mode in chosen.also:
        wanted = _wanted(chosen, mode, expected)
        if mode not in left and (answer := scene.ask(mode)).match(wanted) is None:
            made.wrong += f"{mode} should say {wanted}, and ended with {answer.status}: {_short(answer)}\n"
    blind = {mode: scene.ask(mode) for mode in chosen.blind if mode not in left}
    made.wrong += "".join(_unlike_blind(mode, answer) for mode, answer in blind.items())
    if chosen.mode is None:
        whole = Edit("all of these at once" if chosen.edits else chosen.what, chosen.where, chosen.do)
        made.edits = [*edits, _done(whole, blind, before)]
    made.also, made.blind = chosen.also, chosen.blind


def _unlike_blind(mode: str, answer: Answer) -> str:
    """Return, in words, that a check which sees nothing has seen something; empty where it has not."""
    if answer.status == 0:
        return ""
    return f"{mode} should notice nothing, and ended with {answer.status}: {answer.said[:1500]}\n"


def _good(scene: Scene, chosen: Way) -> tuple[str, ...]:
    """Return what the last check lists of the good world, where a way is a kind of edits."""
    if not chosen.edits:
        return ()
    with Scene(scene.firm, scene.folder / "good") as good:
        return good.ask(chosen.blind[-1]).vouched


def _one_by_one(scene: Scene, chosen: Way, before: Sequence[str], made: Outcome) -> list[Done]:
    """Do each edit of a kind on a copy of its own, ask the checks about it, and return what they say."""
    done: list[Done] = []
    for number, edit in enumerate(chosen.edits):
        with Scene(scene.firm, scene.folder / f"edit-{number}") as one:
            edit.do(one)
            answers = {mode: one.ask(mode) for mode in chosen.blind}
        wrong = "".join(_unlike_blind(mode, answer) for mode, answer in answers.items())
        made.wrong += f"{edit.what}: {wrong}" if wrong else ""
        done.append(_done(edit, answers, before))
    return done


def _done(edit: Edit, answers: dict[str, Answer], before: Sequence[str]) -> Done:
    said = [
        Said(MODES[mode].command, answer.status, answer.verdict or answer.said.partition(":")[0].lower())
        for mode, answer in answers.items()
    ]
    last = list(answers.values())[-1].vouched if before else ()
    return Done(edit.what, edit.where, said, [line for line in last if line not in before])


def _wanted(chosen: Way, mode: str, expected: Expected | Caught | None) -> Expected:
    """Return what another check has to say: what the first one does, as far as it has findings to say it by."""
    if mode in chosen.otherwise:
        return chosen.otherwise[mode]
    if not isinstance(expected, Expected):
        raise Unexpected(f"{chosen.name} does not say what {mode} is to find")
    return Expected(status=expected.status, says=WORDS[mode][expected.status]) if mode in WORDS else expected


def _noticed(answer: Answer, expected: Expected, made: Outcome) -> None:
    finding = answer.match(expected)
    if finding is None:
        made.wrong += f"expected {expected}, and {answer.command} ended with {answer.status}: {_short(answer)}\n"
        return
    made.found = True
    made.kind = finding.get("kind") or answer.code or "broken"
    made.seq, made.table, made.column = finding.get("seq"), finding.get("table"), finding.get("column")
    made.key = tuple(finding["key"]) if finding.get("key") else None
    made.said = (
        f"expected {finding['expected']}, found {finding['actual']}"[:300] if finding else answer.said.strip()[-300:]
    )


def _short(answer: Answer) -> str:
    listed = [
        {name: one.get(name) for name in ("kind", "seq", "table", "key", "column")} for one in answer.findings[:5]
    ]
    return f"{len(answer.findings)} findings, such as {listed}" if listed else answer.said[-1500:]


def report(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return the report: one object a way."""
    made: list[dict[str, Any]] = msgspec.to_builtins(outcomes)
    return made


def all_of(firm: Firm, ways: Sequence[Way], at_once: int = AT_ONCE) -> list[Outcome]:
    """Go these ways, so many at once, and tell of each as it ends."""
    done: list[Outcome] = []
    with ThreadPoolExecutor(at_once) as pool:
        folders = (firm.folder / f"way-{number}" for number in range(len(ways)))
        for number, outcome in enumerate(pool.map(lambda way, folder: gone(firm, way, folder), ways, folders), 1):
            mark = "WRONG" if outcome.wrong else "not to be found" if outcome.cannot_be_found else "found"
            print(f"{number:4}/{len(ways)} {mark:15} {outcome.mode or '-':18} {outcome.seconds:6.2f} s  {outcome.name}",
                  file=sys.stderr, flush=True)  # fmt: skip
            if outcome.wrong:
                print("     " + outcome.wrong.strip().replace("\n", "\n     "), file=sys.stderr, flush=True)
            done.append(outcome)
    return done


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def tampered(ways: Sequence[Way]) -> list[Outcome]:
    """Start two servers and a broker, make the good world in them, and go these ways."""
    folder = Path(tempfile.mkdtemp(prefix="tl-tamper-"))
    # The servers run as another user, who has to pass through.
    folder.chmod(0o755)
    _tell("starting two private PostgreSQL servers and a Kafka broker")
    servers: list[Server] = []
    broker: Broker | None = None
    try:
        for region in "ab":
            servers.append(Server.start(folder / f"region-{region}"))
            upgrade.upgrade(servers[-1].dsn("owner"))
        broker = Broker.start(folder / "kafka")
        a, b = servers
        with working(folder / "firm", (a, b), ("ledger", "ledger"), broker, tell=_tell) as firm:
            return all_of(firm, ways)
    finally:
        if broker is not None:
            broker.stop()
        for server in servers:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _chosen(words: Sequence[str]) -> list[Way]:
    return [way for name, way in WAYS.items() if not words or any(word in name for word in words)]


def _run(words: Sequence[str]) -> int:
    ways, began = _chosen(words), time.monotonic()
    control, *outcomes = tampered([CONTROL, *ways])
    build = ROOT / "build" / "tamper"
    build.mkdir(parents=True, exist_ok=True)
    (build / "report.json").write_text(json.dumps(report(outcomes), indent=1) + "\n")
    if len(ways) == len(WAYS):
        PAGE.write_text(page.page(ways, report(outcomes)))
    wrong = [outcome.name for outcome in (control, *outcomes) if outcome.wrong]
    cannot = sum(outcome.cannot_be_found for outcome in outcomes)
    if any(outcome.left_out for outcome in outcomes):
        _tell("LEFT OUT: Tessera's fsck, which is not built here (with Go: .ci/programs)")
    noticed = len(outcomes) - cannot - sum(bool(outcome.wrong) for outcome in outcomes)
    _tell(f"{len(outcomes)} ways in {time.monotonic() - began:.0f} s: {noticed} noticed, {cannot} kinds that cannot "
          f"be, {len(wrong)} wrong: {', '.join(wrong) or 'none'}; see {build}/report.json")  # fmt: skip
    return 1 if wrong else 0


def main() -> None:
    """Go every way, or those with one of the given words in their name, and end with 1 where one is not as declared."""
    parser = argparse.ArgumentParser(prog="make tamper", description=__doc__)
    parser.add_argument("words", nargs="*", help="go only the ways whose name has one of these")
    try:
        start.ready()
        ended = _run(parser.parse_args().words)
    except LedgerError as error:
        print(f"error: {error}", file=sys.stderr)
        ended = error.exit_status
    except KeyboardInterrupt:
        print("interrupted; nothing was left running", file=sys.stderr)
        ended = start.INTERRUPTED
    command.end(ended)
