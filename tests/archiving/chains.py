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
def chain(count: int, seed: int = 1, largest: int = 4, ends: tuple[int, ...] = SIZES) -> tuple[RecordedEvent, ...]:
    """
    Return so many linked events in groups of one to *largest*; another seed has another history from the start.

    A group ends at each seq of *ends*.
    """
    random = Random(seed)
    events: list[RecordedEvent] = []
    before = genesis(CHAIN_ID, ORIGIN)
    while len(events) < count:
        first = len(events) + 1
        end = next((size for size in ends if size >= first), count)
        size = min(random.randint(1, largest), min(end, count) - first + 1)
        group = random.randbytes(16)
        salts = [random.randbytes(16) for _ in range(size)]
        given = [b'{"note":"%s"}' % random.randbytes(random.randint(1, 60)).hex().encode() for _ in range(size)]
        times = [1_700_000_000_000_000_000 + (first + index) * 1_000 for index in range(size)]
        asked = entry.request_hash(salts[0], [("CashMoved", 1, times[x], given[x]) for x in range(size)])
        for index in range(size):
            seq = first + index
            event = RecordedEvent(
                chain_id=CHAIN_ID, seq=seq, epoch=1, prev_hash=before, hash=bytes(32),
                event_id=event_id.make(times[index], random.randbytes(7)), event_type="CashMoved", schema_version=1,
                stream=f"account/A-{seq % 7}", stream_version=seq // 7 + 1, group_id=group, group_index=index,
                group_size=size, idempotency_key=f"key-{first}", request_hash=asked, occurred_at=times[index],
                recorded_at=times[index], effective_on=19_000, actor="engine-1", source="gateway",
                correlation_id=bytes(16), causation_id=bytes(16), salt=salts[index],
                payload=b'{"derived":{},"given":%s}' % given[index],
            )  # fmt: skip
            before = blake3(entry.encode(event)).digest()
            events.append(msgspec.structs.replace(event, hash=before))
    return tuple(events)


def edited(events: tuple[RecordedEvent, ...], seq: int, **changes: object) -> tuple[RecordedEvent, ...]:
    """Return the events with one changed and every link after it made anew, as who owns the database can."""
    made = list(events[: seq - 1])
    before = events[seq - 1].prev_hash
    for event in events[seq - 1 :]:
        event = msgspec.structs.replace(event, prev_hash=before, **(changes if event.seq == seq else {}))
        before = blake3(entry.encode(event)).digest()
        made.append(msgspec.structs.replace(event, hash=before))
    return tuple(made)


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
