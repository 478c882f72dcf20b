"""
Learn by which SQLSTATE a server refuses a login, whatever language its messages are in.

A server speaks to a login that it has not let in yet in the language that it was set up with, and libpq keeps of its
answer the words alone: the driver has no SQLSTATE for a connection that was never made. What libpq traces of the
conversation has it, so the login is tried once more, and traced. A trace has what was sent too, a password with it:
it is kept in memory, read for the code, and gone. Where the system has no such files (it is not Linux), there is no
code, and who asks goes by the words alone.

This is for a server that has answered, and whose words are not known: each try is a login that fails, and some count
those.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import time
from typing import Final

import psycopg
from psycopg import pq

_ANSWERED: Final = re.compile(r"failed: [^:]{1,40}:  ")
"""A server's answer: its word for how grave it is, a colon and two spaces; what libpq says itself has never two."""
_CODE: Final = re.compile(rb'\tErrorResponse\t .*? C "([0-9A-Z]{5})" M "')


def is_answer(message: str) -> bool:
    """
    Return whether *message*, of a connection that was not made, is what a server said and not that none was reached.
    """
    return _ANSWERED.search(message) is not None


def sqlstate(dsn: str, timeout_s: float) -> str | None:
    """
    Return the SQLSTATE by which the server at *dsn* refuses a login now; None where it does not, or cannot be asked.
    """
    if not hasattr(os, "memfd_create"):
        return None
    trace = os.memfd_create("ledger-login")
    try:
        _try(dsn, trace, time.monotonic() + timeout_s)
        os.lseek(trace, 0, os.SEEK_SET)
        with open(trace, "rb", closefd=False) as said:
            found = _CODE.findall(said.read())
    finally:
        os.close(trace)
    return found[-1].decode() if found else None


def _try(dsn: str, trace: int, deadline: float) -> None:
    """Log in at *dsn* and out again, and have libpq write to *trace* what is said."""
    connection = pq.PGconn.connect_start(dsn.encode())
    try:
        with contextlib.suppress(psycopg.Error):
            connection.trace(trace)
            while connection.status != pq.ConnStatus.BAD and time.monotonic() < deadline:
                what = connection.connect_poll()
                if what not in (pq.PollingStatus.READING, pq.PollingStatus.WRITING):
                    break
                waiting = select.poll()
                event = select.POLLIN if what == pq.PollingStatus.READING else select.POLLOUT
                waiting.register(connection.socket, event)
                waiting.poll(max(0.0, deadline - time.monotonic()) * 1000)
            connection.untrace()
    finally:
        connection.finish()
