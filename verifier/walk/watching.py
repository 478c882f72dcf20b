"""
Verify for ever: what is appended, again and again, soon after it is.

Each round is a verification of its own with a connection of its own, so a database that goes away is a round that could
not verify, and the next one begins anew. What was found is shown as it is found, and kept in the metrics.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from ledger.errors import Corrupt, LedgerError
from ledger.sealing import serving
from verifier.report import NOT_VERIFIED, Report
from verifier.walk.metrics import Seen

SLOWEST_S: Final = 60.0
"""How long is waited at most after rounds that could not verify."""

Verify = Callable[[], Report]


class Watch(msgspec.Struct, frozen=True):
    """
    How to watch: *every* so many seconds; with *rounds* so many times; with *goes_on* also after findings.
    """

    every: float
    goes_on: bool
    rounds: int | None = None


def run(verify: Verify, watch: Watch, seen: Seen, show: Callable[[Report], None]) -> Report | None:
    """
    Verify again and again; return the newest report with findings, or None where the rounds ended without any.

    *show* is given each report that found something, or that is the first. What cannot be verified is said on standard
    error, and tried again, later each time.

    Raises:
        Corrupt: the database holds no chain any more.
    """
    broken: Report | None = None
    done, failures = 0, 0
    while watch.rounds is None or done < watch.rounds:
        began = time.monotonic()
        try:
            report = verify()
        except Corrupt:
            raise
        except LedgerError as error:
            failures += 1
            seen.fail(NOT_VERIFIED)
            print(f"could not verify: {error}; it is tried again", file=sys.stderr, flush=True)
        else:
            seen.take(report, time.time())
            if report.findings or (not done and not failures):
                show(report)
            failures = 0
            broken = report if report.findings else broken
            if broken is not None and not watch.goes_on:
                return broken
        done += 1
        if watch.rounds is None or done < watch.rounds:
            wait = min(SLOWEST_S, watch.every * 2 ** min(failures, 10)) if failures else watch.every
            time.sleep(max(0.0, wait - (time.monotonic() - began)))
    return broken


@contextlib.contextmanager
def told(where: str | None, seen: Seen) -> Iterator[None]:
    """
    Serve the metrics at *where*, `host:port` or the path of a socket, while the block runs, and take SIGTERM as Ctrl-C.

    Raises:
        InvalidInput: nothing can be served there.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        if where is None:
            yield
            return
        with serving.serve(where, seen.respond, lambda what: print(what, file=sys.stderr, flush=True)) as server:
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
