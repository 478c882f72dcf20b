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
from verifier.report import NOT_VERIFIED, Report
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


def run(checks: Sequence[Check], watch: Watch, show: Callable[[Report], None]) -> Report | None:
    """
    Run every check again and again; return the newest report with findings, or None where the rounds ended without any.

    *show* is given each report that found something, or that is the first of its check. What cannot be verified is said
    on standard error, and tried again, later each time.

    Raises:
        Corrupt: the database holds no chain any more.
    """
    broken: Report | None = None
    done, failures = 0, 0
    while watch.rounds is None or done < watch.rounds:
        began = time.monotonic()
        reports = [_verified(check, show) for check in checks]
        failures = failures + 1 if None in reports else 0
        found = [report for report in reports if report is not None and report.findings]
        broken = found[-1] if found else broken
        if broken is not None and not watch.goes_on:
            return broken
        done += 1
        if watch.rounds is None or done < watch.rounds:
            wait = min(SLOWEST_S, watch.every * 2 ** min(failures, 10)) if failures else watch.every
            time.sleep(max(0.0, wait - (time.monotonic() - began)))
    return broken


def _verified(check: Check, show: Callable[[Report], None]) -> Report | None:
    """Return the report of one check, or None where it could not verify."""
    is_first = not check.seen.runs
    try:
        report = reported(check.verify)
    except Corrupt:
        raise
    except LedgerError as error:
        check.seen.fail(NOT_VERIFIED)
        print(f"could not verify: {plain(str(error))}; it is tried again", file=sys.stderr, flush=True)
        return None
    check.seen.take(report, time.time())
    if report.findings or is_first:
        show(report)
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
