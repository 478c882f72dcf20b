"""
Read JSON that somebody else may have written: it is what it should be, or it is refused by one name.

The library raises three errors that are no relatives: for JSON of another shape, for bytes that are no UTF-8, and for
nesting deeper than the interpreter goes. A reader that knew two of them would end in a traceback on the third.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ledger.errors import UnknownFormat, shortened

Shape = TypeVar("Shape")


def decode(data: bytes, shape: type[Shape]) -> Shape:
    """
    Return the value of this *shape* that *data* is the JSON of.

    Raises:
        UnknownFormat: it is none.
    """
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnknownFormat(f"found JSON of another shape, or none: {shortened(str(error))}") from error
