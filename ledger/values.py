"""
Say once what a value is that is made and never changed, for classes of modules that are compiled.

What is said of a class in its own line (`frozen=True`) is lost where mypyc compiles it, and what it inherits is not: so
those modules take it from here (docs/decisions/0033).
"""

from __future__ import annotations

import msgspec


class Value(msgspec.Struct, frozen=True, gc=False):
    """
    A value: it does not change, is equal to another with the same fields, and is part of no cycle.
    """
