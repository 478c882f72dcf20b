"""
Write a report as one JSON object, for programs: docs/FORMAT.md lists its members.

Beside what the report holds, each finding says what follows from its class and place: whether it makes doubtful what
comes after it, and where a good copy is.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ledger.version import PROGRAM
from verifier import meaning
from verifier.absent import plain
from verifier.forms.cleaning import moment
from verifier.report import Outcome, Report


def objects(outcome: Outcome, checked_at: int) -> str:
    """
    Return the outcome as JSON; *checked_at* is in seconds since 1970.
    """
    made: dict[str, Any] = msgspec.to_builtins(outcome, enc_hook=plain)
    made["checked_at"] = moment(checked_at)
    made["program"] = PROGRAM
    if isinstance(outcome, Report):
        for finding, written in zip(outcome.findings, made["findings"], strict=True):
            written["taints_what_follows"] = meaning.taints(finding)
            written["repair_sources"] = meaning.sources(finding)
    try:
        encoded = msgspec.json.encode(made)
    except UnicodeEncodeError:
        encoded = msgspec.json.encode(_without_surrogates(made))
    return msgspec.json.format(encoded, indent=1).decode() + "\n"


def _without_surrogates(value: Any) -> Any:
    """Return *value* with what no UTF-8 can say, such as a byte of a file's name that is none, as its escape."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(part) for part in value]
    return value
