"""
Show text that an intruder may have written, so that it can be read and does nothing.

What does not print (control characters, marks that turn the direction of writing, lone surrogates) is written as its
escape: on a terminal it would move the cursor, in a page hide what it stands beside, in XML be no XML at all.
"""

from __future__ import annotations

import datetime

SECONDS_LIMIT = 253_402_300_800
"""The first second of year 10000, which a date cannot say."""


def plain(text: str) -> str:
    """
    Return *text* in one line, with what does not print written as its escape.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def moment(seconds: int) -> str:
    """
    Return a time in seconds since 1970 as people write it, in UTC.
    """
    if not 0 <= seconds < SECONDS_LIMIT:
        return f"second {seconds}"
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
