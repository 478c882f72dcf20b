"""
Find out whether there are two signed histories: checkpoints that the policy accepts, with which no one tree begins.

Two regions that both went on, a signer's state from a backup and a stolen key all end so. Whichever of both is taken
for the truth, a repair would write it over what was signed as well, and over what convicts whoever holds the log's key.
So nothing is mended then. How a tree begins tiles tell that lead to its root, or events that have it; where no copy has
either it is not known, and nothing is refused for that.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ledger.errors import LedgerError, UnknownFormat
from ledger.evidence import checkpoint, policy
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.policy import Policy
from ledger.reading.kept_checkpoints import LOOKED_BACK
from ledger.repairing.proving import Prover
from ledger.repairing.sources import Source

TWO_HISTORIES: Final = (
    "two signed histories: the policy accepts {}, and the {}'s checkpoint of {} events, root {}, and no one tree "
    "begins with both; keep both, they convict whoever holds the log's key"
)


def second(rules: Policy, stated: Checkpoint, prover: Prover, copies: Sequence[Source]) -> str:
    """
    Return that the policy accepts another checkpoint that is of no one tree with the *stated* one, whose events the
    *prover* shows; nothing where there is none, or nothing tells.

    Asked are the checkpoints of the database to be mended, which is the first of *copies*, and the newest that the
    policy accepts of each other.
    """
    own, *others = copies
    newest = [(copy, found) for copy in copies for found in itertools.islice(_accepted(rules, stated, copy.notes()), 1)]
    for copy, found in newest:
        reason = _larger(prover, found, copy, copies)
        if reason:
            return reason
    smaller = [(copy, found) for copy, found in newest if copy in others and found.size <= stated.size]
    smaller += ((own, found) for found in _accepted(rules, stated, _unheld(prover, own.notes())))
    roots = prover.roots({found.size for _, found in smaller})
    for copy, found in smaller:
        if roots.get(found.size, found.root) != found.root:
            return _said(prover, found, copy)
    return ""


def _larger(prover: Prover, found: Checkpoint, copy: Source, copies: Sequence[Source]) -> str:
    """Return that a checkpoint which goes further than the stated one begins otherwise."""
    if found.size <= prover.size:
        return ""
    root = Prover(found, copies).roots({prover.size}).get(prover.size, prover.root)
    return "" if root == prover.root else _said(prover, found, copy)


def _said(prover: Prover, found: Checkpoint, copy: Source) -> str:
    return TWO_HISTORIES.format(prover.words(), copy.kind, found.size, found.root.hex())


def _accepted(rules: Policy, stated: Checkpoint, notes: Iterable[bytes]) -> Iterator[Checkpoint]:
    """Yield what those notes state that the policy accepts, of the same origin."""
    for data in itertools.islice(notes, LOOKED_BACK):
        try:
            found = policy.check(rules, data).checkpoint
        except LedgerError:
            continue
        if found.origin == stated.origin:
            yield found


def _unheld(prover: Prover, notes: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the notes of no more events than the stated one, but those with which tiles show that its tree begins."""
    for data in itertools.islice(notes, LOOKED_BACK):
        try:
            found, _ = checkpoint.decode_note(data)
        except UnknownFormat:
            continue
        # A signature takes longer to check, and most notes are of the one history.
        if found.size <= prover.size and not prover.holds(found):
            yield data
