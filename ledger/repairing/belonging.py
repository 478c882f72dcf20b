"""
Tell what is another chain's by what it proves, whatever the rows of `chains` say of its number.

An event is the chain's own where it hashes with the chain's id, at its place or near it, or has what no two events have
in common with the one that was signed for its place: whoever edited a column left the others. A head is the chain's
where it names one of its events, a state digest where a commit says its state, a place in a topic where the topic is
named after the chain, and the note of a checkpoint where it states the chain's origin or a root of its tree.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from ledger.chain.digest import SIZE_BYTES, StateDigest
from ledger.chain.entry import RecordedEvent
from ledger.chain.link import genesis
from ledger.errors import LedgerError, UnknownFormat
from ledger.evidence import checkpoint
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.tree import HASH_BYTES
from ledger.repairing.proving import Prover, fetch, laid_out
from ledger.repairing.sources import CHAIN_ID_BYTES, Source
from ledger.storage import events, identities, repairs
from ledger.storage.chains import ChainRow
from ledger.storage.database import Connection

RUN: Final = 3
"""So many events that nothing shows to be this chain's are no edits of its own."""
ASKED: Final = 1000
"""How many events are asked whose they are, beside the first and the last: whoever hides it has to change them all."""
DISPLACED: Final = 1000
"""How far from its place an event is looked for: whoever takes one away may move all that follow."""
MOST: Final = 2**63 - 1
"""No chain has more events."""
MARKS: Final = ("prev_hash", "hash", "event_id", "group_id", "salt", "request_hash")
"""The columns that no two events have in common."""
IN_COMMON: Final = 2
"""So many of them that are those of the signed event show that an edited row is of it."""


def asked(connection: Connection, number: int, chain_id: bytes) -> dict[int, RecordedEvent]:
    """
    Return the first events under a number and the last, and a thousand that nobody could foresee, by seq.
    """
    size = identities.count_events(connection, number)
    drawn = random.SystemRandom().sample(range(1, size + 1), min(ASKED, size))
    seqs = sorted({*identities.outermost(connection, number), *drawn})
    return events.read_seqs(connection, number, chain_id, seqs, as_found=True)


def are_of(connection: Connection, number: int, chain_id: bytes) -> bool:
    """
    Return whether any of the events that are asked under a number was hashed with an id.
    """
    return len(chain_id) == CHAIN_ID_BYTES and any(
        laid_out(event) for event in asked(connection, number, chain_id).values()
    )


def is_free(connection: Connection, number: int | None, chain_id: bytes) -> bool:
    """
    Return whether no events stand under a number but those that hash with this id: all that are asked do.
    """
    return number is not None and all(laid_out(event) for event in asked(connection, number, chain_id).values())


def is_alike(event: RecordedEvent, good: RecordedEvent) -> bool:
    """
    Return whether a row is of the *good* event, as one that was signed for its place, whatever was edited of it.
    """
    return len([name for name in MARKS if getattr(event, name) == getattr(good, name)]) >= IN_COMMON


def strange_events(
    connection: Connection, number: int, chain_id: bytes, copies: Sequence[Source], prover: Prover
) -> tuple[list[int], bool]:
    """
    Return the seqs of events under a number that nothing shows to be the chain's, no more than are needed to tell; and
    whether one is known to be another chain's, since it hashes with an id that a row says.
    """
    size = prover.size
    there = asked(connection, number, chain_id)
    there |= events.read_seqs(connection, number, chain_id, [size + 1], as_found=True)
    unlike = {seq: event for seq, event in there.items() if laid_out(event) is None}
    if not unlike:
        return [], False
    proven, _ = fetch([*unlike, *({size} - {*unlike})], copies, prover)
    left = {seq: event for seq, event in unlike.items() if seq in proven and not is_alike(event, proven[seq].event)}
    # What follows the signed events, or is hashed with the id, is of the chain, and so is what comes after it. Where
    # the first is gone nothing tells.
    after = there.get(size + 1)
    if after is not None and size in proven and not laid_out(after) and after.prev_hash != proven[size].event.hash:
        beyond = {seq: event for seq, event in unlike.items() if seq > size}
        known = _known(beyond, copies, chain_id)
        left |= {seq: event for seq, event in beyond.items() if seq not in known}
    ids = {row.chain_id or b"" for row in identities.standing(connection)} | {*identities.topic_ids(connection, number)}
    ids = {one for one in ids if len(one) == CHAIN_ID_BYTES} - {chain_id}
    strange, by = list[int](), 1
    for seq, event in left.items():
        if any(laid_out(msgspec.structs.replace(event, chain_id=one)) for one in ids):
            return [seq], True
        distance = _distance(event, by) if len(strange) < RUN else None
        if distance is None:
            strange.append(seq)
        else:
            by = distance
    return strange, False


def _known(rows: Mapping[int, RecordedEvent], copies: Sequence[Source], chain_id: bytes) -> set[int]:
    """
    Return the seqs of those rows that a copy has as well, hashed with the chain's id, so that the rows are edited ones
    of it. That proves nothing to write by: it only says whose they are.
    """
    known = set[int]()
    for copy in copies:
        left = [seq for seq in rows if seq not in known]
        try:
            found = copy.events(left) if left else {}
        except LedgerError:
            # It speaks for none of them; why it cannot be read is told where something is to be mended from it.
            continue
        known |= {
            seq for seq in left
            for one in found.get(seq, []) if one.chain_id == chain_id and laid_out(one) and is_alike(rows[seq], one)
        }  # fmt: skip
    return known


def _distance(event: RecordedEvent, first: int) -> int | None:
    """Return how far an event is from its place, the *first* distance tried before others; None where that is not
    known."""
    for by in (first, *(each * sign for each in range(1, DISPLACED + 1) for sign in (1, -1))):
        if event.seq + by > 0 and laid_out(msgspec.structs.replace(event, seq=event.seq + by)):
            return by
    return None


def note_of_another(root: bytes, note: bytes, origin: str, prover: Prover) -> str:
    """
    Return the origin that a checkpoint's note states, where it is another and neither its root nor the row's is of the
    signed tree; nothing where it is none, or may be the chain's own that was edited.
    """
    try:
        found, _ = checkpoint.decode_note(note)
    except UnknownFormat:
        return ""
    roots = [one for one in (found.root, root) if len(one) == HASH_BYTES]
    is_own = found.origin == origin or any(prover.holds(Checkpoint(origin, found.size, one)) for one in roots)
    return "" if is_own else found.origin


def notes_of_others(connection: Connection, number: int, origin: str, prover: Prover) -> list[str]:
    """
    Return the origins of other chains that notes under a number state.
    """
    found = (
        note_of_another(root, note, origin, prover)
        for root, note in identities.notes_but(connection, number, origin)
    )  # fmt: skip
    return sorted({name for name in found if name})


def of_region(connection: Connection, number: int, chain: ChainRow) -> str:
    """
    Return the table in which a row under another number is not shown to be that of the *chain*: its head, its digest or
    its place in a topic; nothing where each is.
    """
    heads, digests, topics = identities.of_region(connection, number)
    own = [seq for seq, hash, at in heads if _is_own_head(connection, chain, seq, hash, at)]
    if len(own) < len(heads):
        return "chain_heads"
    for seq, lanes in digests:
        if seq not in own and not _is_own_digest(connection, number, chain, seq, lanes):
            return "state_digests"
    ids = {*identities.topic_ids(connection, number)}
    return "replica_state" if topics and not (ids == {chain.chain_id} or (not ids and own)) else ""


def _is_own_digest(connection: Connection, number: int, chain: ChainRow, seq: int, lanes: bytes) -> bool:
    """Return whether a commit of the chain says this state, or one beside it of the time of the chain's event."""
    if len(lanes) != SIZE_BYTES:
        return False
    digest = StateDigest.from_lanes(lanes).digest()
    event = events.read_seqs(connection, chain.chain, chain.chain_id, [seq], as_found=True).get(seq)
    return repairs.commit_at(connection, chain.chain, seq) == digest or (
        event is not None and (digest, event.recorded_at) in identities.commits_at(connection, number, seq)
    )


def has_own_head(connection: Connection, number: int, chain: ChainRow) -> bool:
    """
    Return whether a head stands under another number, and is that of the *chain*.
    """
    heads, _, _ = identities.of_region(connection, number)
    return bool(heads) and all(_is_own_head(connection, chain, *head) for head in heads)


def _is_own_head(connection: Connection, chain: ChainRow, seq: int, hash: bytes, recorded_at: int) -> bool:
    """Return whether a head names an event of the chain, its last one or that which it counts, by its hash or the time
    at which it was recorded."""
    if hash == genesis(chain.chain_id, chain.origin):
        return True
    last = repairs.last_until(connection, chain.chain, MOST) or 0
    there = events.read_seqs(connection, chain.chain, chain.chain_id, [seq, last], as_found=True).values()
    return any(event.hash == hash or event.recorded_at == recorded_at for event in there)


def numbers(connection: Connection, chain: ChainRow) -> list[int]:
    """
    Return the numbers that no row of `chains` has, and under which another chain may be: events stand there that do not
    hash with the *chain*'s id, or a head, a digest, a place or a note that is not shown to be its own.
    """
    named = {row.chain for row in identities.standing(connection)}
    return [
        number for number in identities.all_numbers(connection)
        if number not in named and (
            not is_free(connection, number, chain.chain_id) or of_region(connection, number, chain)
            or any(_states_another(note, chain.origin) for _, note in
                   identities.notes_but(connection, number, chain.origin)))
    ]  # fmt: skip


def _states_another(note: bytes, origin: str) -> bool:
    try:
        return checkpoint.decode_note(note)[0].origin != origin
    except UnknownFormat:
        return False
