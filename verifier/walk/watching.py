"""
Verify for ever: what is appended, soon after it is, and old events again, a stretch at a time.

Each check of a round is a verification of its own with a connection of its own, so a database that goes away is a round
that could not verify, and the next one begins anew. What was found is shown as it is found, and kept in the metrics.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from ledger.errors import Corrupt, LedgerError, plain
from ledger.sealing import serving
from ledger.sealing.serving import Reply
from verifier.columns import reported
from verifier.report import BROKEN, NOT_VERIFIED, VERIFIED, Ended, Outcome, Report
from verifier.walk import metrics
from verifier.walk.metrics import Seen

SLOWEST_S: Final = 60.0
"""How long is waited at most after rounds that could not verify."""


class Check(msgspec.Struct, frozen=True):
    """
    What is verified in each round, and what was seen of it.
    """

    verify: Callable[[], Report]
    seen: Seen


class Watch(msgspec.Struct, frozen=True):
    """
    How to watch: *every* so many seconds; with *rounds* so many times; with *goes_on* also after findings.
    """

    every: float
    goes_on: bool
    rounds: int | None = None


def run(
    checks: Sequence[Check],
    watch: Watch,
    show: Callable[[Outcome], None],
    keep: Callable[[Outcome], None] = lambda outcome: None,
) -> Report | None:
    """
    Run every check again and again; return the newest report with findings, or None where the rounds ended without any.

    *show* is given each report that found something, or is the first of its check or the first since it could not
    verify, and that it cannot where it could. *keep* is given what found something, and the worst of each other round.
    Unless the watch goes on, it ends with the first that found something. What cannot be verified is said on standard
    error, and tried again, later each time.

    Raises:
        Corrupt: the database holds no chain any more.
    """
    broken: Report | None = None
    done, failures = 0, 0
    while watch.rounds is None or done < watch.rounds:
        began = time.monotonic()
        outcomes: list[Outcome] = []
        for check in checks:
            was_up, is_first = check.seen.up, not check.seen.runs
            outcome = _verified(check)
            outcomes.append(outcome)
            if _is_new(outcome, was_up, is_first):
                show(outcome)
            if isinstance(outcome, Report) and outcome.findings:
                # At once: the next check may take long, or be ended.
                broken = outcome
                keep(outcome)
                if not watch.goes_on:
                    return broken
        if (worst := max(outcomes, key=_gravity)).verdict != BROKEN:
            keep(worst)
        failures = failures + 1 if any(isinstance(outcome, Ended) for outcome in outcomes) else 0
        done += 1
        if watch.rounds is None or done < watch.rounds:
            wait = min(SLOWEST_S, watch.every * 2 ** min(failures, 10)) if failures else watch.every
            time.sleep(max(0.0, wait - (time.monotonic() - began)))
    return broken


def _gravity(outcome: Outcome) -> int:
    return (VERIFIED, NOT_VERIFIED, BROKEN).index(outcome.verdict)


def _is_new(outcome: Outcome, was_up: bool, is_first: bool) -> bool:
    """Return whether an outcome says something that the one before it of its check did not."""
    return bool(outcome.findings) or not was_up if isinstance(outcome, Report) else was_up or is_first


def _verified(check: Check) -> Outcome:
    """Return the report of one check, or why it could not verify."""
    try:
        report = reported(check.verify)
    except Corrupt:
        raise
    except LedgerError as error:
        check.seen.fail(NOT_VERIFIED)
        print(f"could not verify: {plain(str(error))}; it is tried again", file=sys.stderr, flush=True)
        return Ended(NOT_VERIFIED, error.code, str(error))
    check.seen.take(report, time.time())
    return report


@contextlib.contextmanager
def told(where: str | None, seen: Sequence[Seen]) -> Iterator[None]:
    """
    Serve the metrics of what was *seen* at *where* (`host:port`, a socket's path) meanwhile; SIGTERM is then as Ctrl-C.

    Raises:
        InvalidInput: nothing can be served there.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def answer(method: str, path: str, body: bytes) -> Reply:
        return metrics.respond(seen, method, path)

    before = signal.signal(signal.SIGTERM, end)
    try:
        if where is None:
            yield
            return
        with serving.serve(where, answer, serving.to_stderr) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()
                if not isinstance(server.server_address, tuple):
                    Path(where).unlink(missing_ok=True)
    finally:
        signal.signal(signal.SIGTERM, before)
