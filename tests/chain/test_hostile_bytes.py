"""
Check that bytes from outside are read as exactly one event or refused by name, whatever they are.
"""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.chain import acknowledgement, event_id
from ledger.chain.acknowledgement import Acknowledgement
from ledger.chain.entry import RecordedEvent, decode, encode, payload_hash, split_payload
from ledger.chain.link import ChainHead, genesis
from ledger.chain.signatures import KeyPair, public_key_bytes
from ledger.errors import Corrupt, HashMismatch, InvalidEvent, InvalidInput, LedgerError, TooLarge, UnknownFormat
from tests.chain.test_chain import TEXTS, event

REPLICA = KeyPair("replica", "region-b", bytes(31) + b"\x03")

INTS = {
    "seq": (1, 2**63 - 1), "epoch": (0, 2**31 - 1), "stream_version": (1, 2**63 - 1), "group_size": (1, 2**15 - 1),
    "schema_version": (0, 2**15 - 1), "occurred_at": (-(2**63), 2**63 - 1), "recorded_at": (-(2**63), 2**63 - 1),
    "effective_on": (-719_162, 2_932_896),
}  # fmt: skip
BYTES = {
    "chain_id": 16, "prev_hash": 32, "event_id": 16, "group_id": 16, "correlation_id": 16, "causation_id": 16,
    "request_hash": 32, "hash": 32, "salt": 16,
}  # fmt: skip
ADVERSARIAL = st.text(
    alphabet=st.sampled_from([*'ab/\\"{}:,\x01\x7f\u00e9e\u0301\0\u2028\ufeff\ufffe\U0001d11e', "\ud800"])
    | st.characters(),
    max_size=12,
)
GOOD_TEXT = ADVERSARIAL.filter(lambda text: "\0" not in text and text.encode(errors="replace").decode() == text)


@st.composite
def events(draw: st.DrawFn) -> RecordedEvent:
    fields: dict[str, object] = {name: draw(st.integers(*bounds)) for name, bounds in INTS.items()}
    fields |= {name: draw(st.binary(min_size=width, max_size=width)) for name, width in BYTES.items()}
    fields |= {name: draw(GOOD_TEXT) for name in TEXTS}
    fields["group_index"] = draw(st.integers(0, int(str(fields["group_size"])) - 1))
    fields["payload"] = draw(st.binary(max_size=40))
    return RecordedEvent(**fields)  # type: ignore[arg-type]


def read_back(entry: bytes, e: RecordedEvent) -> RecordedEvent:
    return decode(entry, e.hash, e.salt, e.payload)


@given(events())
def test_every_event_reads_back_from_its_entry(e: RecordedEvent) -> None:
    """Whatever its numbers, ids and texts, extremes among them."""
    assert read_back(encode(e), e) == e


@given(events(), events())
def test_two_events_share_an_entry_only_if_they_are_the_same(one: RecordedEvent, other: RecordedEvent) -> None:
    """The entry of one cannot be taken for the other's; all that differs beside it is what the hash stands for."""
    same = {"hash": one.hash, "salt": one.salt, "payload": one.payload}
    assert (encode(one) == encode(msgspec.structs.replace(other, **same))) == (
        msgspec.structs.replace(other, **same) == one
    )


@given(st.lists(GOOD_TEXT, min_size=5, max_size=5), st.integers(0, 3), st.integers(1, 8))
def test_no_character_can_move_to_the_next_text(texts: list[str], place: int, count: int) -> None:
    """Neighbouring texts whose characters add up to the same are different entries."""
    moved = list(texts)
    moved[place], moved[place + 1] = texts[place][:-count], texts[place][-count:] + texts[place + 1]
    one = encode(event(**dict(zip(TEXTS, texts, strict=True))))
    assert (one == encode(event(**dict(zip(TEXTS, moved, strict=True))))) == (texts == moved)


@given(ADVERSARIAL, st.sampled_from(TEXTS))
def test_a_text_is_kept_to_the_letter_or_refused(text: str, name: str) -> None:
    """Nothing is normalised: combined and composed letters stay apart; U+0000 and lone surrogates are refused."""
    bad = "\0" in text or any("\ud800" <= character <= "\udfff" for character in text)
    e = event(**{name: text})
    if bad:
        with pytest.raises(InvalidEvent):
            encode(e)
    else:
        assert getattr(read_back(encode(e), e), name) == text


def test_a_text_of_the_longest_length_does_not_wrap() -> None:
    """0xFFFF bytes fit their length but no entry; one byte more fits neither; no length starts anew from 0."""
    with pytest.raises(TooLarge, match="an entry of"):
        encode(event(actor="x" * 0xFFFF))
    with pytest.raises(TooLarge, match="a text of"):
        encode(event(actor="x" * 0x10000))
    with pytest.raises(TooLarge, match="a text of"):
        encode(event(actor="\u00e9" * 0x8000))
    assert encode(event(actor="e\u0301")) != encode(event(actor="\u00e9"))


def test_an_entry_of_the_longest_length_is_read_back() -> None:
    """All that a bundle can hold is an entry, and one byte more is none."""
    room = 0xFFFF - len(encode(event(actor="")))
    longest = event(actor="x" * room)
    assert len(encode(longest)) == 0xFFFF
    assert read_back(encode(longest), longest) == longest


def test_every_byte_of_the_entry_is_of_one_field_and_changes_it() -> None:
    """Flip each bit: another event comes out, or the entry is refused; never the same event."""
    first = event(stream_version=5, group_index=1, group_size=3, correlation_id=b"\x05" * 16, causation_id=b"\x06" * 16)
    entry = encode(first)
    changed: set[str] = set()
    for place in range(len(entry)):
        for bit in range(8):
            flipped = entry[:place] + bytes([entry[place] ^ 1 << bit]) + entry[place + 1 :]
            try:
                found = read_back(flipped, first)
            except UnknownFormat:
                continue
            names = {f for f in RecordedEvent.__struct_fields__ if getattr(found, f) != getattr(first, f)}
            assert len(names) == 1
            changed |= names
    assert changed == set(RecordedEvent.__struct_fields__) - {"hash", "salt", "payload"}


@given(st.data())
def test_mutated_entries_are_read_as_they_stand_or_refused(data: st.DataObject) -> None:
    """Bytes replaced, cut and put in: what is accepted is laid out again as the very same bytes."""
    e = data.draw(events())
    entry = encode(e)
    place = data.draw(st.integers(0, len(entry)))
    mutated = entry[:place] + data.draw(st.binary(max_size=6)) + entry[place + data.draw(st.integers(0, 6)) :]
    try:
        found = read_back(mutated, e)
    except Corrupt:
        assert mutated != entry
    else:
        assert encode(found) == mutated


@given(st.binary(max_size=400), st.booleans())
def test_random_bytes_are_no_entry(noise: bytes, with_magic: bool) -> None:
    """Only a named error comes of them."""
    with pytest.raises(UnknownFormat):
        decode((b"trade-ledger/ev1" if with_magic else b"") + noise, bytes(32), bytes(16), b"")


@pytest.mark.parametrize(
    ("entry", "beside"),
    [
        (lambda entry: entry + b"\0", {}),
        (lambda entry: entry[:-1], {}),
        (lambda entry: entry[:-36], {}),
        (lambda entry: entry[:-68], {}),
        (lambda entry: entry.replace(b"engine-1", b"engine\0001"), {}),
        (lambda entry: entry, {"payload": b"{}"}),
        (lambda entry: entry, {"salt": bytes(16)}),
        (lambda entry: entry, {"salt": bytes(15)}),
        (lambda entry: entry, {"hash": bytes(31)}),
    ],
)  # fmt: skip
def test_an_entry_is_whole_ends_where_it_ends_and_is_of_its_payload(entry: object, beside: dict[str, bytes]) -> None:
    """A byte too many or too few, U+0000, and a payload or salt that is not the one hashed are refused."""
    first = event()
    good = {"hash": first.hash, "salt": first.salt, "payload": first.payload} | beside
    with pytest.raises(UnknownFormat):
        decode(entry(encode(first)), good["hash"], good["salt"], good["payload"])  # type: ignore[operator]


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ({"seq": 1}, {"seq": 0}),
        ({"stream_version": 1}, {"stream_version": 0}),
        ({"epoch": 2**31 - 1}, {"epoch": 2**31}),
        ({"schema_version": 2**15 - 1}, {"schema_version": 2**15}),
        ({"group_size": 2**15 - 1}, {"group_size": 2**15}),
        ({"effective_on": 2_932_896}, {"effective_on": 2_932_897}),
        ({"effective_on": -719_162}, {"effective_on": -719_163}),
        ({"occurred_at": -(2**63)}, {"occurred_at": -(2**63) - 1}),
        ({"recorded_at": 2**63 - 1}, {"recorded_at": 2**63}),
        ({"group_index": 0, "group_size": 1}, {"group_index": -1, "group_size": 1}),
    ],
)  # fmt: skip
def test_a_number_reaches_as_far_as_its_column_and_no_further(good: dict[str, object], bad: dict[str, object]) -> None:
    """Some fields of the entry are wider than the table's columns: what no table can hold is refused."""
    encode(event(**good))
    with pytest.raises(InvalidEvent):
        encode(event(**bad))


@pytest.mark.parametrize("name", [name for name in BYTES if name != "hash"])
def test_an_id_or_hash_of_another_width_has_no_entry(name: str) -> None:
    """Packing would cut or pad it, and two events would share an entry."""
    for changed in (getattr(event(), name)[:-1], getattr(event(), name) + b"\0"):
        with pytest.raises(InvalidEvent, match=name):
            encode(event(**{name: changed}))


def test_another_magic_is_named() -> None:
    """Every byte of it counts, and the message says what was found: a later version may begin so."""
    entry = encode(event())
    for place in range(16):
        with pytest.raises(UnknownFormat, match="begins with"):
            read_back(entry[:place] + bytes([entry[place] ^ 1]) + entry[place + 1 :], event())


def test_every_byte_of_a_link_counts() -> None:
    """Of the hash before it and of its own."""
    start = ChainHead(0, event().prev_hash)
    good = msgspec.structs.replace(event(), hash=start.extend(event()).hash)
    assert start.check(good).seq == 1
    for place in range(32):
        flip = bytes(place) + b"\x80" + bytes(31 - place)
        for name in ("prev_hash", "hash"):
            wrong = bytes(a ^ b for a, b in zip(getattr(good, name), flip, strict=True))
            with pytest.raises(HashMismatch):
                start.check(msgspec.structs.replace(good, **{name: wrong}))
        with pytest.raises(HashMismatch, match="belongs elsewhere"):
            ChainHead(0, bytes(a ^ b for a, b in zip(start.hash, flip, strict=True))).extend(good)


def test_an_id_of_another_version_variant_or_time_is_refused() -> None:
    """Each of the six fixed bits, and the first millisecond that 48 bits do not hold."""
    good = event_id.make(999_999, bytes(7))
    for bit in (*range(48, 52), 64, 65):
        wrong = (int.from_bytes(good, "big") ^ 1 << (127 - bit)).to_bytes(16, "big")
        with pytest.raises(InvalidEvent):
            event_id.recorded_at(wrong)
    with pytest.raises(InvalidEvent):
        event_id.make((1 << 48) * 1_000_000, bytes(7))


def test_an_origin_holds_no_surrogate() -> None:
    """The first and the last of them included."""
    for code in (0xD800, 0xDC00, 0xDFFF):
        with pytest.raises(InvalidEvent):
            genesis(bytes(16), f"a{chr(code)}b")
    assert genesis(bytes(16), "\ud7ff") != genesis(bytes(16), "\ue000")


@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda noise: b'{"derived":' + noise + b',"given":{}}'))
def test_a_payload_comes_apart_into_itself_or_is_refused(payload: bytes) -> None:
    """Random members among them."""
    try:
        derived, given_ = split_payload(payload)
    except UnknownFormat:
        return
    assert b'{"derived":' + derived + b',"given":' + given_ + b"}" == payload


@pytest.mark.parametrize("member", [b"[" * 100_000 + b"]" * 100_000, b'"\xff"', b'"\xed\xa0\x80"'])
def test_a_payload_too_deep_or_of_no_text_is_refused(member: bytes) -> None:
    """Deep nesting and bytes that are not UTF-8 are an unknown format, not a crash of who reads them."""
    with pytest.raises(UnknownFormat):
        split_payload(b'{"derived":{},"given":' + member + b"}")


def said(**changes: object) -> Acknowledgement:
    good = Acknowledgement(bytes(16), 1, 7, b"h" * 32, b"d" * 32, -9, REPLICA.key_id)
    return msgspec.structs.replace(good, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"chain_id": bytes(15)}, {"chain_id": bytes(17)}, {"hash": b"h" * 33}, {"hash": b""},
        {"state_digest": b"d" * 33}, {"state_digest": b"d" * 31}, {"epoch": 2**32}, {"epoch": -1}, {"seq": -1},
        {"applied_at": 2**63},
    ],
)  # fmt: skip
def test_a_field_of_an_acknowledgement_is_never_cut_or_padded(changes: dict[str, object]) -> None:
    """A longer hash that begins like the signed one is another hash."""
    with pytest.raises(InvalidInput):
        acknowledgement.encode(said(**changes), REPLICA)
    with pytest.raises(InvalidInput):
        acknowledgement.check(said(**changes), bytes(64), REPLICA.public_key)


@pytest.mark.parametrize("key_id", ["", "0" * 15, "0" * 17, "0" * 18, "zz" * 8, "AB" * 8, " " + "00" * 8])
def test_a_key_id_is_sixteen_lower_case_digits(key_id: str) -> None:
    """Nothing else reads as one."""
    with pytest.raises(InvalidInput):
        acknowledgement.check(said(key_id=key_id), bytes(64), REPLICA.public_key)


def test_an_acknowledgement_under_another_key_id_is_refused() -> None:
    """Though the replica itself signed it: who said it has to be read off it."""
    body = acknowledgement.encode(said(), REPLICA)[:-64]
    other = body[:-8] + bytes(8)
    with pytest.raises(UnknownFormat, match="not its signer"):
        acknowledgement.decode(other + REPLICA.sign(acknowledgement.DOMAIN, other), REPLICA.public_key)


@given(st.data())
def test_random_and_mutated_acknowledgements_are_refused(data: st.DataObject) -> None:
    """By name, however long they are."""
    value = acknowledgement.encode(said(), REPLICA)
    place = data.draw(st.integers(0, len(value)))
    mutated = value[:place] + data.draw(st.binary(max_size=8)) + value[place + data.draw(st.integers(0, 8)) :]
    for candidate in (mutated, data.draw(st.binary(max_size=300))):
        if candidate != value:
            with pytest.raises(Corrupt):
                acknowledgement.decode(candidate, REPLICA.public_key)
            if len(candidate) != len(value):
                with pytest.raises(UnknownFormat):
                    acknowledgement.peek(candidate)


@given(st.text(max_size=70) | st.binary(min_size=32, max_size=32).map(bytes.hex))
def test_a_public_key_is_64_lower_case_digits_or_refused(text: str) -> None:
    """It reads back as it was written, or there is a named error."""
    try:
        found = public_key_bytes(text)
    except LedgerError:
        assert len(text) != 64 or text.lower() != text or set(text) - set("0123456789abcdef")
    else:
        assert found.hex() == text


@given(st.binary(min_size=14, max_size=18), st.binary(max_size=4), st.binary(min_size=16, max_size=16))
def test_salt_and_payload_do_not_run_into_each_other(salt: bytes, payload: bytes, other: bytes) -> None:
    """A salt has 16 bytes, so that no byte of it can pass for one of the payload, and every byte of both counts."""
    if len(salt) != 16:
        with pytest.raises(InvalidEvent):
            payload_hash(salt, payload)
    else:
        assert (payload_hash(salt, payload) == payload_hash(other, payload)) == (salt == other)
        assert payload_hash(salt, payload) != payload_hash(salt, payload + b"\0")
