"""
Read a file of JSON lines, plain, gzip or zstd, and say exactly where it is wrong.

A file that ends in the middle, of a line or of its compression, is an error and never a shorter file.
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import zstandard

from ledger import given_file
from ledger.errors import InvalidInput

_CHUNK_BYTES: Final = 1 << 20
LINE_LIMIT_BYTES: Final = 4 << 20
_MARKS: Final = {codecs.BOM_UTF8: "UTF-8", codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


def _opener(first: bytes) -> Callable[[], Any] | None:
    """Return what makes a decompressor for a file that begins so, or None for a plain one."""
    if first.startswith(b"\x1f\x8b"):
        return lambda: zlib.decompressobj(wbits=31)
    if first.startswith(b"\x28\xb5\x2f\xfd"):
        return lambda: zstandard.ZstdDecompressor().decompressobj()
    return None


def _chunks(file: BinaryIO, path: Path) -> Iterator[bytes]:
    chunk = file.read(_CHUNK_BYTES)
    if not chunk:
        raise InvalidInput(f"{path} is empty; a recording has at least one event, so get the file anew")
    opener = _opener(chunk)
    if opener is None:
        while chunk:
            yield chunk
            chunk = file.read(_CHUNK_BYTES)
        return
    unpack = opener()
    try:
        while chunk:
            if unpack.eof:
                # Compressed files that were joined are one file.
                unpack = opener()
            yield unpack.decompress(chunk)
            chunk = (unpack.unused_data if unpack.eof else b"") or file.read(_CHUNK_BYTES)
    except (zlib.error, zstandard.ZstdError) as error:
        raise InvalidInput(f"{path}: the compressed data are damaged ({error}); get the file anew") from error
    if not unpack.eof:
        raise InvalidInput(f"{path}: the compressed data end in the middle; the file was cut off, get it anew")


def read(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """
    Yield (line number from 1, object) for every line of *path* that is not empty.

    Raises:
        InvalidInput: the file cannot be read, is damaged or cut off, or a line is no JSON object; what came before
            was yielded.
    """
    for number, line in read_raw(path):
        yield number, _decode(line, path, number)


def read_raw(path: Path) -> Iterator[tuple[int, bytes]]:
    """
    Yield (line number from 1, bytes) for every line of *path* that is not empty; errors of the file as in `read`.
    """
    number, rest, found = 0, b"", 0
    try:
        with given_file.opened(path) as file:
            for chunk in _chunks(file, path):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    number += 1
                    if line.strip():
                        found += 1
                        yield number, line
                if len(rest) > LINE_LIMIT_BYTES:
                    raise InvalidInput(f"{path}:{number + 1}: the line is longer than {LINE_LIMIT_BYTES} bytes")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}; give a file of JSON lines") from error
    if rest.strip():
        yield number + 1, rest
    elif not found:
        raise InvalidInput(f"{path} has only blank lines; a recording has at least one event, so get the file anew")


def _decode(line: bytes, path: Path, number: int) -> dict[str, Any]:
    for mark, encoding in _MARKS.items():
        if number == 1 and line.startswith(mark):
            raise InvalidInput(
                f"{path}:1: found a byte order mark of {encoding}; expected UTF-8 without one: save the file so"
            )
    try:
        found = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        shown = line[:60].decode("utf-8", "replace")
        raise InvalidInput(
            f"{path}:{number}: found {shown!r}, which is no JSON ({error}); is the file cut off or of another kind?"
        ) from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{path}:{number}: found a JSON {type(found).__name__}; expected an object")
    return found
