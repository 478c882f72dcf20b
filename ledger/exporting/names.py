"""
Name accounts and assets so that beancount and hledger take the name, and so that it can be read back.

A name that is legal already stays as it is. Any other is spelled after a mark that no legal name begins with, each odd
character as its code in two hexadecimal digits; so no two names become one, whatever they are.
"""

from __future__ import annotations

import functools
import re
from typing import Final

from ledger.domain import postings
from ledger.errors import InvalidInput

_COMPONENT: Final = re.compile(r"[A-Z0-9][A-Za-z0-9]*", re.ASCII)
_COMPONENT_MARK: Final = "X-"
_COMMODITY: Final = re.compile(r"[A-Z][A-Z0-9._-]*[A-Z0-9]", re.ASCII)
_COMMODITY_MARK: Final = "X'"
_WORDS: Final = frozenset(("TRUE", "FALSE", "NULL"))
"""What beancount reads as a value, never as a commodity."""


def _spelled(name: str, mark: str, kept: str) -> str:
    return mark + "".join(c if re.fullmatch(kept, c, re.ASCII) else f"{mark[1]}{ord(c):02X}" for c in name)


def _read(text: str, mark: str) -> str:
    if not text.startswith(mark):
        return text
    return re.sub(re.escape(mark[1]) + "([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), text[len(mark) :])


@functools.lru_cache(4096)
def component(name: str) -> str:
    """
    Return one part of an account's name: `ACME` as it is, `client-7` as `X-client-2D7`.
    """
    return name if _COMPONENT.fullmatch(name) else _spelled(name, _COMPONENT_MARK, "[A-Za-z0-9]")


def component_read(text: str) -> str:
    """
    Return the name that `component` spelled.
    """
    return _read(text, _COMPONENT_MARK)


@functools.lru_cache(4096)
def commodity(asset: str) -> str:
    """
    Return an asset's name as a commodity: `BTC-PERP` as it is, `usd` as `X''75'73'64`.
    """
    if _COMMODITY.fullmatch(asset) and asset not in _WORDS:
        return asset
    return _spelled(asset, _COMMODITY_MARK, "[A-Z0-9]")


def commodity_read(text: str) -> str:
    """
    Return the asset that `commodity` named.
    """
    return _read(text, _COMMODITY_MARK)


@functools.lru_cache(65_536)
def account(name: str, asset: str, bucket: str) -> str:
    """
    Return the name under which one bucket of an account's asset is kept: accounts own, the ledger's own is equity.
    """
    root = "Equity" if postings.is_system(name) else "Assets"
    return f"{root}:{component(name)}:{component(asset)}:{bucket.capitalize()}"


def account_read(text: str) -> tuple[str, str, str]:
    """
    Return (account, asset, bucket) of a name that `account` made.

    Raises:
        InvalidInput: it made no such name.
    """
    parts = text.split(":")
    if len(parts) != 4:
        raise InvalidInput(f"found {text[:120]!r}; expected root:account:asset:bucket")
    return component_read(parts[1]), component_read(parts[2]), parts[3].lower()
