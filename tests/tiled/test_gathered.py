"""
Check that signatures kept here and shown outside make one checkpoint, and that false ones take nothing from it.
"""

from __future__ import annotations

import itertools

import msgspec
import pytest

from ledger.evidence import checkpoint, note, policy, tree
from ledger.evidence.policy import Policy
from tests.sealing.logs import KEY, WITNESSES, Log
from verifier.report import Finding
from verifier.stored import CheckpointRow
from verifier.tiled import gathered
from verifier.tiled.outside import Shown

LOG = Log()


def trust(needed: int, count: int) -> Policy:
    lines = [f"log {KEY.verifier.text()}", *(f"witness w{n} {WITNESSES[n].verifier.text()}" for n in range(count))]
    names = " ".join(f"w{n}" for n in range(count))
    return policy.decode("\n".join([*lines, f"group q {needed} {names}", "quorum q", ""]).encode())


def cosigned(size: int, *places: int, false: int | None = None) -> bytes:
    """Return a signed checkpoint with cosignatures, of which one may be of another text."""
    signed = note.decode(LOG.signed(size))
    lines = [*signed.signatures, *(WITNESSES[n].sign(signed.text, 1) for n in places)]
    if false is not None:
        lines.append(WITNESSES[false].sign("another text\n", 1))
    return note.with_signatures(signed.text, lines).encode()


def row(data: bytes) -> CheckpointRow:
    stated = checkpoint.decode_note(data)[0]
    return CheckpointRow(stated.size, stated.root, data, 1)


def shown(data: bytes) -> Shown:
    return Shown("witness", data, checkpoint.decode_note(data)[0])


def test_signatures_of_one_checkpoint_add_up() -> None:
    found, wrong = gathered.newest(trust(2, 2), [row(cosigned(20, 0))], KEY.name, [shown(cosigned(20, 1))])
    assert found is not None
    assert (found.checkpoint.size, len(found.witnesses), wrong) == (20, 2, [])


def test_a_false_line_that_somebody_shows_takes_nothing_away() -> None:
    """One of three shows the same checkpoint with a line that claims to be another's and is not."""
    hostile = shown(cosigned(20, 2, false=0))
    found, _ = gathered.newest(trust(2, 3), [row(cosigned(20, 0, 1))], KEY.name, [hostile])
    assert found is not None
    assert len(found.witnesses) == 3


def test_the_newest_that_is_accepted_is_found_wherever_it_stands() -> None:
    """Shown outside it may be larger than any kept, or between them; and thousands that nobody saw may come first."""
    rules = trust(1, 1)
    kept = [row(cosigned(size)) for size in range(60, 20, -1)]
    found, _ = gathered.newest(rules, itertools.chain(kept, [row(cosigned(20, 0))]), KEY.name, [])
    assert found is not None
    assert found.checkpoint.size == 20
    for size in (61, 40):
        found, _ = gathered.newest(rules, kept, KEY.name, [shown(cosigned(size, 0)), shown(cosigned(5, 0))])
        assert found is not None
        assert found.checkpoint.size == size
    assert gathered.newest(rules, kept, KEY.name, [shown(cosigned(61))])[0] is None


def test_of_several_that_are_shown_the_largest_is_taken() -> None:
    """With what is kept below or above them, or with nothing; in whatever order they come."""
    rules, kept = trust(1, 1), [row(cosigned(30))]
    for sizes, rows in (((40, 61, 50), kept), ((40, 61, 50), []), ((5, 20, 7), kept)):
        found, _ = gathered.newest(rules, rows, KEY.name, [shown(cosigned(size, 0)) for size in sizes])
        assert found is not None
        assert found.checkpoint.size == max(sizes)


def test_what_is_kept_that_is_no_note_of_its_row_is_named_among_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many are looked at where one is accepted before; and all until one is."""
    monkeypatch.setattr(gathered, "LOOKED_AT", 3)
    bad = [msgspec.structs.replace(row(cosigned(size)), size=size + 100) for size in range(20, 10, -1)]
    wrong = [
        Finding("CHECKPOINT_SIG", f"{kept.size} events of {KEY.name} with root {kept.root.hex()}",
                f"{kept.size - 100} of {KEY.name} with root {kept.root.hex()}", kept.size, "checkpoints",
                (str(kept.size),), "note")
        for kept in bad
    ]  # fmt: skip
    found, named = gathered.newest(trust(1, 1), [row(cosigned(200, 0)), *bad], KEY.name, [])
    assert found is not None
    assert named == wrong[:2]
    found, named = gathered.newest(trust(1, 1), [*bad, row(cosigned(9, 0)), *bad], KEY.name, [])
    assert found is not None
    assert (found.checkpoint.size, named) == (9, wrong)


def test_a_checkpoint_of_no_events_is_not_the_newest() -> None:
    """Every witness shows one at first; where nothing was sealed, nothing is accepted."""
    text = checkpoint.Checkpoint(KEY.name, 0, tree.EMPTY_ROOT).text()
    nothing = note.with_signatures(text, (KEY.sign(text), WITNESSES[0].sign(text, 1))).encode()
    assert gathered.newest(trust(1, 1), [], KEY.name, [shown(nothing)]) == (None, [])
    assert gathered.newest(trust(1, 1), [row(cosigned(20))], KEY.name, [shown(nothing)]) == (None, [])
