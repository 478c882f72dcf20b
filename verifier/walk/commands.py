"""
The commands that walk a chain: `chain`, `incremental`, `state` and `watch`.
"""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Final

import typer

from ledger.errors import Corrupt
from ledger.evidence.tiles import WIDTH
from ledger.sandbox import home
from verifier.options import Dsn, Format, Jobs, Origin, ReportFile
from verifier.reader import Reader
from verifier.report import BROKEN, Ended, Outcome, Report
from verifier.showing import Form, judged, kept, progress, shown
from verifier.tiled import scrub as rolling
from verifier.tiled import scrubbed
from verifier.tiled.databases import Region
from verifier.walk import clusters, joined, metrics, replayed, watching
from verifier.walk import incremental as since

DAY_S: Final = 86_400


class OnFindings(StrEnum):
    """
    What a watch does when something is found.
    """

    EXIT = "exit"
    CONTINUE = "continue"


def chain(
    dsn: Dsn = None,
    origin: Origin = None,
    jobs: Jobs = 1,
    first: Annotated[int, typer.Option("--from", min=1, help="The first seq to check.")] = 1,
    last: Annotated[int | None, typer.Option("--to", min=1, help="The last one; else up to the head.")] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Go on from where this file says an earlier walk came to, and say how far this one does."),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Have the workers of this Dask cluster check, as in tcp://HOST:8786.")
    ] = None,
    format: Format = Form.TABLE,
    report: ReportFile = None,
) -> None:
    """
    Check bytes, columns and links of every event, fast: what `full` does before it applies the rules.

    With --state an interrupted walk goes on where it was, and a later one checks what was appended since; a database
    that is behind the state, or holds another history up to there, is convicted.
    """

    if last is not None and first > last:
        raise typer.BadParameter(f"found --from {first} and --to {last}; the first seq comes first")
    if state is not None and (first, last) != (1, None):
        raise typer.BadParameter("a state goes on from where it ends: leave out --from and --to, or --state")

    def made() -> Report:
        with (
            home.database("auditor", dsn=dsn) as address,
            clusters.cluster(scheduler) as executor,
            progress(None) as told,
        ):
            return joined.verify_chain(
                address, origin, first=first, last=last, jobs=jobs, executor=executor, state=state, tell=told
            )

    if status := judged(made, format, report):
        raise typer.Exit(status)


def incremental(
    state: Annotated[Path, typer.Option(help="What an earlier verification came to; made if not there.")],
    dsn: Dsn = None,
    origin: Origin = None,
    jobs: Jobs = 1,
    format: Format = Form.TABLE,
    report: ReportFile = None,
) -> None:
    """
    Check everything about the events since the last time: bytes, links, rules, and the rows that they touched.

    Without the file everything is checked, as `full` does, and the file is made. It changes only when nothing is found.
    A database that is behind it, or holds another history up to there, is convicted. What no event touched since is not
    looked at again: that is for `full`.
    """

    def made() -> Report:
        with (
            home.database("auditor", dsn=dsn) as address,
            Reader(address, origin) as reader,
            progress(max(reader.chain.seq, 0)) as told,
        ):
            return since.verify(reader, state, told, jobs)

    if status := judged(made, format, report):
        raise typer.Exit(status)


def state(
    dsn: Dsn = None,
    origin: Origin = None,
    jobs: Jobs = 1,
    format: Format = Form.TABLE,
    report: ReportFile = None,
) -> None:
    """
    Replay the events, and say what they make: balances, positions and sealed roots. Read models are not asked.
    """
    made: list[Report] = []

    def make() -> Report:
        with (
            home.database("auditor", dsn=dsn) as address,
            Reader(address, origin) as reader,
            progress(max(reader.chain.seq, 0)) as told,
        ):
            made.append(replayed.verify(reader, told, jobs))
        return made[0]

    status = judged(make, format, report)
    if format is Form.TABLE and made:  # none where columns kept it from reading
        print(*replayed.lines(made[0]), sep="\n")
    if status:
        raise typer.Exit(status)


def watch(
    state: Annotated[Path, typer.Option(help="What was verified so far; made if not there.")],
    dsn: Dsn = None,
    origin: Origin = None,
    jobs: Jobs = 1,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds from one verification to the next.")] = 10.0,
    listen: Annotated[str | None, typer.Option(help="Where Prometheus finds /metrics: HOST:PORT or a path.")] = None,
    scrub: Annotated[
        Path | None, typer.Option(help="Read old events again too, a stretch each time; this file says how far it is.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="In how many days --scrub reads the whole chain.")] = 30,
    on_findings: Annotated[OnFindings, typer.Option(help="What to do when something is found.")] = OnFindings.EXIT,
    rounds: Annotated[int | None, typer.Option(min=1, help="So many verifications; else for ever.")] = None,
    format: Format = Form.TABLE,
    report: ReportFile = None,
) -> None:
    """
    Verify what is appended, soon after it is, for ever: `incremental` again and again, with --scrub `scrub` as well.

    It ends with 3 when something is found, unless it is told to go on; with 4 when a fixed number of rounds ended and
    the last of them could not verify. What could not be verified is tried again. Ctrl-C and SIGTERM end it with 130,
    once it has said how far it came.

    --report FILE holds the newest round, of --scrub and the new events whichever is worse. On standard output stand all
    that found something, one after the other.
    """
    checks = [watching.Check(lambda: _newest(dsn, origin, state, jobs), metrics.Seen("incremental"))]
    if scrub is not None:
        # A round reads one stretch after another: up to where all is good is for the state's round to say.
        old = metrics.Seen("scrub", verified_seq=None)
        share = min(Fraction(1), Fraction(every) / (days * DAY_S))
        checks.append(watching.Check(lambda: _old(dsn, origin, scrub, share, old), old))

    is_kept = True

    def show(outcome: Outcome) -> None:
        shown(outcome, format)

    def keep(outcome: Outcome) -> None:
        nonlocal is_kept
        is_kept = kept(outcome, report)

    seen = [check.seen for check in checks]
    with watching.told(listen, seen):
        how = watching.Watch(every, goes_on=on_findings is OnFindings.CONTINUE, rounds=rounds)
        try:
            broken = watching.run(checks, how, show, keep)
        except KeyboardInterrupt:
            print(*(each.sentence() for each in seen), sep="\n", file=sys.stderr)
            raise
        except Corrupt as error:
            ended = Ended(BROKEN, error.code, str(error))
            keep(ended)
            show(ended)
            raise
    if broken is not None or not is_kept or not all(each.up for each in seen):
        raise typer.Exit(3 if broken is not None else 4)


def _newest(dsn: str | None, origin: str | None, state: Path, jobs: int) -> Report:
    with home.database("auditor", dsn=dsn) as address, Reader(address, origin) as reader:
        return since.verify(reader, state, lambda what, count: None, jobs)


def _old(dsn: str | None, origin: str | None, state: Path, share: Fraction, seen: metrics.Seen) -> Report:
    def now() -> int:
        return int(time.time())

    with home.database("auditor", dsn=dsn) as address, Region(address, origin) as region:
        report = rolling.verify(region, state, share, None, lambda what, count: None, now)
    # There is none yet where nobody knows whose events these are.
    if (place := scrubbed.read(state)) is not None:
        seen.next_seq, seen.completed_at = place.next * WIDTH + 1, place.completed_at
    return report
