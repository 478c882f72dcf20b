"""
Write docs/TAMPER.md: what cannot be noticed first, then every way by its threat, with who noticed it and how soon.

It is made of the declarations and the report alone, so that it says nothing that was not done.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from tests.tamper.modes import MODES
from tests.tamper.way import Way

THREATS: Final = {
    1: "an invalid or unbalanced event, a request twice", 2: "a concurrent fork", 3: "bit rot",
    4: "UPDATE, DELETE", 5: "triggers off, edit, triggers on", 6: "only columns or balances edited",
    7: "all rows rewritten, chain and tree", 8: "the same with a stolen signing key", 9: "a forged checkpoint",
    10: "an altered or old copy", 11: "the topic in hostile hands", 12: "the tail cut off",
    13: "an old backup put back", 14: "a split view", 15: "the whole ledger swapped or deleted",
    16: "redaction to hide", 17: "backdating, a false clock", 18: "a transaction applied in half",
    19: "code or schema drift", 20: "a lying verifier", 21: "one hash broken", 22: "an event never appended",
}  # fmt: skip
"""The threat table of the design, in a few words each."""

_HEAD: Final = """# Ways to tamper, and who notices

This page is made by `make tamper`, which does everything that it lists: two real PostgreSQL regions, a Kafka broker, a
signer, three witnesses, a replica that cosigns and an archive hold a history of more than a thousand events; a copy of
it is broken in one way, and the check that is expected to notice is run. `build/tamper/report.json` has the same as
data. It ends with status 1 where a check does not say what is promised here, or does not call the good world good. Add
a way in `tests/tamper/ways`.

{count} ways, {found} of them noticed, {cannot} kinds that nothing here can notice, in {edits} edits; the threats are
those of the design's table, and a way stands under the first of its own. Measured in {seconds:.0f} s of checks, on two
cores.

- **first noticed by**: the check that was run and had to say so, named as in [EVIDENCE.md](EVIDENCE.md); commands are
  those of `tradeledger-verify`, P is the auditor's own policy.
- **says**: the class of the finding and its place, or the code of the refusal. Checks named as **also** say the same,
  or another finding that `tests/tamper/ways` names for them; programs of other people end with a failure.
- **at the latest**: when it notices, where it runs as [EVIDENCE.md](EVIDENCE.md) says; then how long the check took.
- **blind** are checks that were run as well and saw nothing, as they do not look there: why one of them is not enough.

## What cannot be noticed

These are of {cannot} kinds. Each was done, and every check that is listed said that all is well; of a kind that is more
than one edit, each was done by itself too, which the table behind this one lists with the answers.
"""

_DONE: Final = """
### What was done of each kind, and what was answered

Status and verdict of each check; then what the report of `full --policy P` lists about it among what only the region
says of itself, for the auditor to judge. Where that is nothing, the report names it under what it did not check.

| what was done | of the kind | where | answers | listed in the report |
|---|---|---|---|---|"""


def cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def _place(row: dict[str, Any]) -> str:
    parts = []
    if row["table"]:
        key = "/".join(row["key"] or ())
        parts.append(f"{row['table']} {key if len(key) <= 40 else key[:37] + '…'}".strip())
    if row["seq"] is not None:
        parts.append(f"event {row['seq']}")
    if row["column"]:
        parts.append(f"`{row['column']}`")
    return ", ".join(parts)


def _commands(names: Sequence[str]) -> str:
    return ", ".join(MODES[name].command for name in names)


def _row(way: Way, row: dict[str, Any]) -> str:
    also = f" (also {_commands(way.also)})" if way.also else ""
    blind = f"; blind: {_commands(way.blind)}" if way.blind else ""
    place = _place(row)
    says = f"`{row['class']}`{': ' + place if place else ''}"
    threats = ", ".join(map(str, way.threats))
    cells = (
        way.name, f"{way.what} ({way.where})", threats, way.how, f"{row['command']}{also}{blind}", says,
        f"{row['latency']}; {row['seconds']:.1f} s",
    )  # fmt: skip
    return "| " + " | ".join(map(cell, cells)) + " |"


def _answers(answers: Sequence[dict[str, Any]]) -> str:
    """Return what the checks answered, those that answered alike together."""
    alike: dict[str, list[str]] = {}
    for one in answers:
        alike.setdefault(f"{one['status']} {one['said']}", []).append(one["command"])
    return "; ".join(f"{', '.join(commands)}: {said}" for said, commands in alike.items())


def _edits(name: str, row: dict[str, Any]) -> list[str]:
    """Return the lines of the edits of one kind."""
    return [
        "| " + " | ".join(map(cell, (
            one["what"], name, one["where"], _answers(one["answers"]), "; ".join(one["listed"]),
        ))) + " |"
        for one in row["edits"]
    ]  # fmt: skip


def page(ways: Sequence[Way], report: Sequence[dict[str, Any]]) -> str:
    """
    Return the page for these ways and what came of them, one object of the report for each.
    """
    rows = {row["name"]: row for row in report}
    cannot = [way for way in ways if way.mode is None]
    found = sum(row["found"] for row in report)
    lines = [_HEAD.format(
        count=len(ways), found=found, cannot=len(cannot),
        edits=sum(max(1, len(way.edits)) for way in cannot),
        seconds=sum(row["seconds"] for row in report),
    )]  # fmt: skip
    lines += [
        "| way | what was done | threat | by whom | said that all is well | what helps |",
        "|---|---|---|---|---|---|",
    ]
    for way in cannot:
        cells = (way.name, f"{way.what} ({way.where})", ", ".join(map(str, way.threats)), way.how,
                 _commands(way.blind), way.cannot)  # fmt: skip
        lines.append("| " + " | ".join(map(cell, cells)) + " |")
    lines.append(_DONE)
    for way in cannot:
        lines += _edits(way.name, rows[way.name])
    for number, name in THREATS.items():
        here = [way for way in ways if way.threats[0] == number and way.mode is not None]
        others = [
            way.name for way in ways if number in way.threats[1:] or (way.mode is None and way.threats[0] == number)
        ]
        lines += ["", f"## {number}: {name}", ""]
        if here:
            lines += ["| way | what was done | threats | by whom | first noticed by | says | at the latest |",
                      "|---|---|---|---|---|---|---|"]  # fmt: skip
            lines += [_row(way, rows[way.name]) for way in here]
        if others:
            lines += ["", f"See also: {', '.join(others)}."]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"
