"""
Change valid requests as no caller should, and as some will: other types, signs, sizes, texts, nesting.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec
from hypothesis import strategies as st

from ledger.domain import event_catalogue, registry
from ledger.domain.events.fields import Event, Fields
from tests.domain.books import DAY
from tests.domain.test_any_values import VALID

Word = Enum("Word", {"BUY": "buy", "ACCOUNT": "A", "ORDER": "O", "DATE": DAY, "AMOUNT": "0.01"}, type=str)
"""Words that a caller has in an enumeration, which Python writes out as `Word.BUY`."""

DEEP: Any = []
for _ in range(100_000):
    DEEP = [DEEP]
HUGE = "x" * 10_000_000
WILD = st.one_of(
    st.sampled_from([
        None, True, False, 0, -1, 10**40, -(10**40), 10**5000, 2**63, -(2**63) - 1, 0.5, -0.0, 1e308, float("nan"),
        float("inf"), Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity"), Decimal("1E+1000000"), Decimal("-0"),
        Decimal("1E-19"), 1j, b"A", b"\xff" * 100, bytearray(b"1"), object(), int, {}, {"a": 1}, {1: 2}, set(), (), [],
        [[]], [None] * 1000, (("a",),), DEEP, range(3), Ellipsis, NotImplemented,
    ]),
    st.sampled_from(Word),
    st.sampled_from([
        "", " ", "0", "-0", "-1", "+1", "1e5", "1E400", "NaN", "Infinity", "0x10", "1_000", "1,5", "\uff11", "\u0663",
        "1.", ".1",
        "00", "9" * 40, "-" + "9" * 40, "0." + "0" * 40 + "1", "1" + "0" * 30, "1" + "0" * 31, "A" * 129, "a/b", "a\0b",
        "\ud800", "\udfff\ud800", "a\u202eb", "é" * 100, "e\u0301", "\U0001f4a5", "\u2028", "\r\n",
        "'; DROP TABLE events; --",
        '"}]}', "\\u0000", "%s", "{0}", "~fees", "2024-02-30", "0000-00-00", "9999-12-31", "2024-08-08T00:00:00", HUGE,
        "é" * 1_000_000, "{" * 100_000,
    ]),
    st.text(max_size=20), st.integers(), st.floats(), st.binary(max_size=8), st.decimals(),
    st.recursive(st.none() | st.text(max_size=3), lambda x: st.lists(x) | st.dictionaries(st.text(), x)),
)  # fmt: skip
"""Values that no field of an event is made for, and some that are nearly right."""

REQUESTS = st.one_of(
    st.tuples(st.sampled_from(VALID), st.integers(0, 3)).map(lambda x: x[0](x[1])),
    st.sampled_from(sorted(registry.EVENT_TYPES)).map(lambda name: event_catalogue.example(registry.EVENT_TYPES[name])),
)
"""Valid requests of every type: some that the books of `likely` take, and the example of each."""


class Mutation(msgspec.Struct, frozen=True):
    """
    A request, or a part of one, with its fields changed; it is not built yet, since that may be refused.
    """

    kind: type[Any]
    fields: dict[str, Any]

    def __repr__(self) -> str:
        return f"{self.kind.__name__}({', '.join(f'{name}={_shown(value)}' for name, value in self.fields.items())})"

    def build(self) -> Event:
        """Make the event, as a caller would, from the inside out."""
        event: Event = _built(self)
        return event


def _built(value: Any) -> Any:
    if isinstance(value, Mutation):
        return value.kind(**{name: _built(inner) for name, inner in value.fields.items()})
    return tuple(map(_built, value)) if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    try:
        return f"{value!r:.60}"
    except (RecursionError, ValueError):
        return f"a {type(value).__name__} that cannot be shown"


def _changed(draw: Any, value: Any) -> Any:
    """Return *value* with something in it changed: a part of it where it has parts, or all of it."""
    if isinstance(value, Fields) and draw(st.booleans()):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        name = draw(st.sampled_from(sorted(fields)))
        return Mutation(type(value), {**fields, name: _changed(draw, fields[name])})
    if isinstance(value, tuple) and value and draw(st.booleans()):
        place = draw(st.integers(0, len(value) - 1))
        return (*value[:place], _changed(draw, value[place]), *value[place + 1 :])
    if isinstance(value, tuple) and draw(st.booleans()):
        return value * draw(st.sampled_from([0, 2, 300]))
    if isinstance(value, str) and draw(st.booleans()):
        return draw(st.sampled_from([f"-{value}", f"{value}0", value * 2, value[:-1], value.upper(), f"{value}\0"]))
    return draw(WILD)


@st.composite
def mutations(draw: Any) -> Mutation:
    """Draw a valid request and change one to three of its fields, or something inside of one."""
    event = draw(REQUESTS)
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    for name in draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=3)):
        fields[name] = _changed(draw, fields[name])
    return Mutation(type(event), fields)


_FRAGMENTS = (
    b"null", b"true", b"0", b"-0", b"1.5", b"1e5", b"1e999", b"NaN", b"Infinity", b"1" + b"0" * 40, b"1" + b"0" * 5000,
    b"[]", b"{}", b'""', rb'"\ud800"', rb'"\u0000"', rb'"\x"', b"\xff", b'"\xff"', b"[" * 100_000,
    b"[" * 9000 + b"]" * 9000, b'{"a":' * 9000 + b"1" + b"}" * 9000, b'"' + b"x" * 10_000_000 + b'"',
    b'"1","qty":"2"', b'1}{"a":1', b"",
)  # fmt: skip


@st.composite
def texts(draw: Any) -> tuple[str, bytes]:
    """Draw the JSON of a valid request with one value replaced, a key added, a piece cut out, or a byte changed."""
    event = draw(REQUESTS)
    text = registry.encode_given(event)
    way = draw(st.sampled_from(["value", "key", "cut", "byte"]))
    if way == "value":
        places = [match.span(1) for match in re.finditer(rb':("[^"]*"|[^,{}\[\]"]+)', text)]
        start, end = draw(st.sampled_from(places)) if places else (0, 0)
        text = text[:start] + draw(st.sampled_from(_FRAGMENTS)) + text[end:]
    elif way == "key":
        text = text[:-1] + b',"extra":' + draw(st.sampled_from(_FRAGMENTS)) + b"}"
    else:
        start = draw(st.integers(0, len(text) - 1))
        end = start + (draw(st.integers(1, 9)) if way == "cut" else 1)
        text = text[:start] + (b"" if way == "cut" else draw(st.binary(min_size=1, max_size=1))) + text[end:]
    return type(event).__name__, text
