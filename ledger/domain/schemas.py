"""
Describe the fields of every event type and version as JSON Schema, and by one hash.

The hash is what a chain registers (SchemaRegistered). It covers names, types, words and defaults, and no sentence:
rewording a docstring makes no new version, and any other change does. A program whose fields have another hash than
the chain has for the same version would read something else out of the same bytes, so it stops.
"""

from __future__ import annotations

import ast
import functools
import pkgutil
import types
import typing
from collections.abc import Container, Iterable
from typing import Any, Final, Literal

import msgspec
from blake3 import blake3

from ledger.domain import registry
from ledger.domain.events.checks import IDENTIFIER_LIMIT_BYTES
from ledger.domain.events.control import SchemaRegistered
from ledger.domain.events.fields import Event, Fields
from ledger.domain.rows import Row, Schema
from ledger.errors import StateMismatch, UnknownFormat

ENCODER_VERSION: Final = "1"
"""Of the canonical JSON in which events are written."""

_PATTERNS: Final[dict[str, dict[str, Any]]] = {
    "identifier": {"type": "string", "pattern": f"^[ -.0-~]{{1,{IDENTIFIER_LIMIT_BYTES}}}$"},
    "text": {"type": "string"},
    "date": {"type": "string", "format": "date"},
    "amount": {"type": "string", "pattern": r"^((?!-0$)-?(0|[1-9][0-9]{0,29})(\.[0-9]{0,17}[1-9])?|-?10{30})$"},
}

_HELD_TO: Final[dict[str, dict[str, Any]]] = {
    "text": {"pattern": r"^[^\u0000]*$"},
    "date": {"pattern": "^(?!0000)[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"},
}
"""
What a validator finds besides, to which `format` is a remark. It makes no other fields, so the hash goes without it, as
chains have registered it.
"""


def _option(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(option for option in typing.get_args(hint) if option is not type(None))
    return hint


def hints(kind: type[Fields]) -> dict[str, Any]:
    """
    Return the annotation of each field of an event type or a part of one; of what may be left out, what it is if given.
    """
    found = typing.get_type_hints(kind, include_extras=True)
    return {name: _option(found[name]) for name in kind.__struct_fields__}


def _schema(hint: Any, described: bool) -> dict[str, Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _PATTERNS[arguments[1]] | (_HELD_TO.get(arguments[1], {}) if described else {})
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0], described)}
    if hint is bool:
        return {"type": "boolean"}
    if hint is int:
        return {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
    return _object(hint, described)


def _object(kind: type[Fields], described: bool) -> dict[str, Any]:
    properties = {name: _schema(hint, described) for name, hint in hints(kind).items()}
    for field in msgspec.structs.fields(kind):
        # What a field that is left out means is a part of what stored bytes say.
        if field.default not in (msgspec.NODEFAULT, None):
            properties[field.name] = {**properties[field.name], "default": field.default}
    made: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": [field.name for field in msgspec.structs.fields(kind) if field.required],
        "additionalProperties": False,
    }
    return {"description": told(kind), **made} if described else made


def told(thing: Any) -> str:
    """
    Return the docstring of *thing* as one line.
    """
    return " ".join((thing.__doc__ or _docstrings(thing.__module__).get(thing.__name__, "")).split())


@functools.cache
def _docstrings(module: str) -> dict[str, str]:
    """Return those of the functions of a module by name, as its source has them: a compiled function has none."""
    source = pkgutil.get_data(module.rpartition(".")[0], module.rpartition(".")[2] + ".py") or b""
    found = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return {node.name: ast.get_docstring(node) or "" for node in found}


def json_schema(kind: type[Event]) -> dict[str, Any]:
    """
    Return the JSON Schema (2020-12) of what a caller gives in an event of this type, as it is stored.

    A field that has its default is left out of the stored bytes; one without a `default` is then absent. Three things
    are more than it can say: an integer is written without a point, a date is one of the calendar, and no text has a
    lone surrogate. Its patterns are ECMAScript's, where `$` is the very end.
    """
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": kind.__name__, **_object(kind, True)}


@functools.cache
def schema_hash(kind: type[Event]) -> str:
    """
    Return the hash of an event type's fields that SchemaRegistered records: BLAKE3, hexadecimal.
    """
    return blake3(msgspec.json.encode(_object(kind, False), order="sorted")).hexdigest()


def missing(registered: Container[tuple[str, int]], *, everything: bool) -> list[SchemaRegistered]:
    """
    Return what is still to be registered: what is needed before events are written, or *everything* there is.

    Needed are the versions of each type that has more than its first one.
    """
    return [
        SchemaRegistered(
            event_type=name, version=version, schema_hash=schema_hash(kind), encoder_version=ENCODER_VERSION
        )
        for name, newest in registry.EVENT_TYPES.items()
        if everything or newest.SCHEMA_VERSION > 1
        for version in range(1, newest.SCHEMA_VERSION + 1)
        if (name, version) not in registered and (kind := registry.kind_of(name, version)) is not None
    ]


def check_all(rows: Iterable[Row]) -> None:
    """
    Raise as `check_registered` does for the first of the rows of `schemas` that is not this program's.
    """
    for row in rows:
        if not isinstance(row, Schema):
            raise AssertionError(f"found a {type(row).__name__} among the schemas")
        check_registered(row.event_type, row.schema_version, row.schema_hash, row.event_seq)


def check_registered(event_type: str, version: int, registered: str, seq: int) -> None:
    """
    Raise unless this program has the fields of *event_type* in *version* whose hash the chain *registered* at *seq*.

    Raises:
        UnknownFormat: it does not know the type, or this version of it.
        StateMismatch: it has other fields under the same version.
    """
    kind = registry.kind_of(event_type, version)
    if kind is None:
        raise UnknownFormat(
            f"this chain has {event_type} of schema version {version} (registered at seq {seq}), and this program "
            f"knows {registry.newest(event_type)}: use the release that wrote it, or a newer one"
        )
    if registered != schema_hash(kind):
        raise StateMismatch(
            f"this chain has {event_type} of schema version {version} with hash {registered} (registered at seq "
            f"{seq}), and the fields that this program knows have {schema_hash(kind)}: it would read other events out "
            "of the same bytes; use the release that wrote it, and verify"
        )
