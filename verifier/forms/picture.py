"""
Draw a chain as a bar from its genesis to its head, with checkpoints below it and findings above.

Plain SVG, made of numbers and of text that is escaped: what is drawn is where things are, and the page says what they
are. Findings lie so close in a long chain that they are gathered by place; a mark says how many it stands for.
"""

from __future__ import annotations

import re
from collections import Counter
from html import escape
from typing import Final

from ledger.errors import plain
from verifier.forms.cleaning import moment
from verifier.forms.sentences import vouched
from verifier.report import VERIFIED, Finding, Report, SeenCheckpoint

WIDTH: Final = 1000
_LEFT, _RIGHT = 30, 970
_TOP, _HEIGHT = 58, 26
LEAST: Final = 3
"""The least width of what is drawn."""

_PLACES: Final = 60
"""Findings are gathered into so many places along the bar."""
CHECKPOINTS: Final = 8
"""So many checkpoints are drawn, the newest among them; a year of them would be a wall."""

_SEQ: Final = re.compile(r"events? ([0-9]{1,19})(?: to ([0-9]{1,19}))?")


def drawn(report: Report) -> str:
    """
    Return the picture as an SVG element.
    """
    total = _total(report)
    parts = [_bar(report, total), *_marks(report.findings, total), *_checkpoints(report.checkpoints, total)]
    told = f"The chain of {plain(report.origin)}: {report.events:,} events, {len(report.findings)} findings"
    return f'<svg viewBox="0 0 {WIDTH} 170" role="img" aria-label="{escape(told)}">{"".join(parts)}</svg>'


def _total(report: Report) -> int:
    """Return how many events the bar stands for: all that there are, or that something says there were."""
    head = report.head.get("seq", 0)
    seqs = [report.events, head if isinstance(head, int) else 0, *(seen.size for seen in report.checkpoints)]
    for finding in report.findings:
        seqs.append(finding.seq or 0)
        if finding.kind == "TRUNCATED" and (match := _SEQ.fullmatch(finding.expected)):
            seqs.append(int(match[2] or match[1]))
    return max(1, *seqs)


def _x(seq: int, total: int) -> float:
    return round(_LEFT + (_RIGHT - _LEFT) * min(max(seq, 0), total) / total, 1)


def _text(x: float, y: int, text: str, anchor: str = "middle", kind: str = "") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" class="{kind}">{escape(plain(text))}</text>'


def _bar(report: Report, total: int) -> str:
    seqs = [finding.seq - 1 for finding in report.findings if finding.seq is not None]
    whole = total if report.verdict == VERIFIED else min(seqs, default=0) if report.spans else report.last_good_seq
    good = min(whole, vouched(report))
    parts = [f'<rect x="{_LEFT}" y="{_TOP}" width="{_RIGHT - _LEFT}" height="{_HEIGHT}" class="gone"/>']
    for first, last in report.spans if report.spans is not None else [(1, report.events)]:
        parts += [_span(first, min(last, good), total, "good"), _span(max(first, good + 1), last, total, "doubt")]
    parts += [
        _text(_LEFT, _TOP + _HEIGHT + 16, "genesis", "start"),
        _text(_RIGHT, _TOP + _HEIGHT + 16, f"event {total:,}", "end"),
    ]
    if 0 < whole < total and report.last_good_seq:
        end, left = _x(whole, total), whole < total / 2
        parts.append(_text(end + (5 if left else -5), _TOP + 17, f"whole up to {whole:,}", "start" if left else "end"))
    return "".join(parts)


def _span(first: int, last: int, total: int, kind: str) -> str:
    """Return the part of the bar from one seq to another; a single event of millions can still be seen."""
    if last < first:
        return ""
    start = _x(first - 1, total)
    width = max(LEAST, round(_x(last, total) - start, 1))
    return f'<rect x="{min(start, _RIGHT - LEAST)}" y="{_TOP}" width="{width}" height="{_HEIGHT}" class="{kind}"/>'


def _marks(findings: list[Finding], total: int) -> list[str]:
    places: Counter[int] = Counter()
    kinds: dict[int, list[str]] = {}
    first: dict[int, int] = {}
    for finding in findings:
        if finding.seq is not None:
            place = (min(finding.seq, total) - 1) * _PLACES // total
            places[place] += 1
            kinds.setdefault(place, []).append(finding.kind)
            first[place] = min(first.get(place, finding.seq), finding.seq)
    parts = []
    for place, count in sorted(places.items()):
        x = _x(first[place], total)
        what = ", ".join(sorted(set(kinds[place])))
        parts.append(
            f'<g class="mark"><title>{escape(plain(f"{count} from event {first[place]}: {what}"))}</title>'
            f'<path d="M{x} {_TOP + 4} l-7 -16 h14 z"/>{_text(x, _TOP - 18, str(count))}</g>'
        )
    beside = len(findings) - sum(places.values())
    if beside:
        parts.append(_text(_LEFT, 14, f"▼ {beside:,} beside the events: in books, guards or files", "start", "mark"))
    return parts


def _checkpoints(checkpoints: list[SeenCheckpoint], total: int) -> list[str]:
    ordered = sorted(checkpoints, key=lambda seen: seen.size)
    step = -(-len(ordered) // CHECKPOINTS) or 1
    # From the newest back, so that it is always among them.
    shown = ordered[::-1][::step][::-1]
    parts = []
    for number, seen in enumerate(shown):
        x, y = _x(seen.size, total), _TOP + _HEIGHT
        who = ", ".join(f"{by.name} at {moment(by.seconds)}" for by in seen.cosigned) or "nobody"
        title = f"checkpoint of {seen.size:,} events, root {seen.root}; cosigned by {who}"
        kind = "seal" if seen.accepted else "seal bad"
        depth = y + 28 + 14 * (number % 3)
        label = f"{seen.size:,} · {len(seen.cosigned)} cosigned" if seen.accepted else f"{seen.size:,} · not accepted"
        anchor = "start" if x < WIDTH / 3 else "end" if x > WIDTH * 2 / 3 else "middle"
        parts.append(
            f'<g class="{kind}"><title>{escape(plain(title))}</title><path d="M{x} {y} V{depth}"/>'
            f'<circle cx="{x}" cy="{y}" r="5"/>{_text(x, depth + 11, label, anchor, "small")}</g>'
        )
    if len(shown) < len(ordered):
        parts.append(_text(_LEFT, 164, f"{len(ordered) - len(shown):,} more checkpoints are not drawn", "start",
                           "small"))  # fmt: skip
    return parts
