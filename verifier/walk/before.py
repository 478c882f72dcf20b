"""
Hold a database against what an earlier verification of it came to, before anything is left out that it checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from ledger.evidence.tiles import WIDTH
from verifier import conviction
from verifier.reader import Reader
from verifier.report import Finding
from verifier.stored import ChainRow, Unreadable
from verifier.walk.books import Tree, Verified
from verifier.walk.joined import behind
from verifier.walk.layout import End


def convict(reader: Reader, chain: ChainRow, said: Verified, path: Path, *, renamed: bool) -> Iterator[Finding]:
    """
    Yield what convicts the reader's database of not being the one that the file at *path* is of, as *said*.

    Raises:
        Unreadable: it is another chain's, and nothing says that this one was *renamed*.
    """
    at = said.at
    if at.origin != chain.origin and not renamed:
        raise Unreadable(f"{path} is the state of {at.origin}, and this chain is {chain.origin}: name another file")
    yield from behind(at, chain, _event_at(reader, chain, at.end.seq))
    yield from _gone(reader, said.tree, path)


def _gone(reader: Reader, tree: Tree, path: Path) -> Iterator[Finding]:
    """Yield that tiles, or the newest checkpoint, were there when the state was saved and are there no more."""
    size = reader.tree_size()
    if size < tree.size:
        yield Finding("TREE_MISMATCH", f"tiles of {tree.size} events, as {path} says", f"of {size}", table="tiles",
                      key=("0", str((tree.size - 1) // WIDTH)))  # fmt: skip
    newest = next(reader.checkpoints_above("newest", tree.size - 1), None) if tree.is_signed else None
    if tree.is_signed and (newest is None or newest.size != tree.size):
        yield Finding("TREE_MISMATCH", f"the checkpoint of {tree.size} events, as {path} says", "no such row",
                      table="checkpoints", key=(str(tree.size),))  # fmt: skip


def _event_at(reader: Reader, chain: ChainRow, seq: int) -> End | None:
    found = next(reader.events(seq, seq), None)
    if found is None:
        return None
    event = msgspec.structs.replace(found, chain_id=chain.chain_id)
    if not conviction.hashes_to(event, event.hash):
        return None
    group = (event.group_id, event.group_index, event.group_size)
    return End(event.seq, event.epoch, event.prev_hash, event.hash, event.recorded_at, group, b"")
