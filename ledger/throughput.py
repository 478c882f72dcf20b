"""
Tune the interpreter of a process whose work is appending.

Two of CPython's settings cost a writer more than a rule does. Threads take turns every 5 ms, while a whole group of
requests is prepared in less: the writer waits for its turn among callers who have nothing to do. And the collector of
cycles looks through what is young after every 700 new objects, of which a few events make as many, none of them in a
cycle. Both belong to the whole process, so a library must not change them unasked: the program that is a writer calls
`for_throughput`, once, as it starts.
"""

from __future__ import annotations

import gc
import sys
from typing import Final

SWITCH_INTERVAL_S: Final = 0.0005
COLLECT_AFTER: Final = 50_000
"""New objects between two looks through the youngest; the memory of so many small objects is a few MB."""


def for_throughput() -> None:
    """
    Let threads of this process take turns ten times as often, and the collector of cycles come more seldom.

    Where a setting is already further in the same direction it stays.
    """
    if sys.getswitchinterval() > SWITCH_INTERVAL_S:
        sys.setswitchinterval(SWITCH_INTERVAL_S)
    young, middle, old = gc.get_threshold()
    # 0 is a collector that is off.
    gc.set_threshold(max(young, COLLECT_AFTER) if young else 0, middle, old)
