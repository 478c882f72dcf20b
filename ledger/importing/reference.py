"""
Define what the events of a recording are about: assets and instruments, each before the first event that names it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ledger.domain.events.reference import AssetDefined, InstrumentDefined
from ledger.errors import InvalidInput, Rejected
from ledger.importing import definitions, fields
from ledger.importing.fields import Source
from ledger.importing.translation import ACTOR, Known, venue_of
from ledger.journal.group import Group

_MONEY: Final = ("currency", "crypto")


class Reference:
    """
    The assets and instruments that the ledger has, and those it needs.

    *instruments* are the definitions the engine was configured with; *known* is what the ledger has already.
    """

    def __init__(self, instruments: Iterable[Source], known: Known) -> None:
        self._definitions = definitions.Definitions(instruments)
        self._known = known

    def is_currency(self, asset: str) -> bool:
        """
        Return whether the ledger has *asset* as money; of what is none the engine states no balance.
        """
        return self._known.assets.get(asset) in _MONEY

    def _asset(self, source: Source, asset: str, kind: str, scale: int) -> list[Group]:
        there = self._known.assets.get(asset)
        if there is not None:
            if (there in _MONEY) != (kind in _MONEY):
                raise InvalidInput(
                    f"found {fields.as_given(asset)!r:.80} as a {kind}, which the ledger has as a {there}; one name "
                    "cannot be both: import into a chain of its own, or leave the instrument's events out"
                )
            return []
        given = fields.as_given(asset)
        defined = AssetDefined(asset=asset, kind=kind, scale=scale, name=given)  # type: ignore[arg-type]
        self._known.assets[asset] = kind
        return [Group((defined,), f"asset:{asset}", ACTOR, fields.time(source))]

    def currency(self, source: Source, asset: str, decimals: int = 0) -> list[Group]:
        """
        Return the request that defines a currency where it is new, with *decimals* or more.
        """
        return self._asset(source, asset, "currency", self._definitions.decimals(asset, decimals))

    def instrument(self, source: Source) -> tuple[str, list[Group]]:
        """
        Return the name of the source event's instrument, and the requests that define it where it is new.
        """
        given, name = fields.text(source, "instrument_id"), fields.name(source, "instrument_id")
        if name in self._known.instruments:
            return name, []
        definition = self._definitions.find(given)
        try:
            return name, self._defined(source, name, definition)
        except Rejected as error:
            raise InvalidInput(f"--instruments, {given!r}: {error}") from error

    def _defined(self, source: Source, name: str, definition: Source) -> list[Group]:
        size, price = fields.quantity(definition, "size_increment"), fields.quantity(definition, "price_increment")
        quote = definitions.quote_of(definition)
        if definitions.is_pair(definition):
            base = fields.name(definition, "base_currency")
            groups = self.currency(source, base)
        else:
            base = self._share(name)
            kind = "security" if definition.get("type") == "Equity" else "contract"
            groups = self._asset(source, base, kind, fields.decimals(size))
        groups += self.currency(source, quote)
        defined = InstrumentDefined(
            instrument=name, asset=base, quote_asset=quote, settle_asset=quote, tick=price, lot=size,
            multiplier=fields.optional_text(definition, "multiplier") or "1", settlement_cycle=0, venue=venue_of(name),
            symbol=fields.optional_text(definition, "raw_symbol"), isin=fields.optional_name(definition, "isin"),
        )  # fmt: skip
        self._known.instruments.add(name)
        return [*groups, Group((defined,), f"instrument:{name}", ACTOR, fields.time(source))]

    def _share(self, instrument: str) -> str:
        """Return the asset of an instrument that is no pair: its symbol, or its id where money has that symbol."""
        symbol = instrument.rpartition(".")[0]
        return instrument if self._definitions.has_currency(symbol) or self.is_currency(symbol) else symbol
