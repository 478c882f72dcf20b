"""
Settle which chain the rows are of, before anything is hashed.

Chain id and origin are in every hash, and each stands in one row of `chains`. If that row was changed, or points at
another chain's rows, every event would seem to be broken; so the first events are asked whose they are.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ledger.chain.entry import RecordedEvent, split_payload
from ledger.chain.link import genesis
from ledger.domain import registry
from ledger.domain.events.control import ChainCreated
from ledger.errors import LedgerError
from verifier.conviction import hashes_to
from verifier.reader import Reader
from verifier.report import Finding
from verifier.stored import ChainRow

KIND = "CHAIN_MISMATCH"


class Identity(msgspec.Struct):
    """
    The chain as its events name it, and what is wrong with its row; `readable` is False where nothing can be hashed.
    """

    chain: ChainRow
    findings: list[Finding]
    readable: bool = True


def settle(reader: Reader) -> Identity:
    """
    Return who the reader's chain is; the reader then reads the rows that are its own.
    """
    chain = reader.chain
    findings: list[Finding] = []
    first = reader.first_events(chain.chain)
    if not first and chain.mode == "missing":
        for number, _, _ in reader.strays("events"):
            events = reader.first_events(number) if number is not None else []
            if any(_is_of(event, chain.chain_id) for event in events):
                findings.append(_finding(chain, "chain", str(number), str(chain.chain)))
                reader.read_as(number or 0)
                chain, first = reader.chain, events
    if first and not any(_is_of(event, chain.chain_id) for event in first):
        found = _owner(reader, first)
        if found is None and len(first) > 1:
            findings.append(
                _finding(chain, "chain_id", "the id that its events were hashed with", chain.chain_id.hex())
            )
            return Identity(chain, findings, readable=False)
        if isinstance(found, ChainRow):
            text = f"events of chain {chain.origin}"
            findings.append(_finding(chain, "chain", text, f"{chain.chain}, whose events are those of {found.origin}"))
            return Identity(chain, findings, readable=False)
        if found is not None:
            findings.append(_finding(chain, "chain_id", found.hex(), chain.chain_id.hex()))
            chain = msgspec.structs.replace(chain, chain_id=found)
    created = _created(first[0]) if first else None
    if created is not None and created != chain.origin and first[0].prev_hash == genesis(chain.chain_id, created):
        findings.append(_finding(chain, "origin", created, chain.origin))
        chain = msgspec.structs.replace(chain, origin=created)
    reader.chain = chain
    return Identity(chain, findings)


def _finding(chain: ChainRow, column: str, expected: str, actual: str) -> Finding:
    return Finding(KIND, expected, actual, table="chains", key=(chain.origin,), column=column)


def _is_of(event: RecordedEvent, chain_id: bytes) -> bool:
    return hashes_to(msgspec.structs.replace(event, chain_id=chain_id), event.hash)


def _owner(reader: Reader, first: list[RecordedEvent]) -> ChainRow | bytes | None:
    """Return the chain of this database whose events these are, or the id one edit away that they are of."""
    for other in reader.chains:
        if any(_is_of(event, other.chain_id) for event in first):
            return other
    for candidate in _near(reader.chain.chain_id):
        if any(_is_of(event, candidate) for event in first):
            return candidate
    return None


def _near(chain_id: bytes) -> Iterator[bytes]:
    for place in range(len(chain_id)):
        for byte in range(256):
            yield chain_id[:place] + bytes([byte]) + chain_id[place + 1 :]


def _created(event: RecordedEvent) -> str | None:
    try:
        made = registry.decode_given(event.event_type, event.schema_version, split_payload(event.payload)[1])
    except LedgerError:
        return None
    return made.origin if isinstance(made, ChainCreated) else None
