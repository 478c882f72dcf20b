"""
Write a report as JUnit's XML, which continuous integration shows as tests.

Two suites: the findings, a failing test a class, or one that passes where nothing is wrong; and the coverage, a test
for each statement of what was checked, and a skipped one for each of what was not. A statement that passes was
checked; whether something was wrong there, the first suite says. What could not be verified is an error, never a pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ledger.errors import plain
from ledger.version import PROGRAM as RELEASE
from verifier import meaning
from verifier.forms.cleaning import moment
from verifier.forms.sentences import counted, verdict
from verifier.report import BROKEN, Ended, Finding, Outcome, Report

PROGRAM = "tradeledger-verify"


def junit(outcome: Outcome, checked_at: int) -> str:
    """
    Return the outcome as XML; *checked_at* is in seconds since 1970.
    """
    seconds = 0.0 if isinstance(outcome, Ended) else outcome.seconds
    root = Element("testsuites", name=PROGRAM)
    if isinstance(outcome, Ended):
        _ended(_suite(root, "verification", checked_at, seconds), outcome)
    else:
        _findings(_suite(root, "findings", checked_at, seconds), outcome)
        _coverage(_suite(root, "coverage", checked_at, 0.0), outcome)
    suites = list(root)
    for suite in suites:
        _count(suite, suite.findall("testcase"))
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    root.set("time", f"{seconds:.3f}")
    ElementTree.indent(root)
    return f"<?xml version='1.0' encoding='utf-8'?>\n{ElementTree.tostring(root, encoding='unicode')}\n"


def _suite(root: Element, name: str, checked_at: int, seconds: float) -> Element:
    when = moment(checked_at).removesuffix(" UTC").replace(" ", "T")
    return SubElement(root, "testsuite", name=name, timestamp=when, time=f"{seconds:.3f}")


def _count(suite: Element, cases: Sequence[Element]) -> None:
    suite.set("tests", str(len(cases)))
    for name, child in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(sum(case.find(child) is not None for case in cases)))


def _case(suite: Element, name: str) -> Element:
    kind = f"{PROGRAM}.{suite.get('name')}"
    return SubElement(suite, "testcase", classname=kind, name=plain(name), time="0.000")


def _ended(suite: Element, outcome: Ended) -> None:
    kind = "failure" if outcome.verdict == BROKEN else "error"
    said = SubElement(_case(suite, outcome.verdict), kind, message=plain(outcome.message), type=plain(outcome.code))
    said.text = plain(verdict(outcome))


def _findings(suite: Element, report: Report) -> None:
    said = {
        "program": RELEASE, "verdict": report.verdict, "origin": report.origin, "region_mode": report.region_mode,
        "events": str(report.events), "last_good_seq": str(report.last_good_seq),
        **{f"head.{name}": str(value) for name, value in report.head.items()},
    }  # fmt: skip
    properties = SubElement(suite, "properties")
    for name, value in said.items():
        SubElement(properties, "property", name=plain(name), value=plain(value))
    if not report.findings:
        _case(suite, "nothing is wrong")
    for kind, count in sorted(report.by_kind().items()):
        own = sum(finding.kind == kind for finding in report.split()[0])
        doubtful = f"{counted(count - own, 'finding')} that may only follow from another" if count > own else ""
        message = f"{counted(own, 'finding')}: {meaning.meaning(kind).title}" if own else doubtful
        message += f", and {doubtful}" if own and doubtful else ""
        failure = SubElement(_case(suite, kind), "failure", message=plain(message), type=plain(kind))
        failure.text = "\n".join(plain(_line(finding)) for finding in report.findings if finding.kind == kind)


def _line(finding: Finding) -> str:
    if finding.after is not None:
        return f"{finding.sentence()} (doubtful itself: may only follow from event {finding.after})"
    copies = ", ".join(meaning.sources(finding)) or "nowhere"
    follows = "; what follows is doubtful" if meaning.taints(finding) else ""
    return f"{finding.sentence()} (good copy: {copies}{follows})"


def _coverage(suite: Element, report: Report) -> None:
    for statement in report.covered:
        _case(suite, statement)
    for statement in report.not_covered:
        SubElement(_case(suite, statement), "skipped", message="not checked")
