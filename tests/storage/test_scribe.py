"""
Hold what the scribe lays out to what whole events say: the same entry, the same row, the same request hash.
"""

from __future__ import annotations

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from ledger.chain import entry
from ledger.chain.entry import RecordedEvent
from ledger.domain.fold import Outcome
from ledger.errors import InvalidEvent, TooLarge
from ledger.storage import events
from ledger.storage.scribe import Scribe, payload_of, request_hash

CHAIN, CHAIN_ID, SOURCE = 7, bytes(range(16)), "engine-ü"
NAMES = st.text(st.characters(min_codepoint=1, exclude_categories=("Cs",)), min_size=1, max_size=40)
INT8 = st.integers(-(2**63), 2**63 - 1)
COUNTS = st.integers(1, 2**63 - 1)


def ids() -> st.SearchStrategy[bytes]:
    return st.one_of(st.just(bytes(16)), st.binary(min_size=16, max_size=16))


OUTCOMES = st.builds(
    Outcome, event_type=NAMES, schema_version=st.integers(0, 2**15 - 1), given=st.binary(max_size=60),
    derived=st.binary(max_size=60), stream=NAMES, stream_version=COUNTS,
    effective_on=st.integers(-719_162, 2_932_896),
)  # fmt: skip
HASHES = st.binary(min_size=32, max_size=32)
SALTS = st.binary(min_size=16, max_size=16)


@given(OUTCOMES, COUNTS, st.integers(0, 2**31 - 1), HASHES, st.tuples(ids(), ids(), ids(), ids()),
       st.integers(0, 2**15 - 2), st.tuples(INT8, INT8), NAMES, NAMES, HASHES, SALTS)  # fmt: skip
def test_an_events_entry_and_row_are_those_of_the_whole_event(
    outcome: Outcome, seq: int, epoch: int, prev_hash: bytes, named: tuple[bytes, bytes, bytes, bytes], index: int,
    times: tuple[int, int], key: str, actor: str, asked: bytes, salt: bytes,
) -> None:  # fmt: skip
    """Whatever the values, the hash is that of the entry and the row that of the event with this hash."""
    payload, size = payload_of(outcome), index + 1
    made, row = Scribe(CHAIN, CHAIN_ID, SOURCE).write(
        outcome, payload, seq, epoch, prev_hash, named, (index, size), times, (key, actor, asked), salt
    )
    whole = RecordedEvent(
        chain_id=CHAIN_ID, seq=seq, epoch=epoch, prev_hash=prev_hash, hash=made, event_id=named[0],
        event_type=outcome.event_type, schema_version=outcome.schema_version, stream=outcome.stream,
        stream_version=outcome.stream_version, group_id=named[1], group_index=index, group_size=size,
        idempotency_key=key, request_hash=asked, occurred_at=times[0], recorded_at=times[1],
        effective_on=outcome.effective_on, actor=actor, source=SOURCE, correlation_id=named[2],
        causation_id=named[3], salt=salt, payload=payload,
    )  # fmt: skip
    assert made == blake3(entry.encode(whole)).digest()
    assert [row] == events.rows_of(CHAIN, [whole])


@given(st.lists(st.tuples(OUTCOMES, INT8), min_size=1, max_size=4), st.binary(min_size=16, max_size=16))
def test_a_request_hash_is_that_of_what_was_given(asked: list[tuple[Outcome, int]], salt: bytes) -> None:
    """The scribe's and the chain's agree for groups of any size."""
    outcomes, times = [x for x, _ in asked], [time for _, time in asked]
    plain = [(x.event_type, x.schema_version, time, x.given) for x, time in asked]
    assert request_hash(salt, outcomes, times) == entry.request_hash(salt, plain)


def test_what_fits_no_field_is_refused() -> None:
    """A payload over the limit is too large, and a number out of range an invalid event."""
    scribe = Scribe(CHAIN, CHAIN_ID, SOURCE)

    def write(given: bytes, seq: int) -> None:
        outcome = Outcome("T", 1, given, b"{}", "s/1", 1, 0)
        scribe.write(
            outcome, payload_of(outcome), seq, 1, bytes(32), (bytes(16),) * 4, (0, 1), (0, 0), ("k", "a", bytes(32)),
            bytes(16),
        )  # fmt: skip

    write(b"x" * (entry.PAYLOAD_LIMIT_BYTES - 23), 1)
    with pytest.raises(TooLarge, match="262145 bytes"):
        write(b"x" * (entry.PAYLOAD_LIMIT_BYTES - 22), 1)
    with pytest.raises(InvalidEvent, match="does not fit"):
        write(b"{}", 2**63)
