"""
Check the library against the vectors, which a second layout made: bytes that are on disks elsewhere.

No test writes a vector. tests/vectors/layout.py says how each was made, and make.py adds files that are missing.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from ledger.chain import acknowledgement, digest, event_id, signatures
from ledger.chain.acknowledgement import Acknowledgement
from ledger.chain.digest import StateDigest
from ledger.chain.entry import NO_ID, RecordedEvent, decode, encode, payload_hash, request_hash, split_payload
from ledger.chain.link import ChainHead, genesis
from ledger.chain.signatures import KeyPair
from ledger.domain import amounts
from ledger.domain.events.control import KeyNamed
from ledger.domain.row_bytes import row_bytes
from ledger.domain.rows import TABLES, Row
from ledger.domain.rules.control import (
    REVOCATION_DOMAIN,
    ROTATION_DOMAIN,
    revocation_statement,
    rotation_statement,
)
from tests.vectors import layout, make
from tests.vectors.read_models import READ_MODELS

FOLDER = Path(__file__).parents[1] / "vectors"
_INTS = {
    "seq", "epoch", "group_index", "group_size", "stream_version", "occurred_at", "recorded_at", "effective_on",
    "schema_version",
}  # fmt: skip
_BYTES = {"chain_id", "prev_hash", "hash", "event_id", "group_id", "request_hash", "salt"}


def vectors(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


def event(fields: dict[str, Any]) -> RecordedEvent:
    made: dict[str, Any] = {"hash": bytes(32)}
    for name, value in fields.items():
        if name in _INTS:
            made[name] = int(value)
        elif name in _BYTES:
            made[name] = bytes.fromhex(value)
        elif name in ("correlation_id", "causation_id"):
            made[name] = NO_ID if value is None else bytes.fromhex(value)
        elif name in RecordedEvent.__struct_fields__:
            made[name] = value.encode() if name == "payload" else value
    return RecordedEvent(**made)


def test_a_chain_of_groups_has_the_pinned_hashes() -> None:
    """Genesis, payload, request and entry hashes, links and ids of three groups, with negative times and é apart."""
    chain = vectors("groups")
    head = ChainHead(0, genesis(bytes.fromhex(chain["chain_id"]), chain["origin"]))
    assert head.hash.hex() == chain["genesis"]
    groups: dict[str, list[RecordedEvent]] = {}
    for fields in chain["events"]:
        e = event(fields)
        assert encode(e).hex() == fields["entry"]
        assert decode(bytes.fromhex(fields["entry"]), e.hash, e.salt, e.payload) == e
        assert payload_hash(e.salt, e.payload).hex() == fields["payload_hash"]
        assert split_payload(e.payload)[1].decode() == fields["given"]
        assert event_id.recorded_at(e.event_id) == e.recorded_at
        head = head.check(e)
        assert head.hash.hex() == fields["hash"]
        groups.setdefault(fields["group_id"], []).append(e)
    assert [len(group) for group in groups.values()] == [1, 3, 1]
    for group in groups.values():
        asked = [(e.event_type, e.schema_version, e.occurred_at, split_payload(e.payload)[1]) for e in group]
        assert {e.request_hash for e in group} == {request_hash(group[0].salt, asked)}


@pytest.mark.parametrize("case", vectors("entries"), ids=lambda case: case["name"])
def test_an_entry_at_the_end_of_its_fields_has_the_pinned_bytes(case: dict[str, Any]) -> None:
    """Largest, smallest, empty, long, and texts that look alike."""
    e = event(case["event"])
    entry = encode(e)
    assert blake3(entry).hexdigest() == case["hash"]
    assert case["entry"] in (None, entry.hex())
    assert decode(entry, e.hash, e.salt, e.payload) == e


def test_no_two_vectors_share_a_hash() -> None:
    """Among them are pairs made to be confused."""
    hashes = [case["hash"] for case in vectors("entries")]
    assert len(set(hashes)) == len(hashes)


@pytest.mark.parametrize("case", vectors("event_ids"), ids=lambda case: f"{case['recorded_at']}-{case['random'][:2]}")
def test_an_event_id_has_the_pinned_bytes(case: dict[str, str]) -> None:
    """Made from a time and random bytes, and read back."""
    made = event_id.make(int(case["recorded_at"]), bytes.fromhex(case["random"]))
    assert made.hex() == case["event_id"]
    assert event_id.recorded_at(made) == int(case["recorded_at"])


def stored(table: str, columns: dict[str, Any]) -> Row:
    """Read a row as the vectors have it: as PostgreSQL shows it."""
    kinds = {name: kind for name, kind, _ in READ_MODELS[table]}

    def read(kind: str, value: Any) -> Any:
        if value is None:
            return None
        if kind == "date":
            return datetime.date.fromisoformat(value).isoformat()
        return {"amount": amounts.parse, "integer": int, "list": tuple}.get(kind, lambda same: same)(value)

    return TABLES[table].row_type(*(read(kinds[name], value) for name, value in columns.items()))


@pytest.mark.parametrize("case", vectors("rows"), ids=lambda case: case["table"])
def test_a_row_of_a_read_model_has_the_pinned_bytes(case: dict[str, Any]) -> None:
    """Every table: plain, odd with every NULL, and extreme; and its element in the state digest."""
    spec = TABLES[case["table"]]
    written = row_bytes(spec, stored(spec.name, case["columns"]))
    assert tuple(case["columns"]) == spec.columns
    assert written.decode() == case["bytes"]
    one = StateDigest()
    one.put_in(spec.name, written)
    assert blake3(one.lanes()).hexdigest() == case["element_blake3"]


def test_every_read_model_has_vectors() -> None:
    """Three rows each, so that a new table cannot come without."""
    found = [case["table"] for case in vectors("rows")]
    assert found == [table for table in TABLES for _ in range(3)]


def test_accumulators_are_the_pinned_ones() -> None:
    """From the empty set, over a row, two rows, a change of one in two steps, to the empty set again."""
    steps = vectors("state_digests")
    found = StateDigest()
    for step in steps:
        if step["step"] is not None:
            act = found.put_in if step["step"] == "put in" else found.take_out
            act(step["table"], step["row"].encode())
        assert found.lanes().hex() == step["lanes"]
        assert found.digest().hex() == step["digest"]
        found = StateDigest.from_lanes(bytes.fromhex(step["lanes"]))
    assert steps[0]["lanes"] == steps[-1]["lanes"] == bytes(digest.SIZE_BYTES).hex()


def pairs() -> dict[str, KeyPair]:
    return {
        key["key_id"]: KeyPair(key["purpose"], key["name"], bytes.fromhex(key["seed"]))
        for key in vectors("keys")["keys"]
    }


def test_keys_and_their_ids_are_the_pinned_ones() -> None:
    """Of each purpose."""
    assert {key["purpose"] for key in vectors("keys")["keys"]} == set(signatures.PURPOSES)
    for key in vectors("keys")["keys"]:
        pair = pairs()[key["key_id"]]
        assert (pair.key_id, pair.public_key.hex()) == (key["key_id"], key["public_key"])
        assert signatures.key_id_bytes(key["key_id"]).hex() == key["key_id"]


def test_rotations_and_revocations_sign_the_pinned_statements() -> None:
    """Statement and signature of each, byte for byte."""
    found, by_id = vectors("keys"), pairs()
    rotation, revocation = found["rotation"], found["revocation"]
    old, new = by_id[rotation["old"]], by_id[rotation["new"]]
    named = KeyNamed(key_id=new.key_id, purpose="publisher", name=new.name, public_key=new.public_key.hex())
    statement = rotation_statement(old.key_id, named)
    assert (ROTATION_DOMAIN + statement).hex() == rotation["signed"]
    assert old.sign(ROTATION_DOMAIN, statement).hex() == rotation["old_signature"]
    assert new.sign(ROTATION_DOMAIN, statement).hex() == rotation["new_signature"]
    statement = revocation_statement(revocation["key_id"], int(revocation["last_valid_seq"]), revocation["reason"])
    assert (REVOCATION_DOMAIN + statement).hex() == revocation["signed"]
    (recovery,) = (pair for pair in by_id.values() if pair.purpose == "recovery")
    assert recovery.sign(REVOCATION_DOMAIN, statement).hex() == revocation["signature"]


def test_acknowledgements_have_the_pinned_bytes() -> None:
    """Made and read."""
    found = vectors("acknowledgements")
    key = KeyPair("replica", "region-b", bytes.fromhex(found["seed"]))
    for case in found["acknowledgements"]:
        chain_id, head, state = (bytes.fromhex(case[name]) for name in ("chain_id", "hash", "state_digest"))
        said = Acknowledgement(
            chain_id, int(case["epoch"]), int(case["seq"]), head, state, int(case["applied_at"]), key.key_id
        )
        assert acknowledgement.encode(said, key).hex() == case["value"]
        assert acknowledgement.decode(bytes.fromhex(case["value"]), key.public_key) == said
        assert acknowledgement.peek(bytes.fromhex(case["value"])) == key.key_id


@pytest.mark.parametrize(
    "name", ["groups", "entries", "event_ids", "rows", "state_digests", "keys", "segments", "acknowledgements"]
)
def test_the_second_layout_still_makes_the_vectors(name: str) -> None:
    """So that what it says of how they were made is true."""
    makers = {"groups": make.chain, "entries": make.extremes, "rows": lambda: make.rows(READ_MODELS)}
    made = makers.get(name) or getattr(make, name)
    assert json.loads(json.dumps(made())) == vectors(name)


def test_no_domain_string_begins_another() -> None:
    """Else the bytes of one structure could be those of another."""
    from ledger.chain import entry, link
    from replicator import segment

    domains = [
        entry.MAGIC, entry.PAYLOAD_DOMAIN, entry.REQUEST_DOMAIN, link.GENESIS_DOMAIN, digest.ELEMENT_DOMAIN,
        signatures.KEY_DOMAIN, ROTATION_DOMAIN, REVOCATION_DOMAIN, segment.MAGIC, segment.DOMAIN, acknowledgement.MAGIC,
        acknowledgement.DOMAIN,
    ]  # fmt: skip
    for place, one in enumerate(domains):
        assert not any(other.startswith(one) for at, other in enumerate(domains) if at != place)


def test_the_second_layout_has_nothing_of_the_ledger() -> None:
    """Two hands agree only if they are two."""
    for module in (layout, make):
        assert module.__file__
        assert "import ledger" not in Path(module.__file__).read_text()
        assert "from ledger" not in Path(module.__file__).read_text()
