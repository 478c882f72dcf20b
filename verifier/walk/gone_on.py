"""
Say what a verification of all checked itself where it went on from a state, and what it takes from the state.

Of the events and of what stands beside them it reads what came since; read models, the tree, keys and the schema it
reads whole. A statement of the first event on would not be its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from verifier.report import AROUND, HELD, TREE
from verifier.walk.books import Verified

_EVENTS: Final = (
    "every column of events {0} to {1}, which were read now, against its hash and the hash chain from the event at the "
    "state",
    "their seqs, recorded times, event ids, groups, stream versions, idempotency keys and request hashes",
    "their rules and consequences, by replaying the fold upon the state",
    "their commits, and every version that is kept of the rows that they changed, up to the watermark",
)
_WHOLE: Final = (
    "the event at the state, against the state's hash",
    HELD,
    "every row and column of every read model, the state digest, that each group has its idempotency key, the head and "
    "the chain's own row",
    "the snapshots since the state, and their rows",
    TREE,
    "what replicas acknowledged: signatures and hashes, and state digests: those of events up to the state as its "
    "commits have them",
    *AROUND,
)


def covered(said: Verified, last: int) -> list[str]:
    """
    Return what was checked, as sentences, where events up to *last* were read behind those that *said* is of.
    """
    first = said.at.end.seq + 1
    return [*(line.format(first, last) for line in _EVENTS if first <= last), *_WHOLE]


def left(said: Verified, path: Path) -> list[str]:
    """
    Return what was not checked, as sentences, since the file at *path* says that an earlier verification did.
    """
    seq = said.at.end.seq
    return [
        f"events 1 to {seq} again, their commits and the versions kept of what they changed: an earlier verification "
        f"checked them, in whichever region it read, as {path} says",
        snapshots_left(seq),
    ]


def snapshots_left(seq: int) -> str:
    """
    Return that snapshots of events up to *seq*, at which the state is, were not checked.
    """
    return f"snapshots of events up to {seq}, whenever they were made: those that were there were checked for the state"
