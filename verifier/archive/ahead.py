"""
Read files of a store ahead of their turn, where each read waits for a network.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from ledger.archiving.stores import Readable

AT_ONCE: Final = 12
"""How many files are asked for at once: those of four bundles, which is what is in memory beside the one in turn."""

Read = Callable[[str], bytes | None]


@contextlib.contextmanager
def reading(store: Readable, paths: Iterable[str]) -> Iterator[Read]:
    """
    Yield what reads files of *store*, of which *paths* will be asked for in this order; some may be passed over.

    What it raises is what the store's own reading raises, when the file's turn comes.
    """
    if not store.far:
        yield store.read
        return
    with ThreadPoolExecutor(AT_ONCE) as pool:
        left = iter(paths)
        asked: dict[str, Future[bytes | None]] = {}

        def read(path: str) -> bytes | None:
            while len(asked) < AT_ONCE and (further := next(left, None)) is not None:
                asked[further] = pool.submit(store.read, further)
            for earlier in list(asked):
                future = asked.pop(earlier)
                if earlier == path:
                    return future.result()
            return store.read(path)

        try:
            yield read
        finally:
            pool.shutdown(cancel_futures=True)
