"""
Write a report as Markdown, for a ticket.

What the ledger holds stands in code spans, which know no markup, no links and no mentions; a span's fence is longer
than any run of backticks inside it. There are no tables: a bar in hostile text would end a cell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from ledger.errors import plain
from ledger.version import PROGRAM
from verifier import meaning
from verifier.forms.cleaning import moment
from verifier.forms.sentences import DOUBTFUL, LATER, amount, follows, pace, subject, verdict
from verifier.report import Ended, Finding, Outcome, Report, short

_TICKS = re.compile("`+")


def markdown(outcome: Outcome, checked_at: int) -> str:
    """
    Return the outcome as Markdown; *checked_at* is in seconds since 1970.
    """
    if isinstance(outcome, Ended):
        made = [f"# {outcome.verdict.upper()}", "", code(outcome.message), "", f"- code: {code(outcome.code)}"]
        return "\n".join([*made, f"- tried at: {moment(checked_at)}, by {PROGRAM}", ""])
    return "\n".join([*_head(outcome, checked_at), *_findings(outcome), *_statements(outcome), ""])


def code(text: str) -> str:
    """
    Return *text* as a code span, which shows it as it is.
    """
    shown = plain(text)
    fence = "`" * (1 + max((len(run) for run in _TICKS.findall(shown)), default=0))
    # Without its spaces a backtick at either end would be the fence's; of spaces alone no span is made.
    return f"{fence} {shown or '(nothing)'} {fence}" if "`" in shown or not shown.strip() else f"{fence}{shown}{fence}"


def _head(report: Report, checked_at: int) -> list[str]:
    made = [
        f"# {report.verdict.upper()}: {code(report.origin)}", "", verdict(report), "",
        f"- checked: {code(subject(report))}, {amount(report)}, in {pace(report)}",
        f"- at: {moment(checked_at)}, by {PROGRAM}",
    ]  # fmt: skip
    made += [f"- {name}: {code(str(value))}" for name, value in report.head.items()]
    for seen in report.checkpoints:
        who = "; ".join(f"{code(by.name)} at {moment(by.seconds)}" for by in seen.cosigned) or "nobody"
        made.append(f"- checkpoint {seen.size} ({'accepted' if seen.accepted else 'not accepted'}), cosigned by: {who}")
    return made


def _findings(report: Report) -> Iterator[str]:
    own, following = report.split()
    ordered = sorted(own, key=lambda finding: finding.kind)
    for kind, found in groupby(ordered, key=lambda finding: finding.kind):
        said = meaning.meaning(kind)
        yield from ("", f"## {said.title} ({code(kind)})", "", f"{said.means} {said.advice}", "")
        for finding in found:
            copies = ", ".join(meaning.sources(finding)) or "nowhere"
            yield from _values(finding, code(short(finding.place())))
            yield f"  - {'what follows is doubtful too' if meaning.taints(finding) else 'stands by itself'}; "\
                  f"good copy: {copies}"  # fmt: skip
    if following:
        yield from ("", f"## {DOUBTFUL}", "", f"{follows(following)}. {LATER}", "")
        for finding in following:
            yield from _values(finding, f"{code(finding.kind)}: {code(short(finding.place()))}")


def _values(finding: Finding, where: str) -> Iterator[str]:
    yield from (f"- {where}", f"  - expected: {code(short(finding.expected))}")
    yield f"  - found: {code(short(finding.actual))}"


def _statements(report: Report) -> Iterator[str]:
    for title, said in (
        ("Proven", report.proven), ("On whose word", report.trusted), ("Checked", report.covered),
        ("Not checked", report.not_covered), ("What only this region says of itself", report.vouched),
    ):  # fmt: skip
        if said:
            yield from ("", f"## {title}", "")
            # What is said may name what the ledger holds: logins, files, reasons.
            yield from (f"- {code(line)}" if _is_hostile(line) else f"- {line}" for line in said)


def _is_hostile(line: str) -> bool:
    """Whether a line has more than words and names such as source_logins, whose bars mean nothing inside a word."""
    return not re.fullmatch(r"(?:[A-Za-z0-9 ,.;:()'%-]|(?<=[a-z])_(?=[a-z]))*", line)
