"""
Have parts of a copy checked by other processes, each with a connection of its own to the same moment.

What is found does not depend on how many there are: a part is checked by the same code in whatever process, and what
came of it is taken in the order in which the parts were handed out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final, TypeVar

from verifier import processes
from verifier.stored import worker_ended

Part = TypeVar("Part")
Done = TypeVar("Done")
AHEAD: Final = 3
"""How many parts a worker may have done or in hand that wait for an earlier one: what was found is in memory."""

_here: dict[str, Any] = {}
"""In a worker: what makes its check, and then the check, with whatever that keeps from one part to the next."""


def each(
    parts: Iterable[Part], here: Callable[[Part], Done], make: Callable[[], Callable[[Part], Done]], jobs: int
) -> Generator[Done, None, None]:
    """
    Yield what comes of each of *parts*, in order: by *here*, or by so many processes, each by what *make* makes in it.

    Parts are taken a little ahead of what is yielded. Who stops early has the rest left undone.

    Raises:
        Unreadable: a worker was ended.
    """
    if jobs == 1:
        yield from map(here, parts)
        return
    with processes.pool(jobs, _begin, make) as pool:
        # Those that are left are given up with the pool.
        waiting: deque[Future[Done]] = deque()
        try:
            for part in parts:
                waiting.append(pool.submit(_check, part))
                if len(waiting) >= jobs * AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise worker_ended() from error


def _begin(make: Callable[[], Callable[[Any], Any]]) -> None:
    _here["make"] = make


def _check(part: Any) -> Any:
    # With the first part, so that what keeps a check from being made is told as what it is.
    if "check" not in _here:
        _here["check"] = _here["make"]()
    return _here["check"](part)
