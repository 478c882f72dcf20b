"""
Name each thing that can differ, so that a later statement finds the break of an earlier one.

A key is its parts joined by colons: `balance:ACC-1:USD:total`, `position:ACC-1:XYZ:qty`,
`trade:ACC-1:XNAS:2024-08-08:E-981` (the trade itself) and `…:price` (one of its columns). A percent sign or a colon
inside a part is written %25 or %3A. Where the whole is longer than an identifier may be, each long part is cut and
ends in a hash of all of it, so that keys stay apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from blake3 import blake3

LIMIT_CHARACTERS: Final = 128
_LONG: Final = 24
_KEPT: Final = 7


def _escaped(part: str) -> str:
    return part.replace("%", "%25").replace(":", "%3A")


def _cut(part: str) -> str:
    # A cut must not leave half an escape: what it shows is only for people, the hash tells parts apart.
    return part if len(part) <= _LONG else f"{part[:_KEPT].replace('%', '_')}~{blake3(part.encode()).hexdigest()[:16]}"


def make(*parts: str) -> str:
    """
    Return the key of *parts*.
    """
    escaped = [_escaped(part) for part in parts]
    key = ":".join(escaped)
    return key if len(key) <= LIMIT_CHARACTERS else ":".join(map(_cut, escaped))


def parts(key: str) -> list[str]:
    """
    Return the parts of *key* as they stand in it; `stands_for` tells what they mean.
    """
    return key.split(":")


def is_made(key: str) -> bool:
    """
    Return whether *key* is of a figure or trade, as `make` writes it. Others may be recorded too, by whoever compares
    with a program of their own.
    """
    kind, *rest = parts(key)
    return len(rest) in {"balance": (3,), "position": (3,), "trade": (4, 5)}.get(kind, ())


def by_writing(names: Iterable[str]) -> dict[str, str]:
    """
    Return *names* by what stands for them in a key: each as it is, and as it is where it was cut.
    """
    escaped = {name: _escaped(name) for name in names}
    return {written: name for name, whole in escaped.items() for written in (whole, _cut(whole))}


def writings(*parts: str) -> set[tuple[str, ...]]:
    """
    Return what can stand for *parts*, one after the other, in a key: a key has all of them as they are, or all cut.
    """
    escaped = tuple(map(_escaped, parts))
    return {escaped, tuple(map(_cut, escaped))}


def stands_for(written: str, part: str) -> bool:
    """
    Return whether *written*, a part of a key, stands for *part*.
    """
    escaped = _escaped(part)
    return written in (escaped, _cut(escaped))
