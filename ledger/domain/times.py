"""
Write times as people read them.
"""

from __future__ import annotations

import datetime
from typing import Final

EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def time_text(nanoseconds: int) -> str:
    """
    Return the ISO text of a time, with all that is known of it; where no calendar reaches, its digits.
    """
    seconds, rest = divmod(nanoseconds, 10**9)
    try:
        whole = EPOCH + datetime.timedelta(seconds=seconds)
    except OverflowError:
        return f"{nanoseconds} (ns since 1970)"
    return f"{whole:%Y-%m-%dT%H:%M:%S}{f'.{rest:09}' if rest else ''}Z"
