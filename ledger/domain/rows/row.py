"""
Describe what every row is, and what is said of its table: its key, and which columns are amounts or days.
"""

from __future__ import annotations

import msgspec


class Row(msgspec.Struct, frozen=True, gc=False):
    """
    One row of a read model.
    """


class TableSpec(msgspec.Struct, frozen=True):
    """
    How rows of one table are keyed, and which of their columns are not what their Python type says.
    """

    name: str
    row_type: type[Row]
    key: tuple[str, ...]
    amounts: frozenset[str] = frozenset()
    dates: frozenset[str] = frozenset()

    @property
    def columns(self) -> tuple[str, ...]:
        """
        Return the column names, in order.
        """
        return self.row_type.__struct_fields__
