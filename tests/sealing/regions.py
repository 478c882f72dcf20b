"""
Make chains in real databases with somebody to sign and cosign them.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

from ledger import Group, Ledger, Receipt
from ledger.chain.signatures import KeyPair
from ledger.cli.creation import named
from ledger.cli.seal import opened
from ledger.domain.events.reference import AssetDefined
from ledger.evidence import policy
from ledger.evidence.note import COSIGNATURE, ED25519, SigningKey
from ledger.evidence.policy import Policy
from ledger.journal.chain_creation import create_chain
from ledger.sealing import services
from ledger.sealing.places import Place
from ledger.sealing.promises import Promises
from ledger.sealing.replica import Region, replica_of
from ledger.sealing.sealer import Sealer
from tests.conftest import ORIGIN, Database
from tests.sealing.logs import served

CHECKPOINT = KeyPair("checkpoint", "signer", bytes(31) + b"\x11")
REPLICA = KeyPair("replica", "region-b", bytes(31) + b"\x12")
LOG_KEY = SigningKey(ORIGIN, ED25519, CHECKPOINT.seed)
REPLICA_KEY = SigningKey(REPLICA.name, COSIGNATURE, REPLICA.seed)
NOBODY = policy.decode(b"quorum none\n")
_NUMBERS = itertools.count()


def make_chain(database: Database) -> None:
    """Make the chain, with the keys of its signer and its replica."""
    create_chain(database.dsn("owner"), ORIGIN, named([CHECKPOINT, REPLICA]), [("writer", "engine")])


def append(database: Database, count: int) -> int:
    """Append so many events, and return the seq of the head."""
    with Ledger.open(database.dsn("writer")) as ledger:
        groups = []
        for _ in range(count):
            name = f"A{next(_NUMBERS)}"
            groups.append(Group((AssetDefined(asset=name, kind="crypto", scale=8, name="a"),), key=name, actor="desk"))
        for outcome in ledger.append_many(groups):
            assert isinstance(outcome, Receipt), outcome
        return ledger.head().seq


def members(word: str, keys: list[SigningKey], urls: list[str], needed: int) -> Policy:
    """Return the policy that lists these keys with their addresses and needs so many of them."""
    names = [f"{word}{place}" for place in range(len(keys))]
    lines = [f"witness {name} {key.verifier.text()} {url}" for name, key, url in zip(names, keys, urls, strict=True)]
    return policy.decode("\n".join([*lines, f"group q {needed} {' '.join(names)}", "quorum q", ""]).encode())


@contextlib.contextmanager
def signer(folder: Path, needed: Policy = NOBODY, key: SigningKey = LOG_KEY) -> Iterator[Place]:
    with (
        Promises(folder / "signer.json") as state,
        served(services.signer_of(state, key, needed, NOBODY), folder / "signer.socket") as address,
    ):
        yield Place(address)


@contextlib.contextmanager
def witness(folder: Path, key: SigningKey) -> Iterator[str]:
    name = key.name.rpartition("/")[2]
    with Promises(folder / f"{name}.json") as state:
        respond = services.witness_of(state, {ORIGIN: [LOG_KEY.verifier]}, key, lambda: int(time.time()), folder / name)
        with served(respond) as address:
            yield address


@contextlib.contextmanager
def replica(folder: Path, database: Database, told: list[str] | None = None) -> Iterator[str]:
    """Serve a replica that cosigns what *database* holds."""
    heard: list[str] = [] if told is None else told
    region = Region(lambda: opened(database.dsn("sealer"), None))
    with contextlib.closing(region), Promises(folder / "replica.json") as state:
        respond = replica_of(state, REPLICA_KEY, ORIGIN, region.root_at, lambda: int(time.time()), heard.append)
        with served(respond) as address:
            yield address


@contextlib.contextmanager
def sealing(
    database: Database, place: Place, replicas: Policy = NOBODY, witnesses: Policy = NOBODY
) -> Iterator[Sealer]:
    connection, chain = opened(database.dsn("sealer"), None)
    with (
        contextlib.closing(connection),
        Sealer(connection, chain, place, replicas, witnesses, time.time_ns) as sealer,
    ):
        yield sealer
