"""
Write a report as one page that anybody can read, without a program and without a network.

The page holds everything it shows: no script, no font, no picture from elsewhere, and a policy that forbids them, so
that nothing in it runs even if a text of the ledger were not escaped. It leads with the verdict in one sentence, says
each finding in plain words with what to do, and lists what was not checked as prominently as what was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from typing import Final

from ledger.errors import plain
from ledger.version import PROGRAM
from verifier import meaning
from verifier.forms.cleaning import moment
from verifier.forms.picture import drawn
from verifier.forms.sentences import DOUBTFUL, LATER, amount, counted, follows, subject, verdict
from verifier.report import BROKEN, VERIFIED, Ended, Finding, Outcome, Report, SeenCheckpoint, short

OPENED: Final = 20
"""Findings of a class that are shown at once; more are there when they are opened."""

_STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;color:#1b1f24;background:#fff;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.2rem;margin-top:2.2rem;border-bottom:1px solid #d0d7de}h3{margin-bottom:0}
.verdict{padding:1rem 1.2rem;border-left:.6rem solid;border-radius:.3rem;margin:1rem 0;font-size:1.15rem}
.verified{background:#e6f4ea;border-color:#1a7f37}.broken{background:#fdeaea;border-color:#b3261e}
.unknown{background:#fff4d6;border-color:#9a6700}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;
border-bottom:1px solid #e3e6ea}td{overflow-wrap:anywhere}code{font:.85em ui-monospace,monospace;overflow-wrap:anywhere}
.facts th{width:13rem;font-weight:600}.small{font-size:.85rem;color:#57606a}
svg{width:100%;height:auto;margin:.5rem 0}svg text{font:12px system-ui,sans-serif;fill:#1b1f24}
svg .small{font-size:11px;fill:#57606a}.good{fill:#58a66c}.doubt{fill:#e8c468}.gone{fill:#fff;stroke:#8c959f;
stroke-dasharray:4 3}.mark path{fill:#b3261e}svg .mark text,svg text.mark{fill:#b3261e;font-weight:600}
.seal path{stroke:#3b5b92}.seal circle{fill:#3b5b92}.bad path{stroke:#b3261e}.bad circle{fill:#fff;stroke:#b3261e;
stroke-width:2}@media print{details{display:block}body{margin:0}}
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_WORDS: Final = (
    ("event", "one thing that happened and was recorded: an order, a trade, a payment. It is never changed."),
    ("chain", "all events in the order they were recorded, each sealed together with the one before it."),
    ("checkpoint", "a signed statement of what the whole chain was at some moment."),
    ("witness", "somebody outside who keeps checkpoints and refuses one that contradicts an earlier one."),
    ("root", "a number that stands for all events up to a checkpoint; change any event and it is another."),
)


def page(outcome: Outcome, checked_at: int) -> str:
    """
    Return the outcome as a page of HTML; *checked_at* is in seconds since 1970.
    """
    if isinstance(outcome, Ended):
        title, body = outcome.verdict, _ended(outcome, checked_at)
    else:
        title, body = f"{outcome.verdict}: {outcome.origin}", _whole(outcome, checked_at)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer">'
        f"<title>{_e(title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _e(text: str) -> str:
    """Return *text* so that it stands in the page as it is."""
    return escape(plain(text))


def _code(text: str) -> str:
    return f"<code>{_e(text) or '(nothing)'}</code>"


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    return (
        "<table class=facts>"
        + "".join(f"<tr><th>{_e(name)}</th><td>{html}</td></tr>" for name, html in rows)
        + ("</table>")
    )


def _verdict(outcome: Outcome) -> str:
    kinds = {VERIFIED: ("verified", "✔ Verified"), BROKEN: ("broken", "✘ Something is wrong")}
    kind, word = kinds.get(outcome.verdict, ("unknown", "? Could not verify"))
    return f'<div class="verdict {kind}"><strong>{word}</strong><br>{_e(verdict(outcome))}</div>'


def _ended(outcome: Ended, checked_at: int) -> str:
    when = f"{_e(moment(checked_at))}, by {_e(PROGRAM)}"
    facts = (("Tried at", when), ("Reason", _e(outcome.message)), ("Code", _code(outcome.code)))
    what = (
        "Everything else."
        if outcome.verdict == BROKEN
        else ("Everything. This is not a statement that the ledger is good or bad.")
    )
    nothing = f"<h2>What was not checked</h2><p>{what}</p>"
    return f"<h1>Verification of a trade ledger</h1>{_verdict(outcome)}{_facts(facts)}{nothing}"


def _whole(report: Report, checked_at: int) -> str:
    facts = [
        ("What was checked", f"{_e(subject(report))}: {_e(amount(report))}"),
        ("When", f"{_e(moment(checked_at))}, in {report.seconds} s, by {_e(PROGRAM)}"),
        *((f"Head: {name}", _code(str(value))) for name, value in report.head.items()),
    ]
    parts = [
        f"<h1>Verification of {_e(report.origin)}</h1>", _verdict(report), _facts(facts),
        _statements("What is thereby proven", report.proven),
        "<h2>The chain</h2>", drawn(report),
        '<p class="small">Green: read, and as it was recorded. Yellow: read, and something before it is wrong, or '
        "nobody outside is known to have seen it. Empty: not read, or gone. Red marks are findings, with how many; "
        "blue dots are checkpoints.</p>",
        _trust(report), _checkpoints(report.checkpoints),
    ]  # fmt: skip
    if report.findings:
        parts += ["<h2>What is wrong, and what to do</h2>", *_findings(report)]
    parts += [
        _statements("What was not checked", report.not_covered),
        _statements("What was checked", report.covered),
        _statements("What only this region says of itself", report.vouched),
        "<h2>Words</h2>", _facts((word, _e(said)) for word, said in _WORDS),
    ]  # fmt: skip
    return "\n".join(part for part in parts if part)


def _statements(title: str, said: Sequence[str]) -> str:
    return f"<h2>{_e(title)}</h2><ul>{''.join(f'<li>{_e(line)}</li>' for line in said)}</ul>" if said else ""


def _trust(report: Report) -> str:
    said = report.trusted or ["what was read itself: no policy was given, so no signature of anybody was asked for"]
    return _statements("On whose word this rests", said)


def _checkpoints(checkpoints: Sequence[SeenCheckpoint]) -> str:
    if not checkpoints:
        return ""
    newest = sorted(checkpoints, key=lambda seen: -seen.size)[:OPENED]
    rows = "".join(
        f"<tr><td>{seen.size:,}</td><td>{'yes' if seen.accepted else 'no'}</td><td>{_who(seen)}</td>"
        f"<td>{_code(seen.root)}</td></tr>"
        for seen in newest
    )
    more = len(checkpoints) - len(newest)
    rest = f'<p class="small">and {more:,} older ones</p>' if more else ""
    return (
        "<h2>Checkpoints</h2><table><tr><th>events</th><th>accepted</th><th>cosigned by</th><th>root</th></tr>"
        f"{rows}</table>{rest}"
    )


def _who(seen: SeenCheckpoint) -> str:
    return "<br>".join(f"{_e(by.name)}, {_e(moment(by.seconds))}" for by in seen.cosigned) or "nobody"


def _findings(report: Report) -> Iterable[str]:
    own, following = report.split()
    for kind, group in groupby(sorted(own, key=lambda finding: finding.kind), key=lambda finding: finding.kind):
        found = list(group)
        said = meaning.meaning(kind)
        yield f"<h3>{_e(said.title)}</h3>"
        yield (
            f'<p class="small">{_code(kind)}, {_e(counted(len(found), "finding"))}</p>'
            f"<p>{_e(said.means)} <strong>What to do:</strong> {_e(said.advice)}</p>"
        )
        each = len({meaning.sources(finding) for finding in found}) > 1
        if not each:
            yield f"<p><strong>Where a good copy is:</strong> {_copies(found[0])}.</p>"
        names = ("where", "should be", "is", "what follows", *(("a good copy",) if each else ()))
        yield _opened(names, [_row(finding, each) for finding in found])
    if following:
        yield f"<h3>{DOUBTFUL}</h3><p>{_e(follows(following))}. {LATER}</p>"
        yield _opened(("class", "where", "should be", "is"),
                      [_cells(_code(finding.kind), *_values(finding)) for finding in following])  # fmt: skip


def _opened(names: Sequence[str], rows: Sequence[str]) -> str:
    """Return rows as a table, the first of them at once and the others where they are opened."""
    head = "".join(f"<th>{name}</th>" for name in names)
    first, more = (f"<table><tr>{head}</tr>{''.join(part)}</table>" for part in (rows[:OPENED], rows[OPENED:]))
    rest = len(rows) - OPENED
    return f"{first}\n<details><summary>{rest:,} more</summary>{more}</details>" if rest > 0 else first


def _copies(finding: Finding) -> str:
    return "; ".join(_e(meaning.SOURCES[source]) for source in meaning.sources(finding)) or "no copy mends this"


def _row(finding: Finding, each: bool) -> str:
    """Return a finding as a row, with where a good copy is where that differs by *each* of them."""
    follows_it = "doubtful too" if meaning.taints(finding) else "not concerned"
    return _cells(*_values(finding), follows_it, *([_copies(finding)] if each else []))


def _values(finding: Finding) -> tuple[str, str, str]:
    return _e(short(finding.place())), _code(short(finding.expected)), _code(short(finding.actual))


def _cells(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
