"""
Make chains of any length without a database, and checkpoints over them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from random import Random

import msgspec
from blake3 import blake3

from ledger.archiving.writer import Read
from ledger.chain import entry, event_id
from ledger.chain.entry import RecordedEvent
from ledger.chain.link import genesis
from ledger.evidence import note, policy, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import COSIGNATURE, ED25519, SigningKey
from ledger.evidence.tree import Frontier

ORIGIN = "ledger.example/trades"
CHAIN_ID = bytes(range(16))
KEY = SigningKey(ORIGIN, ED25519, bytes(range(32)))
WITNESS = SigningKey("witness.example/w1", COSIGNATURE, bytes([1]) * 32)
POLICY_TEXT = f"log {KEY.verifier.text()}\nwitness w1 {WITNESS.verifier.text()}\nquorum w1\n".encode()
POLICY = policy.decode(POLICY_TEXT)
SIZES = (1, 2, 3, 255, 256, 257, 300, 511, 512, 700)
"""Where a group ends in every chain made here, so that a checkpoint can stand there."""


@functools.cache
def chain(count: int, seed: int = 1) -> tuple[RecordedEvent, ...]:
    """Return so many linked events in groups of one to four; another seed has another history from the start."""
    random = Random(seed)
    events: list[RecordedEvent] = []
    before, index, size, group = genesis(CHAIN_ID, ORIGIN), 0, 0, b""
    for seq in range(1, count + 1):
        if index == size:
            end = next((size for size in SIZES if size >= seq), count)
            index, size, group = 0, min(random.randint(1, 4), min(end, count) - seq + 1), random.randbytes(16)
        recorded_at = 1_700_000_000_000_000_000 + seq * 1_000
        payload = b'{"derived":{},"given":{"note":"%s"}}' % random.randbytes(random.randint(1, 60)).hex().encode()
        event = RecordedEvent(
            chain_id=CHAIN_ID, seq=seq, epoch=1, prev_hash=before, hash=bytes(32),
            event_id=event_id.make(recorded_at, random.randbytes(7)), event_type="CashMoved", schema_version=1,
            stream=f"account/A-{seq % 7}", stream_version=seq // 7 + 1, group_id=group, group_index=index,
            group_size=size, idempotency_key=f"key-{seq - index}", request_hash=random.randbytes(32),
            occurred_at=recorded_at, recorded_at=recorded_at, effective_on=19_000, actor="engine-1", source="gateway",
            correlation_id=bytes(16), causation_id=bytes(16), salt=random.randbytes(16), payload=payload,
        )  # fmt: skip
        before = blake3(entry.encode(event)).digest()
        events.append(msgspec.structs.replace(event, hash=before))
        index += 1
    return tuple(events)


def reader(events: Iterable[RecordedEvent]) -> Read:
    found = list(events)
    return lambda after: (event for event in found if event.seq > after)


def root(events: Iterable[RecordedEvent]) -> bytes:
    edge = Frontier()
    for event in events:
        edge.add(tree.leaf_hash(entry.encode(event)))
    return edge.root()


def signed(events: tuple[RecordedEvent, ...], size: int, key: SigningKey = KEY, cosigned: bool = True) -> bytes:
    """Return the checkpoint of the first *size* events, signed and cosigned."""
    text = Checkpoint(key.name, size, root(events[:size])).text()
    return note.with_signatures(text, (key.sign(text), *([WITNESS.sign(text, 1_700_000_001)] * cosigned))).encode()


def silent(what: str, count: int) -> None:
    """Hear of progress, and say nothing."""
