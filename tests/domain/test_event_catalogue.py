"""
Check that what is said about event types is what they are.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ledger.domain import event_catalogue, registry, schemas
from ledger.domain.events.cash import CashMoved
from ledger.domain.events.executions import TradeBusted
from ledger.domain.events.fields import Event
from ledger.domain.events.reference import AssetDefined
from ledger.domain.events.settlement import SettlementFailed, TradeSettled
from ledger.domain.stream_names import STREAMS
from ledger.errors import InvalidEvent
from tests.commands import run
from tests.domain.streams import check_stream
from tests.reading.test_waiting import firm

ROOT = Path(__file__).parents[2]


def keeps(schema: dict[str, Any], value: Any) -> bool:
    """Say whether a value keeps to a JSON Schema, as far as the catalogue writes them."""
    if "enum" in schema:
        return value in schema["enum"]
    if schema["type"] == "object":
        names = set(schema["properties"])
        return (
            isinstance(value, dict)
            and set(schema["required"]) <= set(value) <= names
            and all(keeps(schema["properties"][name], x) for name, x in value.items())
        )
    if schema["type"] == "array":
        return isinstance(value, list) and all(keeps(schema["items"], x) for x in value)
    if schema["type"] == "string":
        return isinstance(value, str) and re.search(schema.get("pattern", ""), value) is not None
    return isinstance(value, {"boolean": bool, "integer": int}[schema["type"]])


def test_the_page_of_event_types_is_the_programs_own() -> None:
    """Write it anew with `tradeledger event-types --format markdown > docs/EVENTS.md` when a type changes."""
    assert (ROOT / "docs" / "EVENTS.md").read_text() == event_catalogue.page()


@pytest.mark.parametrize("name", registry.EVENT_TYPES)
def test_every_example_reads_back_and_keeps_its_schema(name: str) -> None:
    """What the page shows is an event, in the bytes that are stored, and without one of its fields it is none."""
    kind = registry.EVENT_TYPES[name]
    given = registry.encode_given(event_catalogue.example(kind))
    assert registry.decode_given(name, kind.SCHEMA_VERSION, given) == event_catalogue.example(kind)
    schema, value = schemas.json_schema(kind), msgspec.json.decode(given)
    assert keeps(schema, value)
    for field in schema["required"]:
        assert not keeps(schema, {key: x for key, x in value.items() if key != field})
    assert not keeps(schema, {**value, "more": 1})


@pytest.mark.parametrize(
    "text", ["0", "-0.5", "1" + "0" * 30, "-1" + "0" * 30, "9" * 30 + "." + "9" * 18, "0." + "0" * 17 + "1"]
)
def test_the_schema_of_an_amount_takes_what_the_program_takes(text: str) -> None:
    """To 10^30 itself on either side, and to 18 decimals."""
    schema = schemas.json_schema(CashMoved)["properties"]["amount"]
    made = CashMoved(movement_id="m", account="A", asset="X", amount=text, kind="tax", value_date="2024-08-08")
    assert made.amount == text
    assert keeps(schema, text)


@pytest.mark.parametrize(
    "text", ["-0", "00", "1.", ".5", "1.0", "1e5", "1" + "0" * 31, "2" + "0" * 30, "0." + "0" * 19]
)
def test_the_schema_of_an_amount_takes_nothing_else(text: str) -> None:
    """Neither what is no amount nor what is stored in another form."""
    assert not keeps(schemas.json_schema(CashMoved)["properties"]["amount"], text)


@pytest.mark.parametrize(
    ("field", "text", "good"),
    [
        ("value_date", "2024-02-29", True), ("value_date", "0001-01-01", True), ("value_date", "9999-12-31", True),
        ("value_date", "0000-01-01", False), ("value_date", "2024-13-01", False), ("value_date", "2024-00-10", False),
        ("value_date", "2024-01-32", False), ("value_date", "2024-1-1", False), ("value_date", "20240101", False),
        ("value_date", "tomorrow", False), ("value_date", "", False), ("value_date", "202\uff14-01-01", False),
        ("name", "", True), ("name", "a\nb\n", True), ("name", "é😀", True),
        ("name", "\0", False), ("name", "a\nb\0", False),
    ],
)  # fmt: skip
def test_the_schema_of_dates_and_text_takes_what_the_program_takes(field: str, text: str, good: bool) -> None:
    """Whatever a validator makes of `format`."""
    kind = {"value_date": CashMoved, "name": AssetDefined}[field]
    given = {**msgspec.json.decode(registry.encode_given(event_catalogue.example(kind))), field: text}
    assert keeps(schemas.json_schema(kind), given) == good
    if good:
        assert registry.decode_given(kind.__name__, 1, msgspec.json.encode(given))
    else:
        with pytest.raises(InvalidEvent):
            registry.decode_given(kind.__name__, 1, msgspec.json.encode(given))


def test_the_streams_said_are_those_of_the_rules() -> None:
    """Every type has one; `Books` holds what the tests of the rules record against them, and this a firm's history."""
    assert list(STREAMS.keys() ^ registry.EVENT_TYPES.keys()) == []
    books = firm(3)
    for outcome in books.stored:
        event = registry.decode_given(outcome.event_type, outcome.schema_version, outcome.given)
        check_stream(event, outcome)
    for name, kind in registry.EVENT_TYPES.items():
        ids = {field for stream in STREAMS[name] for field in re.findall("<([a-z_]+)>", stream)}
        assert ids <= set(kind.__struct_fields__) or kind in (TradeBusted, TradeSettled, SettlementFailed), name


def test_each_type_is_described_once_with_all_its_fields() -> None:
    """The list that programs read has every type, its family, its kind and each field."""
    found = {x["type"]: x for x in event_catalogue.describe()}
    assert list(found) == list(registry.EVENT_TYPES)
    for name, kind in registry.EVENT_TYPES.items():
        assert [field["name"] for field in found[name]["fields"]] == list(kind.__struct_fields__)
    assert found["TradeExecuted"]["fields"][0] == {"name": "exec_id", "type": "identifier", "required": True}
    assert found["TradeExecuted"]["streams"] == ["order/<order_id>", "account/<account>"]
    assert (found["SplitApplied"]["family"], found["SplitApplied"]["kind"]) == ("corporate_actions", "fact")


def test_a_schemas_hash_follows_its_fields_and_no_sentence() -> None:
    """Another field, type or default is another hash; another docstring is the same."""

    class One(Event, frozen=True, kw_only=True):
        """Said so."""

        a: int

    class Same(Event, frozen=True, kw_only=True):
        """Said otherwise."""

        a: int

    class Other(Event, frozen=True, kw_only=True):
        """Said so."""

        a: bool

    class Zero(Event, frozen=True, kw_only=True):
        """Said so."""

        a: int = 0

    class Seven(Event, frozen=True, kw_only=True):
        """Said so."""

        a: int = 7

    for kind in (One, Same, Other, Zero, Seven):
        kind.__annotations__ = {"a": bool if kind is Other else int}
    one, same, *others = (schemas.schema_hash(kind) for kind in (One, Same, Other, Zero, Seven))
    assert one == same
    assert len({one, *others}) == 4


def listed(*options: str) -> subprocess.CompletedProcess[str]:
    return run("ledger", "event-types", *options)


def test_the_command_prints_a_bare_list_the_schemas_or_the_page() -> None:
    """Each form alone on stdout, and another word is refused with the words there are."""
    assert json.loads(listed("--format", "json").stdout) == event_catalogue.describe()
    found = json.loads(listed("--schema").stdout)
    assert list(found) == list(registry.EVENT_TYPES)
    assert found["PeriodClosed"]["required"] == ["through"]
    assert found["TradeBusted"]["properties"]["reopens_order"] == {"type": "boolean", "default": True}
    assert listed("--format", "markdown").stdout == event_catalogue.page()
    assert "IncidentAcknowledged" in listed().stdout
    wrong = listed("--format", "xml")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "table, json or markdown" in wrong.stderr
