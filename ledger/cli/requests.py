"""
Make up a firm's requests, and append requests that stand in a file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Annotated, BinaryIO

import typer

from ledger.chain import signatures
from ledger.cli import tables
from ledger.errors import InvalidInput
from ledger.generation.requests import NEW_CHAIN
from ledger.generation.requests import generate as generated
from ledger.importing import requests
from ledger.whole_file import whole

_PROGRESS_EVENTS = 1_000


@contextmanager
def _output(path: Path | None) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdout.buffer
        return
    with whole(path) as file:
        yield file


def generate(
    events: Annotated[int, typer.Option(help="How many events, in all.")],
    seed: Annotated[int, typer.Option(help="The same seed makes the same bytes; 0 or more.")],
    output: Annotated[Path | None, typer.Option(help="File to write, there once it is whole; else stdout.")] = None,
    after: Annotated[int, typer.Option(help="The head of the chain that they are for; a new one's is 1.")] = NEW_CHAIN,
    checkpoint_key: Annotated[
        Path | None, typer.Option(help="Key file of the chain's checkpoint key; without it no checkpoints are sealed.")
    ] = None,
) -> None:
    """
    Make up a trading firm, and write its requests as JSON lines for `tradeledger import requests`.
    """
    if seed < 0:
        # The generator of random numbers takes -1 for 1.
        raise InvalidInput(f"found seed {seed}; expected 0 or more: another seed makes another firm")
    key = None if checkpoint_key is None else signatures.read_for(checkpoint_key, "checkpoint")
    made = generated(events, Random(seed), f"generated-{seed}", after=after, key=key)
    with _output(output) as file, tables.progress() as bar:
        task = bar.add_task("generating", total=events)
        waiting = 0
        for group in made:
            file.write(requests.encode(group) + b"\n")
            waiting += len(group.events)
            if waiting >= _PROGRESS_EVENTS:
                bar.advance(task, waiting)
                waiting = 0
        file.flush()
