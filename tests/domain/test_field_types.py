"""
Check that fields hold plain values, whatever kind of text a caller has them in, and parts that are just what they say.

A word of an enumeration is text to Python, and says another thing once it is written out; what an event keeps must be
what its bytes say, or the chain that holds it could not be read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec
import pytest

from ledger.domain import event_catalogue, registry
from ledger.domain.amounts import canonical
from ledger.domain.events.cash import AssetAmount
from ledger.domain.events.executions import Fee
from ledger.domain.events.fields import Event, Fields
from ledger.errors import InvalidAmount, InvalidEvent
from tests.domain.books import opened, order, trade


class Named(str):
    """Text that shows itself as something else."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"<{super().__str__()}>"

    __repr__ = __format__ = __str__  # type: ignore[assignment]


class Unhashed(str):
    """Text that says itself what it is equal to, and so has no hash."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)

    __hash__ = None  # type: ignore[assignment]


def _enumerated(text: str) -> str:
    word: str = Enum("Word", {"ONE": text}, type=str)("".join(text))  # type: ignore[assignment]
    return word


def _texts(value: Any) -> Iterator[str]:
    """Yield every text that *value* holds, at any depth."""
    if isinstance(value, str):
        yield value
    for part in value if isinstance(value, tuple) else ():
        yield from _texts(part)
    if isinstance(value, Fields):
        yield from _texts(tuple(getattr(value, name) for name in value.__struct_fields__))


def _dressed(value: Any, dress: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return dress(value)
    if isinstance(value, tuple):
        return tuple(_dressed(part, dress) for part in value)
    if isinstance(value, Fields):
        return type(value)(**{name: _dressed(getattr(value, name), dress) for name in value.__struct_fields__})
    return value


@pytest.mark.parametrize("dress", [Named, Unhashed, _enumerated], ids=["subclass", "unhashed", "enumeration"])
@pytest.mark.parametrize("name", sorted(registry.EVENT_TYPES))
def test_text_of_another_class_is_kept_as_plain_text(name: str, dress: Callable[[str], str]) -> None:
    """In every field of every type, parts included: the event is the same, and so are its bytes."""
    plain = event_catalogue.example(registry.EVENT_TYPES[name])
    dressed = _dressed(plain, dress)
    assert {type(text) for text in _texts(dressed)} == {str}
    assert dressed == plain
    assert registry.encode_given(dressed) == registry.encode_given(plain)


def test_an_amount_is_read_as_it_is_written_whatever_its_class_is_equal_to() -> None:
    """One that has no hash is taken; one that claims to be equal to all changes nothing that is read after it."""

    class Alike(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return hash("5.00")

    assert [canonical(text) for text in (Unhashed("7.00"), Alike("9.00"), "5.00", Alike("8.0"))] == ["7", "9", "5", "8"]
    with pytest.raises(InvalidAmount, match="has no sign"):
        canonical(Unhashed("-0"))


def test_an_order_of_enumerated_words_is_replayed_as_it_was_recorded() -> None:
    """Its side, id and stream among them."""
    books, plain = opened(), opened()
    books.give(_dressed(order(), _enumerated))
    books.give(_dressed(trade(), _enumerated))
    plain.give(order())
    plain.give(trade())
    books.replayed()
    assert books.stored == plain.stored


DEFAULTS = [
    (kind, field.name, field.default)
    for kind in registry.EVENT_TYPES.values()
    for field in msgspec.structs.fields(kind)
    if isinstance(field.default, str)
]


@pytest.mark.parametrize(("kind", "name", "default"), DEFAULTS, ids=lambda x: getattr(x, "__name__", x))
def test_what_may_be_left_out_has_the_bytes_of_what_is_left_out(kind: type[Event], name: str, default: str) -> None:
    """However it is given, equal events have equal bytes: a venue that says it the second time says the same."""
    plain = event_catalogue.example(kind)
    if getattr(plain, name) != default:
        plain = msgspec.structs.replace(plain, **{name: default})
    given = registry.encode_given(plain)
    assert name.encode() not in given
    forms = ["".join([*default, " "]).strip(), Named(default)]
    forms += [int(default), Decimal(default), f"{default}.0"] if default.isdigit() else []
    for form in forms:
        same = msgspec.structs.replace(plain, **{name: form})
        assert (same, registry.encode_given(same)) == (plain, given)
    text = given[:-1] + f',"{name}":"{default}"}}'.encode()
    assert registry.encode_given(registry.decode_given(kind.__name__, kind.SCHEMA_VERSION, text)) == given


class Annotated(Fee, frozen=True, kw_only=True):
    """A fee with something more."""

    note: str = "n"


@pytest.mark.parametrize("part", [Annotated(kind="k", asset="USDT", amount="1"), AssetAmount(asset="USDT", amount="1")])
def test_a_part_that_says_more_or_something_else_is_refused(part: Any) -> None:
    """Its bytes would have fields that no program reads."""
    with pytest.raises(InvalidEvent, match=r"fees: found (Annotated|AssetAmount)\(.*; expected a Fee"):
        trade(fees=(part,))
