"""
Write a file that is there once it is whole: cut short, by Ctrl-C or a full disk, it leaves what was there before.

Half a file of requests is a smaller firm, and half a journal asserts nothing; neither can be told from a whole one.
What is no file, such as a pipe or a device, takes the bytes as they come and stays what it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """
    Yield a file to write, which takes the place of *path* when the block ends without an error.

    Raises:
        OSError: it cannot be written.
    """
    place = path.resolve()
    if place.exists() and not place.is_file():
        with place.open("wb") as stream:
            yield stream
        return
    part = place.with_name(f"{place.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        os.replace(part, place)
    finally:
        part.unlink(missing_ok=True)
