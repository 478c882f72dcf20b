"""
Let the workers of a Dask cluster check the ranges of a chain.

To the walk it is an executor like any other (`joined.verify_chain`). Each worker reads the database by itself, at the
address that this process has, and has this program installed in this version. What workers say is believed: whoever
runs the cluster is trusted as this machine is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor
from typing import Final

from ledger.errors import SetupNeeded
from verifier.stored import Unreadable

CONNECT_S: Final = 10.0


@contextlib.contextmanager
def cluster(address: str | None) -> Iterator[Executor | None]:
    """
    Yield what runs tasks on the cluster whose scheduler is at *address*, as in `tcp://host:8786`; None for None.

    Raises:
        SetupNeeded: Dask is not installed.
        Unreadable: the cluster cannot be reached, or lost its workers meanwhile.
    """
    if address is None:
        yield None
        return
    try:
        # Only here: it is an extra, and takes a second to load.
        from distributed import Client, KilledWorker
    except ModuleNotFoundError as error:
        raise SetupNeeded(
            f"{address} is a Dask cluster; install what speaks to it: pip install 'trade-ledger[dask]'"
        ) from error
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise Unreadable(f"no Dask scheduler answers at {address}; start one, or leave out --scheduler") from error
    with client:
        try:
            # Not pure: Dask must not answer for a range that it remembers from before.
            yield client.get_executor(pure=False)
        except (CancelledError, KilledWorker) as error:
            raise Unreadable(f"the Dask cluster at {address} lost what it was doing; nothing was verified") from error
