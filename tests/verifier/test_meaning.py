"""
Check what a finding is said to mean, what else it makes doubtful, and where a good copy is.
"""

from __future__ import annotations

import pytest

from verifier import meaning
from verifier.meaning import ARCHIVE, BACKUP, MEANINGS, MIGRATIONS, REPLAY, REPLICA, TOPIC, WITNESS, sources, taints
from verifier.report import Finding


def found(kind: str, table: str | None = None, key: tuple[str, ...] | None = None, expected: str = "a") -> Finding:
    return Finding(kind, expected, "b", table=table, key=key)


def test_every_class_has_its_own_words_and_others_have_general_ones() -> None:
    assert meaning.meaning("CLOCK") is MEANINGS["CLOCK"]
    assert meaning.meaning("NO_SUCH_CLASS").title == "Something is not as it should be"


EVENT = (REPLICA, TOPIC, ARCHIVE, BACKUP)
SOURCES: list[tuple[Finding, tuple[str, ...]]] = [
    (found("BYTES_MODIFIED"), EVENT), (found("BYTES_MODIFIED", "events"), EVENT),
    (found("DIVERGENCE"), ()), (found("STRAY_ROWS", "events"), ()),
    (found("QUORUM_UNMET", "archive", ("checkpoint",)), (WITNESS,)),
    (found("PROJECTION_MISMATCH", "balances"), (REPLAY,)),
    (found("COMMIT_MISMATCH", "commits"), (REPLICA, TOPIC, BACKUP)),
    (found("GUARD_CHANGED", "catalogue"), (MIGRATIONS,)), (found("X", "no such table"), (BACKUP,)),
    (found("X", "archive", ("tile/entries/000",)), (REPLICA, ARCHIVE)),
    (found("X", "archive", ("tile/0/000",)), (REPLAY, ARCHIVE)),
    (found("X", "archive", ("segment/1",)), (REPLICA, ARCHIVE)),
    (found("X", "archive", ("checkpoints/3",)), (ARCHIVE, WITNESS)),
    (found("X", "archive", ("chain.json",)), (REPLICA, ARCHIVE)),
    (found("X", "archive", ("policy", "tile/")), (ARCHIVE,)),
    (found("X", "archive", ()), (ARCHIVE,)), (found("X", "archive"), (ARCHIVE,)),
]  # fmt: skip


@pytest.mark.parametrize(("finding", "expected"), SOURCES)
def test_a_good_copy_is_where_such_bytes_are(finding: Finding, expected: tuple[str, ...]) -> None:
    """Nowhere, where no copy mends it."""
    assert sources(finding) == expected


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (found("ROLLBACK", "checkpoints"), True),
        (found("SEQ_GAP"), True),
        (found("SEQ_GAP", "events"), False),
        (found("CLOCK"), False),
        (found("BYTES_MODIFIED", expected=meaning.UNKNOWN_BYTES + "00"), True),
        (found("BYTES_MODIFIED", expected="1"), False),
        (found("BYTES_MODIFIED", "events", expected=meaning.UNKNOWN_BYTES + "00"), False),
        (found("CLOCK", expected=meaning.UNKNOWN_BYTES), False),
    ],
)
def test_what_comes_after_is_doubtful_where_what_was_there_is_not_known(finding: Finding, expected: bool) -> None:
    """Of an event; what a table says stands by itself."""
    assert taints(finding) is expected
