"""
Check that each form says all of an outcome, can be read by its readers, and lets no text of a ledger be its markup.
"""

from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser
from xml.etree import ElementTree

import msgspec
import pytest

from ledger.errors import plain
from ledger.version import PROGRAM
from tests.verifier.forms.outcomes import AT, BROKEN_ONES, HOSTILE, OUTCOMES, hostile, report
from verifier import meaning
from verifier.forms import page, picture
from verifier.forms.cleaning import SECONDS_LIMIT, moment
from verifier.forms.form import Form, written
from verifier.forms.markdown import code
from verifier.forms.sentences import last_read, verdict
from verifier.report import Ended, Finding, Outcome, Report, SeenCheckpoint

TAGS = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "div", "strong", "br", "table", "tr", "th",
    "td", "p", "code", "ul", "li", "details", "summary", "svg", "g", "rect", "text", "path", "circle",
}  # fmt: skip
VOID = {"meta", "br"}
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "class", "viewbox", "role", "aria-label", "x", "y", "width",
    "height", "text-anchor", "d", "cx", "cy", "r",
}  # fmt: skip


class Page(HTMLParser):
    """Read a page strictly: known tags and attributes, everything closed that was opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        assert {name for name, _ in attrs} <= ATTRIBUTES
        assert all("url(" not in (value or "") for _, value in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        raise AssertionError("no page has comments")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def without_code(markdown: str) -> str:
    """Return Markdown without its code spans, by CommonMark's rule: a run of backticks up to the next of its length."""
    found, place = [], 0
    while (start := re.compile("`+").search(markdown, place)) is not None:
        end = re.compile(f"(?<!`){start[0]}(?!`)").search(markdown, start.end())
        assert end is not None, markdown[start.start() : start.start() + 80]
        assert "\n" not in markdown[start.end() : end.start()]
        found.append(markdown[place : start.start()] + "CODE")
        place = end.end()
    return "".join([*found, markdown[place:]])


ALL = [outcome for outcome, _ in OUTCOMES.values()] + [outcome for text in HOSTILE for outcome in hostile(text)]


@pytest.mark.parametrize("outcome", ALL, ids=range(len(ALL)))
def test_every_form_can_be_read_whatever_is_in_it(outcome: Outcome) -> None:
    """JSON is JSON, XML is XML, a page has only its own tags, Markdown only its own marks, a terminal no code."""
    said = json.loads(written(outcome, Form.JSON, AT))
    assert said["verdict"] == outcome.verdict
    root = ElementTree.fromstring(written(outcome, Form.JUNIT, AT))
    assert root.tag == "testsuites"
    html = written(outcome, Form.HTML, AT)
    Page(html)
    bare = without_code(written(outcome, Form.MARKDOWN, AT))
    assert re.fullmatch(r"(?:[A-Za-z0-9 \n#,.;:()%'/+-]|(?<=[a-z])_(?=[a-z]))*", bare)
    assert not re.search(r"\]\(|://|<|&", bare)
    for form in (Form.TABLE, Form.MARKDOWN, Form.JUNIT, Form.HTML):
        text = written(outcome, form, AT)
        assert all(line.isprintable() for line in text.split("\n")), form


@pytest.mark.parametrize("text", [text for text in HOSTILE if 1 < len(text) < 160])
def test_hostile_text_is_shown_and_not_swallowed(text: str) -> None:
    """Whoever reads sees what stands there, with what does not print written as its escape."""
    outcome = hostile(text)[0]
    shown = plain(text)
    assert shown in "".join(Page(written(outcome, Form.HTML, AT)).text)
    assert shown in written(outcome, Form.MARKDOWN, AT)
    assert shown in written(outcome, Form.TABLE, AT)
    failures = ElementTree.fromstring(written(outcome, Form.JUNIT, AT)).iter("failure")
    assert any(shown in (failure.text or "") for failure in failures)
    exact = json.loads(written(outcome, Form.JSON, AT))["findings"][0]["actual"]
    assert exact == text.encode("utf-8", "backslashreplace").decode()


def test_what_prints_stays_as_it_is_beside_what_does_not() -> None:
    """Letters of any alphabet, and the backslash: what does not print alone is an escape."""
    assert plain("Zoë \\ 東京\t\x1b[2J\u202e\ud800") == "Zoë \\ 東京\\t\\x1b[2J\\u202e\\ud800"


def test_the_json_of_a_finding_says_what_follows_and_where_a_good_copy_is() -> None:
    """Beside all that it held before: the report can still be read as one."""
    text = written(report(*BROKEN_ONES), Form.JSON, AT)
    said = json.loads(text)
    assert [finding["taints_what_follows"] for finding in said["findings"]] == [False, True, False, True, True]
    assert [finding["repair_sources"][0] for finding in said["findings"]] == ["replica"] * 2 + ["replay"] + [
        "replica"
    ] * 2
    assert (said["schema_version"], said["checked_at"]) == (1, "2023-11-14 22:13:20 UTC")
    assert said["program"] == PROGRAM
    assert msgspec.json.decode(text, type=Report) == report(*BROKEN_ONES)


def test_junit_counts_what_it_shows() -> None:
    """A failing test a class, a passing one a statement that was covered, a skipped one for each that was not."""
    outcome = report(*BROKEN_ONES)
    root = ElementTree.fromstring(written(outcome, Form.JUNIT, AT))
    suites = {suite.get("name"): suite for suite in root}
    assert [case.get("name") for case in suites["findings"].iter("testcase")] == sorted(outcome.by_kind())
    assert (suites["findings"].get("failures"), suites["findings"].get("tests")) == ("4", "4")
    assert suites["coverage"].get("skipped") == str(len(outcome.not_covered))
    assert suites["coverage"].get("tests") == str(len(outcome.not_covered) + len(outcome.covered))
    assert (root.get("failures"), root.get("errors")) == ("4", "0")
    both = next(case for case in suites["findings"].iter("testcase") if case.get("name") == "BYTES_MODIFIED")
    assert len((both.findtext("failure") or "").splitlines()) == 2
    good = ElementTree.fromstring(written(report(), Form.JUNIT, AT))
    assert (good.get("failures"), good.get("errors")) == ("0", "0")
    for name in ("could not verify", "interrupted", "fault"):
        bad = ElementTree.fromstring(written(OUTCOMES[name][0], Form.JUNIT, AT))
        assert (bad.get("tests"), bad.get("errors")) == ("1", "1"), name


def test_junit_counts_apart_what_may_only_follow() -> None:
    """Within a class, as in the whole: what is wrong by itself is told first."""
    own = Finding("STATE_MISMATCH", "1", "2", seq=20)
    following = [Finding("STATE_MISMATCH", "1", "2", seq=seq, after=20) for seq in (21, 22)]
    title, doubtful = meaning.meaning("STATE_MISMATCH").title, "2 findings that may only follow from another"
    for findings, said in (
        ([own, *following], f"1 finding: {title}, and {doubtful}"), ([own], f"1 finding: {title}"),
        (following, doubtful),
    ):  # fmt: skip
        failure = ElementTree.fromstring(written(report(*findings), Form.JUNIT, AT)).find(".//failure")
        assert failure is not None
        assert failure.get("message") == said


@pytest.mark.parametrize("more", [0, 1, 2])
def test_a_page_has_no_more_rows_open_than_can_be_looked_through(more: int) -> None:
    """The others are counted, be it one."""
    made = page._opened(("n",), [f"<tr><td>{n}</td></tr>" for n in range(page.OPENED + more)])
    first, _, rest = made.partition("\n<details>")
    assert first.count("<tr><td>") == page.OPENED
    assert rest.count("<tr><td>") == more
    assert (f"<summary>{more} more</summary>" in rest) == (more > 0)


def test_people_read_the_verdict_each_finding_and_what_was_not_checked() -> None:
    """In page and Markdown: the sentence, every place and both values, what to do, what was not covered."""
    outcome = report(*BROKEN_ONES)
    for form in (Form.HTML, Form.MARKDOWN):
        text = written(outcome, form, AT)
        shown = "".join(Page(text).text) if form is Form.HTML else text
        assert (
            "4 things are wrong, of 3 kinds; 1 more may only follow from event 20, which is missing or not known. The "
            "first 8 events are as they were recorded."
        ) in shown
        for finding in outcome.findings:
            assert finding.place() in shown
            assert finding.expected in shown
        assert "fetch the event from a good copy" in shown
        assert "may only follow from event 20" in shown
        for line in outcome.not_covered:
            assert line in shown
        assert "w1" in shown
    good = "".join(Page(written(report(), Form.HTML, AT)).text)
    assert "Up to event 40 it is as it was recorded; nobody outside is known to have seen events 41 to 48 yet." in good
    ended = "".join(Page(written(Ended("could not verify", "x", "no server answers"), Form.HTML, AT)).text)
    assert "Nothing was verified, so nothing here may be relied on: no server answers." in ended


def test_what_may_only_follow_is_told_apart_and_nobody_is_told_to_mend_it() -> None:
    """No copy and no advice beside it, and no word that it stands by itself; where all follows, that is said alone."""
    follows = [Finding("COMMIT_MISMATCH", "1", "2", table="commits", key=(str(n),), after=20) for n in range(30)]
    receipt = Finding("ACK_MISMATCH", "a", "b", table="acknowledgements", key=("k",), column="hash", after=20)
    outcome = report(BROKEN_ONES[1], receipt, *follows)
    sentence = "1 thing is wrong, of 1 kind; 31 more may only follow from event 20, which is missing or not known."
    markdown, html = (written(outcome, form, AT) for form in (Form.MARKDOWN, Form.HTML))
    assert (sentence in markdown, sentence in html) == (True, True)
    for text, heading in ((markdown, "## What is doubtful itself"), (html, "<h3>What is doubtful itself</h3>")):
        own, _, rest = text.partition(heading)
        assert "good copy" in own
        assert not re.search("ACK_MISMATCH|COMMIT_MISMATCH", own)
        listed = rest.partition("\n## " if text is markdown else "<h2>")[0]
        assert (listed.count("COMMIT_MISMATCH"), listed.count("ACK_MISMATCH")) == (30, 1)
        assert not re.search("stands by itself|good copy|not concerned|advice|count on the receipt", listed)
    assert f"{31 - page.OPENED} more</summary>" in html
    cases = ElementTree.fromstring(written(outcome, Form.JUNIT, AT)).iter("failure")
    said = {failure.get("type"): failure for failure in cases}
    assert said["COMMIT_MISMATCH"].get("message") == "30 findings that may only follow from another"
    assert "good copy" not in (said["COMMIT_MISMATCH"].text or "")


OTHERS = "seen so much, since the checkpoint of 40 events is of others than these, or the policy refuses it: hold"


@pytest.mark.parametrize(("size", "said"), [(40, OTHERS), (8, "seen so much: hold")])
def test_a_checkpoint_of_other_events_is_said_to_be_why_nobody_has_seen_these(size: int, said: str) -> None:
    """Its cosigners have seen something, which the same page says: not these events, as far as is known."""
    outcome = report(*BROKEN_ONES)
    (seen,) = outcome.checkpoints
    outcome.checkpoints = [msgspec.structs.replace(seen, size=size, accepted=False)]
    assert said in written(outcome, Form.MARKDOWN, AT)


@pytest.mark.parametrize(
    ("size", "said"),
    [(40, "The first 8 events are as they were recorded."),
     (5, "The first 5 events are as they were recorded. Events 6 to 8 fit what is before, and nobody outside"),
     (7, "The first 7 events are as they were recorded. Event 8 fits what is before, and nobody outside"),
     (0, "not known. Events 1 to 8 fit what is before, and nobody outside is known to have seen so much: hold")],
)  # fmt: skip
def test_only_what_others_have_seen_is_said_to_be_as_it_was(size: int, said: str) -> None:
    """Whoever writes the newest events hashes them well: where books differ from them, the books may be right."""
    outcome = report(*BROKEN_ONES)
    (seen,) = outcome.checkpoints
    outcome.checkpoints = [msgspec.structs.replace(seen, size=size, accepted=size > 0)]
    assert said in written(outcome, Form.MARKDOWN, AT)
    page = written(outcome, Form.HTML, AT)
    assert green_of(page) == pytest.approx(min(size, 8) / picture._total(outcome), abs=0.001)


def green_of(page: str) -> float:
    """Return which part of the bar is green."""
    green = [float(width) for width in re.findall(r'width="([0-9.]+)" height="[0-9.]+" class="good"', page)]
    return sum(green) / float(re.findall(r'width="([0-9.]+)" height="[0-9.]+" class="gone"', page)[0])


@pytest.mark.parametrize(
    ("size", "said"),
    [(48, "Everything that was checked is as it was recorded: 48 events."),
     (46, "fits together: 48 events. Up to event 46 it is as it was recorded; nobody outside is known to have seen "
          "events 47 to 48 yet."),
     (47, "fits together: 48 events. Up to event 47 it is as it was recorded; nobody outside is known to have seen "
          "event 48 yet."),
     (0, "fits together: 48 events. Nobody outside is known to have seen it, so that a history which was rewritten as "
         "a whole would fit together too: give --policy, to a mode that takes it.")],
)  # fmt: skip
def test_what_nobody_outside_has_seen_is_not_green_though_nothing_is_wrong(size: int, said: str) -> None:
    """A history that was rewritten as a whole fits together as well."""
    outcome = report()
    (seen,) = outcome.checkpoints
    outcome.checkpoints = [msgspec.structs.replace(seen, size=size)] if size else []
    assert said in written(outcome, Form.MARKDOWN, AT)
    assert green_of(written(outcome, Form.HTML, AT)) == pytest.approx(size / 48, abs=0.001)


def test_the_last_event_that_was_read_is_the_heads_where_not_all_are_read_again() -> None:
    """A verification that goes on reads few events; others have to have seen up to the last of them."""
    outcome = report(checkpoints=[SeenCheckpoint(40, "ab" * 32)])
    outcome.events = 8
    assert verdict(outcome) == (
        "Everything that was checked fits together: 8 events. Up to event 40 it is as it was recorded; nobody outside "
        "is known to have seen events 41 to 48 yet."
    )
    assert last_read(outcome) == 48
    outcome.head = {"seq": "48"}
    assert last_read(outcome) == 8
    outcome.spans = [(1, 20), (41, 44)]
    assert last_read(outcome) == 44
    outcome.spans = []
    assert last_read(outcome) == 0


@pytest.mark.parametrize(
    ("mode", "spans", "said"),
    [("two copies", [], "Both agree in every hash that was compared, on 48 events."),
     ("primary", [], "What was asked of the head fits what others have seen: 40 events. Nobody outside is known to "
      "have seen events 41 to 48 yet."),
     ("primary", [(1, 20)], "Everything that was checked is as it was recorded: 48 events.")],
)  # fmt: skip
def test_a_verdict_says_what_its_mode_asked(mode: str, spans: list[tuple[int, int]], said: str) -> None:
    outcome = report(spans=spans)
    outcome.region_mode = mode
    assert said in written(outcome, Form.MARKDOWN, AT)


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_page_holds_all_that_it_shows(name: str) -> None:
    """No address of anything else is in it, and its policy would let nothing run and nothing be fetched."""
    text = written(OUTCOMES[name][0], Form.HTML, AT)
    assert "://" not in text
    assert "default-src 'none'; style-src 'unsafe-inline'" in text


def test_a_page_of_ten_thousand_findings_lists_them_all() -> None:
    """The first of a class at once, the others when they are opened."""
    findings = [
        Finding("BYTES_MODIFIED", f"before-{seq}", "after", seq=seq, column="actor") for seq in range(1, 10_001)
    ]
    outcome = report(*findings)
    outcome.events = 10_000
    text = written(outcome, Form.HTML, AT)
    assert text.count("<tr><td>event ") == 10_000
    first, _, rest = text.partition("<details>")
    assert (first.count("<tr><td>event "), "9,980 more" in rest) == (page.OPENED, True)


def test_the_picture_has_each_mark_where_it_belongs() -> None:
    """First event at the left end, last at the right, and a hundred at one place are one mark that says so."""
    outcome = report(*(Finding("BYTES_MODIFIED", "", "", seq=seq) for seq in (1, 48)))
    places = [float(x) for x in re.findall(r'<path d="M([0-9.]+) 62', picture.drawn(outcome))]
    assert places[0] < 60
    assert places[-1] == 970
    crowd = report(*(Finding("CLOCK", "", "", seq=7) for _ in range(100)))
    assert re.findall(r'<text [^>]*class="">100</text>', picture.drawn(crowd))
    beside = report(Finding("PROJECTION_MISMATCH", "", "", table="orders", key=("O",)))
    assert "1 beside the events" in picture.drawn(beside)
    cut = picture.drawn(report(BROKEN_ONES[3]))
    assert "event 60" in cut
    many = report()
    many.checkpoints = [SeenCheckpoint(size, "00" * 32, accepted=size != 13) for size in range(1, 1001)]
    drawn = picture.drawn(many)
    assert drawn.count("<circle") <= picture.CHECKPOINTS
    assert "1,000 · 0 cosigned" in drawn
    assert "more checkpoints are not drawn" in drawn
    many.checkpoints = many.checkpoints[12:13]
    assert "not accepted" in picture.drawn(many)


def test_only_what_was_read_is_drawn_as_whole() -> None:
    """Of a proof one event, of receipts none, of a broken chain no more than is before the first finding."""
    one = report(spans=[(40, 40)])
    assert re.findall(r'<rect x="([0-9.]+)" y="58" width="([0-9.]+)" [^>]*class="good"', picture.drawn(one)) == [
        ("793.8", "19.5")
    ]
    assert 'class="good"' not in picture.drawn(report(spans=[]))
    broken = picture.drawn(report(*BROKEN_ONES, spans=[(1, 4), (6, 10), (20, 48)]))
    assert (broken.count('class="good"'), broken.count('class="doubt"')) == (2, 2)
    tiny = report(spans=[(10**9, 10**9)])
    tiny.events = 10**9
    assert f'width="{picture.LEAST}" height="26" class="doubt"' in picture.drawn(tiny)


def test_an_empty_report_can_be_drawn() -> None:
    """Of a chain whose rows are gone, every figure is zero."""
    outcome = report(Finding("CHAIN_MISMATCH", "a row", "no such row", table="chains", key=("3",)))
    outcome.events, outcome.head, outcome.checkpoints, outcome.last_good_seq = 0, {}, [], 0
    Page(written(outcome, Form.HTML, AT))


def test_a_span_of_code_ends_where_it_should() -> None:
    """Its fence is longer than what is in it, and it is never empty."""
    assert code("a`b") == "`` a`b ``"
    assert code("``") == "``` `` ```"
    assert code("") == "` (nothing) `"
    assert code("x") == "`x`"


@pytest.mark.parametrize(("seconds", "text"), [(0, "1970-01-01 00:00:00 UTC"), (2**62, f"second {2**62}"),
                                               (-1, "second -1"), (SECONDS_LIMIT - 1, "9999-12-31 23:59:59 UTC"),
                                               (SECONDS_LIMIT, f"second {SECONDS_LIMIT}")])  # fmt: skip
def test_any_second_can_be_shown(seconds: int, text: str) -> None:
    """A cosignature may say one that no calendar has."""
    assert moment(seconds) == text


def test_a_moment_is_told_in_utc_wherever_the_reader_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zone of the machine says nothing about a report."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert moment(AT) == "2023-11-14 22:13:20 UTC"
    finally:
        monkeypatch.undo()
        time.tzset()
