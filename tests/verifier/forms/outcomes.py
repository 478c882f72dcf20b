"""
Make outcomes of every verdict, with text in them as an intruder would choose it.
"""

from __future__ import annotations

from typing import Final

from verifier.report import (
    BROKEN,
    COVERED,
    NOT_COVERED,
    NOT_VERIFIED,
    VERIFIED,
    Cosigned,
    Ended,
    Finding,
    Outcome,
    Report,
    SeenCheckpoint,
)

AT: Final = 1_700_000_000
HOSTILE: Final = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><b>', "' onload='x", "&lt;&#x3c;", "]]>", "-->",
    "`", "``` x", "` <b> `", "a|b\\|c", "[x](javascript:alert(1))", "**bold**", "# head", "@everyone #1 !2",
    "https://elsewhere.example/", "line\nbreak\r\n- item", "\x1b[2J\x1b]0;title\x07", "\x00\x08\x7f\x9b",
    "\u202egnp.exe", "\u2028\u2029\ufeff", "\ud800", "\udcff", "\ufffe\uffff", " ", "", "\u0300" * 20,
    "x" * 5_000,
)  # fmt: skip


def report(*findings: Finding, origin: str = "ledger.example/trades", **more: object) -> Report:
    given: dict[str, object] = {
        "checkpoints": [SeenCheckpoint(40, "ab" * 32, (Cosigned("w1", AT), Cosigned("w2", AT + 1)))],
        "trusted": ["the log ledger.example/trades, whose key 5a41d1f4 signed the checkpoint"], **more,
    }  # fmt: skip
    return Report(
        BROKEN if findings else VERIFIED, origin, "primary", 48, {"seq": 48, "hash": "cd" * 32}, list(findings),
        {"orders": 3}, list(COVERED), list(NOT_COVERED), ["the region is primary"], 8 if findings else 48, 1.25,
        **given,  # type: ignore[arg-type]
    )  # fmt: skip


BROKEN_ONES: Final = (
    Finding("BYTES_MODIFIED", "engine-1", "someone", seq=9, column="actor"),
    Finding("BYTES_MODIFIED", "bytes of hash " + "ef" * 32, "other bytes", seq=20, column="payload or salt"),
    Finding("PROJECTION_MISMATCH", "1", "2", table="balances", key=("A", "BTC"), column="settled"),
    Finding("TRUNCATED", "events 49 to 60", "no such rows", seq=49, column="seq"),
    Finding("STATE_MISMATCH", "account/A", "account/B", seq=30, column="stream", after=20),
)
OUTCOMES: Final[dict[str, tuple[Outcome, int]]] = {
    "verified": (report(), 0),
    "broken": (report(*BROKEN_ONES), 3),
    "kept from checking": (Ended(BROKEN, "divergence", "two copies differ"), 3),
    "could not verify": (Ended(NOT_VERIFIED, "could_not_verify", "no server answers; start it"), 4),
    "interrupted": (Ended(NOT_VERIFIED, "interrupted", "interrupted; nothing was verified"), 130),
    "fault": (Ended(NOT_VERIFIED, "fault", "it ended with KeyError: 'x'"), 4),
}


def hostile(text: str) -> list[Outcome]:
    """Return outcomes that say *text* wherever something from outside can stand."""
    findings = (
        Finding("BYTES_MODIFIED", text, text, seq=9, column=text),
        Finding("PROJECTION_MISMATCH", text, text, table=text, key=(text, text), column=text),
    )
    whole, said = report(*findings, origin=text), [text]
    whole.head, whole.vouched, whole.trusted, whole.proven = {"seq": 48, "hash": text}, said, said, said
    whole.covered, whole.not_covered, whole.region_mode = [text, *whole.covered], [text, *whole.not_covered], text
    whole.checkpoints = [SeenCheckpoint(40, text, (Cosigned(text, AT), Cosigned(text, 2**62)), accepted=False)]
    return [whole, Ended(NOT_VERIFIED, text, text)]
