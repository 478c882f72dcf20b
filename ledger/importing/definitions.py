"""
Know the instruments an engine was configured with, and tell currencies from what only has a currency's name.

An Equity may have the ticker of a currency: the fund USD.ARCX is not the dollar. What is a currency is never booked
under the name of a share, and a share never under that of a currency.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from ledger.domain import amounts
from ledger.errors import InvalidInput
from ledger.importing import fields
from ledger.importing.fields import Source

CURRENCY_DECIMALS: Final = 8
"""A currency has at least so many, however its first amount was written: fees and prices have more than totals."""

_CODES: Final = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY "
    "COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR "
    "ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK "
    "MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF "
    "SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU "
    "UZS VES VND VUV WST XAF XAG XAU XCD XOF XPD XPF XPT YER ZAR ZMW ZWG"
)
_ISO_4217: Final = frozenset(_CODES.split())
_CURRENCY_FIELDS: Final = ("base_currency", "quote_currency", "settlement_currency", "currency")


def instruments_of(text: bytes) -> list[dict[str, Any]]:
    """
    Return the instrument definitions in *text*: a JSON list, or an object with the key `instruments`.

    Raises:
        InvalidInput: neither.
    """
    try:
        found = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the instruments are no JSON: {error}") from error
    if isinstance(found, dict):
        found = found.get("instruments")
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise InvalidInput("expected a JSON list of instruments, or an object with the key 'instruments'")
    return found


def is_pair(definition: Source) -> bool:
    """
    Return whether the instrument's asset is a currency itself.
    """
    return definition.get("type") == "CurrencyPair"


def quote_of(definition: Source) -> str:
    """
    Return the currency of the instrument's price, in which the ledger settles its fills.

    Raises:
        InvalidInput: there is none, or the contract does not settle in it.
    """
    quote = fields.optional_name(definition, "quote_currency") or fields.optional_name(definition, "currency")
    if quote is None:
        raise InvalidInput("found neither quote_currency nor currency; give one")
    settled = fields.optional_name(definition, "settlement_currency") or quote
    if definition.get("is_inverse") not in (None, False):
        found = f"an inverse contract (is_inverse {definition['is_inverse']!r:.80})"
    elif settled != quote:
        found = f"a contract that settles in {fields.as_given(settled)!r:.80}"
    else:
        return quote
    raise InvalidInput(
        f"found {found}; the ledger books price times quantity in the quote currency {fields.as_given(quote)!r:.80} "
        "alone: leave its events out of the file"
    )


class Definitions:
    """
    The definitions by instrument id, and the names and decimals of every currency that they speak of.
    """

    def __init__(self, instruments: Iterable[Source]) -> None:
        self._by_id: dict[str, Source] = {}
        self._decimals: dict[str, int] = {}
        for definition in instruments:
            given = fields.text(definition, "id")
            if self._by_id.setdefault(given, definition) != definition:
                raise InvalidInput(f"--instruments has two definitions of {given!r:.80} that differ; leave one out")
            self._take_currencies(definition)

    def _take_currencies(self, definition: Source) -> None:
        # A definition may be wrong in a field and never be used: what is no text says nothing here.
        size, price = (
            fields.decimals(found) if isinstance(found := definition.get(field), str) else 0
            for field in ("size_increment", "price_increment")
        )
        for field in _CURRENCY_FIELDS:
            if isinstance(definition.get(field), str) and definition[field]:
                currency, needed = fields.name(definition, field), size if field == "base_currency" else size + price
                self._decimals[currency] = max(self._decimals.get(currency, 0), needed)

    def find(self, given: str) -> Source:
        """
        Return the definition of an instrument.
        """
        if (found := self._by_id.get(given)) is None:
            there = ", ".join(sorted(self._by_id)) or "none"
            raise InvalidInput(f"found instrument {given!r}, which --instruments does not define; it defines {there}")
        return found

    def decimals(self, currency: str, written: int) -> int:
        """
        Return how many decimals a currency has of which an amount with *written* was found.
        """
        return min(max(CURRENCY_DECIMALS, written, self._decimals.get(currency, 0)), amounts.SCALE)

    def has_currency(self, name: str) -> bool:
        """
        Return whether *name* is a currency to the world, or to any instrument.
        """
        return name in _ISO_4217 or name in self._decimals
