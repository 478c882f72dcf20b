"""
Show times that an intruder may have written, so that they can be read; `ledger.errors.plain` does so with text.
"""

from __future__ import annotations

import datetime

SECONDS_LIMIT = 253_402_300_800
"""The first second of year 10000, which a date cannot say."""


def moment(seconds: int) -> str:
    """
    Return a time in seconds since 1970 as people write it, in UTC.
    """
    if not 0 <= seconds < SECONDS_LIMIT:
        return f"second {seconds}"
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
