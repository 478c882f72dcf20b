"""
Write a report as lines for a terminal.
"""

from __future__ import annotations

from ledger.errors import plain
from verifier.forms.cleaning import moment
from verifier.forms.sentences import amount, pace
from verifier.report import Ended, Outcome, Report


def lines(outcome: Outcome) -> str:
    """
    Return the outcome as lines of text.
    """
    if isinstance(outcome, Ended):
        return f"{outcome.verdict.upper()}: {plain(outcome.message)}\n"
    return "".join(f"{plain(line)}\n" for line in _lines(outcome))


def _lines(report: Report) -> list[str]:
    found = [f"{report.verdict.upper()}: chain {report.origin}, {amount(report)}, {pace(report)}"]
    if "hash" in report.head:
        found.append(f"head {report.head['seq']} {report.head['hash']} ({report.region_mode})")
    own, following = report.split()
    found += [f"  {finding.sentence()}" for finding in own]
    if following:
        found.append(f"  and {len(following)} that may only follow from event {following[0].after}, which is missing "
                     "or not known; --format json lists them")  # fmt: skip
    if report.findings:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.by_kind().items()))
        found.append(
            f"findings: {len(report.findings)} ({kinds}); the last event before them is {report.last_good_seq}"
        )
    checkpoints = [
        f"{seen.size} {'accepted' if seen.accepted else 'not accepted'}"
        + "".join(f", {who.name} at {moment(who.seconds)}" for who in seen.cosigned)
        for seen in report.checkpoints
    ]
    for title, said in (
        ("proven", report.proven), ("on whose word", report.trusted), ("checkpoints", checkpoints),
        ("checked", report.covered), ("not checked", report.not_covered),
        ("what only this region says of itself", report.vouched),
    ):  # fmt: skip
        if said:
            found += [f"{title}:", *(f"  - {line}" for line in said)]
    return found
