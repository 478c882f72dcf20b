"""
Lay out every structure of docs/FORMAT.md a second time, in plain steps and with nothing of the ledger.

The vectors beside this file were made by it, so that the library and the vectors are two hands. It takes what the
vectors hold: bytes as hexadecimal text, and integers as decimal text, for they pass what JSON numbers carry.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Fields = dict[str, Any]


def raw(text: str) -> bytes:
    return bytes.fromhex(text)


def number(value: str, size: int, signed: bool = False) -> bytes:
    return int(value).to_bytes(size, "big", signed=signed)


def lp(text: str) -> bytes:
    written = text.encode("utf-8")
    return len(written).to_bytes(2, "big") + written


def genesis(chain_id: str, origin: str) -> bytes:
    return blake3(b"trade-ledger/gen1" + raw(chain_id) + origin.encode("utf-8")).digest()


def payload_hash(e: Fields) -> bytes:
    return blake3(b"trade-ledger/pl1" + raw(e["salt"]) + e["payload"].encode("utf-8")).digest()


def request_hash(salt: str, asked: list[Fields]) -> bytes:
    content = b"trade-ledger/rq1" + raw(salt)
    for one in asked:
        given = one["given"].encode("utf-8")
        content += lp(one["event_type"])
        content += number(one["schema_version"], 2)
        content += number(one["occurred_at"], 8, signed=True)
        content += len(given).to_bytes(4, "big")
        content += given
    return blake3(content).digest()


def entry(e: Fields) -> bytes:
    content = b"trade-ledger/ev1"
    content += raw(e["chain_id"])
    content += number(e["seq"], 8)
    content += number(e["epoch"], 4)
    content += raw(e["prev_hash"])
    content += raw(e["event_id"])
    content += raw(e["group_id"])
    content += number(e["group_index"], 2)
    content += number(e["group_size"], 2)
    content += number(e["stream_version"], 8)
    content += number(e["occurred_at"], 8, signed=True)
    content += number(e["recorded_at"], 8, signed=True)
    content += number(e["effective_on"], 4, signed=True)
    content += raw(e["correlation_id"] or "00" * 16)
    content += raw(e["causation_id"] or "00" * 16)
    content += lp(e["event_type"])
    content += number(e["schema_version"], 2)
    content += lp(e["stream"])
    content += lp(e["actor"])
    content += lp(e["source"])
    content += lp(e["idempotency_key"])
    content += raw(e["request_hash"])
    content += len(e["payload"].encode("utf-8")).to_bytes(4, "big")
    content += payload_hash(e)
    return content


def event_id(recorded_at: str, random: str) -> bytes:
    milliseconds, nanoseconds = divmod(int(recorded_at), 1_000_000)
    bits = f"{milliseconds:048b}" + "0111" + f"{nanoseconds:020b}"[:12] + "10" + f"{nanoseconds:020b}"[12:]
    bits += f"{int(random, 16):056b}"[2:]
    return bytes(int(bits[place : place + 8], 2) for place in range(0, 128, 8))


ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def text_in_json(text: str) -> str:
    escaped = ""
    for character in text:
        if character in ESCAPES:
            escaped += ESCAPES[character]
        elif ord(character) < 0x20:
            escaped += "\\u" + format(ord(character), "04x")
        else:
            escaped += character
    return '"' + escaped + '"'


def column(kind: str, value: Any) -> str:
    """Write one column of a read model: `kind` is what docs/FORMAT.md calls it."""
    if value is None:
        return "null"
    if kind == "amount":
        return text_in_json(str(Fraction(value) * 10**18))
    if kind == "integer":
        return str(value)
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "list":
        return "[" + ",".join(text_in_json(one) for one in value) + "]"
    return text_in_json(value)


def row(kinds: dict[str, str], columns: Fields) -> bytes:
    return ("[" + ",".join(column(kinds[name], value) for name, value in columns.items()) + "]").encode("utf-8")


def element(table: str, row_bytes: bytes) -> bytes:
    return blake3(b"trade-ledger/st1" + lp(table) + row_bytes).digest(length=2048)


def added(lanes: bytes, one: bytes, sign: int = 1) -> bytes:
    total = b""
    for place in range(0, 2048, 2):
        left = int.from_bytes(lanes[place : place + 2], "little")
        right = int.from_bytes(one[place : place + 2], "little")
        total += ((left + sign * right) % 65536).to_bytes(2, "little")
    return total


def sign(seed: str, content: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(raw(seed)).sign(content)


def public_key(seed: str) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(raw(seed)).public_key().public_bytes_raw()


def key_id(purpose: str, public: bytes) -> bytes:
    return blake3(b"trade-ledger/key1" + purpose.encode() + b"\x00" + public).digest()[:8]


def content(events: list[Fields]) -> bytes:
    """What the body of a segment unpacks to."""
    made = b""
    for e in events:
        laid_out, payload = entry(e), e["payload"].encode("utf-8")
        made += len(laid_out).to_bytes(2, "big") + len(payload).to_bytes(4, "big")
        made += laid_out + raw(e["hash"]) + raw(e["salt"]) + payload
    return made


def stored_frame(data: bytes) -> bytes:
    """
    Return a zstd frame (RFC 8878) that holds *data*, below 128 KiB, as it is: one raw block, and the size stated.
    """
    header = b"\x28\xb5\x2f\xfd" + bytes([0b1010_0000]) + len(data).to_bytes(4, "little")
    return header + (len(data) << 3 | 1).to_bytes(3, "little") + data


def segment(s: Fields, events: list[Fields], seed: str) -> bytes:
    body = stored_frame(content(events))
    header = b"trade-ledger/sg1" + raw(s["chain_id"]) + number(s["epoch"], 4)
    header += number(s["first_seq"], 8) + number(s["last_seq"], 8) + raw(s["prev_hash"]) + raw(s["head_hash"])
    header += bytes([s["ends_commit"]]) + raw(s["state_digest"]) + number(s["committed_at"], 8, signed=True)
    header += key_id("publisher", public_key(seed)) + blake3(body).digest()
    return header + sign(seed, b"trade-ledger/sgs1" + header) + body


def acknowledgement(a: Fields, seed: str) -> bytes:
    said = b"trade-ledger/ak1" + raw(a["chain_id"]) + number(a["epoch"], 4) + number(a["seq"], 8)
    said += raw(a["hash"]) + raw(a["state_digest"]) + number(a["applied_at"], 8, signed=True)
    said += key_id("replica", public_key(seed))
    return said + sign(seed, b"trade-ledger/aks1" + said)
