"""
Say what a verification that goes on for ever has seen, as Prometheus reads it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from ledger.sealing.serving import Reply
from verifier.forms.cleaning import moment
from verifier.forms.sentences import counted
from verifier.report import BROKEN, Report

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX: Final = "tradeledger_verify_"
_HELP: Final = {
    "runs_total": ("counter", "Verifications that ended, by verdict."),
    "findings": ("gauge", "Findings of the newest verification that found any, by class."),
    "verified_seq": ("gauge", "The last event up to which nothing was found."),
    "last_success_timestamp_seconds": ("gauge", "When a verification last found nothing, in seconds since 1970."),
    "duration_seconds": ("gauge", "How long the newest verification took."),
    "up": ("gauge", "Whether the newest verification could read the database."),
    "round_completed_timestamp_seconds": ("gauge", "When all of the chain had last been read again."),
    "round_next_seq": ("gauge", "The event with which the reading of old events goes on."),
}


class Seen(msgspec.Struct):
    """
    What verifications of one mode have seen so far.

    A rolling check has a place too: with which event it goes on, and when it was last through (seconds since 1970). It
    has no `verified_seq`, since it reads one stretch after another.
    """

    mode: str
    runs: Counter[str] = msgspec.field(default_factory=Counter)
    findings: Counter[str] = msgspec.field(default_factory=Counter)
    verified_seq: int | None = 0
    succeeded_at: float = 0.0
    seconds: float = 0.0
    up: bool = False
    next_seq: int | None = None
    completed_at: float | None = None

    def take(self, report: Report, now: float) -> None:
        """
        Take in a report that was made at *now*, in seconds since 1970.
        """
        self.runs[report.verdict] += 1
        self.seconds, self.up = report.seconds, True
        if report.findings:
            # They stay until somebody has looked: the process may be told to go on.
            self.findings = report.by_kind()
        else:
            self.succeeded_at = now
            if self.verified_seq is not None:
                self.verified_seq = report.last_good_seq

    def fail(self, verdict: str) -> None:
        """
        Note that nothing could be verified.
        """
        self.runs[verdict] += 1
        self.up = False

    def sentence(self) -> str:
        """
        Return how far it came without a finding, and when.
        """
        if not self.succeeded_at and self.runs[BROKEN]:
            return f"{self.mode}: {counted(self.runs.total(), 'verification')}, none without a finding"
        if not self.succeeded_at:
            return f"{self.mode}: nothing was verified"
        upto = "" if self.verified_seq is None else f", up to event {self.verified_seq}"
        ended = f"the newest that found nothing ended at {moment(int(self.succeeded_at))}{upto}"
        return f"{self.mode}: {counted(self.runs.total(), 'verification')}; {ended}"

    def samples(self, name: str) -> list[tuple[str, float]]:
        """
        Return the labels and values of one metric.
        """
        mode = f'mode="{self.mode}"'
        match name:
            case "runs_total":
                return [(f'{mode},verdict="{verdict}"', count) for verdict, count in sorted(self.runs.items())]
            case "findings":
                return [(f'{mode},class="{kind}"', count) for kind, count in sorted(self.findings.items())]
        single: dict[str, float | None] = {
            "verified_seq": self.verified_seq, "last_success_timestamp_seconds": self.succeeded_at,
            "duration_seconds": self.seconds, "up": int(self.up),
            "round_completed_timestamp_seconds": self.completed_at, "round_next_seq": self.next_seq,
        }  # fmt: skip
        value = single[name]
        return [] if value is None else [(mode, value)]


def text(seen: Sequence[Seen]) -> str:
    """
    Return all that was seen in Prometheus' text format.
    """
    lines = []
    for name, (kind, says) in _HELP.items():
        lines += [f"# HELP {_PREFIX}{name} {says}", f"# TYPE {_PREFIX}{name} {kind}"]
        lines += [f"{_PREFIX}{name}{{{labels}}} {value}" for each in seen for labels, value in each.samples(name)]
    return "\n".join(lines) + "\n"


def respond(seen: Sequence[Seen], method: str, path: str) -> Reply:
    """
    Answer an HTTP request for the metrics.
    """
    if method != "GET" or path.partition("?")[0] != "/metrics":
        return Reply(404, b"the metrics are at /metrics\n")
    return Reply(200, text(seen).encode(), CONTENT_TYPE)
