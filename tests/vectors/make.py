"""
Make the vectors that are not there yet: `python -m tests.vectors.make`.

A file that is there is never written again: what it holds is on disks elsewhere. A new kind of bytes gets a new
file. All of it comes from layout.py; nothing here imports the ledger.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from tests.vectors import layout

FOLDER = Path(__file__).parent
CHAIN_ID = bytes(range(16)).hex()
ORIGIN = "example.com/ledger"
TIME = 1_723_161_254_087_891_268
COMMON: dict[str, Any] = {
    "chain_id": CHAIN_ID, "epoch": "1", "actor": "engine-1", "source": "engine", "effective_on": "19943",
    "correlation_id": None, "causation_id": None, "schema_version": "1",
}  # fmt: skip
PUBLISHER = {
    "key_id": layout.key_id("publisher", layout.public_key("02" * 32)).hex(), "name": "region-a",
    "purpose": "publisher", "public_key": layout.public_key("02" * 32).hex(),
}  # fmt: skip
MEMO = "Zins f\u00fcr M\u00e4rz \u2014 \u5229\u606f \U0001d11e"
OTHER_MEMO = 'e\u0301 is not \u00e9; "quoted" \\ \u2028 </x>'
GROUPS: list[dict[str, Any]] = [
    {
        "asked": [("ChainCreated", "chain/control", {"format_version": 1, "keys": [PUBLISHER], "origin": ORIGIN})],
        "idempotency_key": "init", "actor": "init", "source": "init",
    },
    {
        "asked": [
            ("JournalPosted", "journal/J-1", {"journal_id": "J-1", "memo": MEMO}),
            ("OrderPlaced", "order/O-17", {"order_id": "O-17", "strategy": OTHER_MEMO}),
            ("OrderCanceled", "order/O-17", {"order_id": "O-17"}),
        ],
        "idempotency_key": "cl-17", "correlation_id": "c0" * 16, "causation_id": "ca" * 16, "occurred_at": "-5",
        "effective_on": "-3", "actor": "desk 3 \u00e9", "source": "",
    },
    {
        "asked": [("OrderAccepted", "order/O-18", {"order_id": "O-18", "venue": "V"})],
        "idempotency_key": "x", "epoch": "2",
    },
]  # fmt: skip


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def chain() -> dict[str, Any]:
    """A chain of three groups, one of them of three events."""
    start = head = layout.genesis(CHAIN_ID, ORIGIN).hex()
    events: list[dict[str, Any]] = []
    for nth, group in enumerate(GROUPS):
        more = {name: value for name, value in group.items() if name != "asked"}
        made = []
        for index, (kind, stream, given) in enumerate(group["asked"]):
            seq = len(events) + index + 1
            at = str(TIME + 1_000_001 * seq)
            made.append(COMMON | {
                "seq": str(seq), "event_type": kind, "stream": stream,
                "stream_version": str(1 + sum(e["stream"] == stream for e in [*events, *made])),
                "group_id": bytes([0xA0 + nth] * 16).hex(), "group_index": str(index),
                "group_size": str(len(group["asked"])),
                "event_id": layout.event_id(at, bytes([seq] * 7).hex()).hex(), "recorded_at": at,
                "occurred_at": str(TIME), "salt": bytes([0x50 + seq] * 16).hex(), "given": canonical(given),
                "payload": '{"derived":' + canonical({"n": seq}) + ',"given":' + canonical(given) + "}",
            } | more)  # fmt: skip
        asked_hash = layout.request_hash(made[0]["salt"], made).hex()
        for e in made:
            e |= {"request_hash": asked_hash, "prev_hash": head}
            e |= {"payload_hash": layout.payload_hash(e).hex(), "entry": layout.entry(e).hex()}
            e["hash"] = head = blake3(layout.raw(e["entry"])).hexdigest()
            events.append(e)
    return {"chain_id": CHAIN_ID, "origin": ORIGIN, "genesis": start, "events": events}


def extremes() -> list[dict[str, Any]]:
    """Single entries at the ends of every field, each with its name."""
    plain = chain()["events"][0]
    long = "x" * 65_000
    cases: dict[str, dict[str, Any]] = {
        "plain": {},
        "largest numbers": {
            "seq": str(2**63 - 1), "epoch": str(2**31 - 1), "group_index": "32766", "group_size": "32767",
            "stream_version": str(2**63 - 1), "schema_version": "32767", "occurred_at": str(2**63 - 1),
            "recorded_at": str(2**63 - 1), "effective_on": "2932896",
        },
        "smallest numbers": {
            "seq": "1", "epoch": "0", "group_index": "0", "group_size": "1", "stream_version": "1",
            "schema_version": "0", "occurred_at": str(-(2**63)), "recorded_at": str(-(2**63)),
            "effective_on": "-719162",
        },
        "minus one": {"occurred_at": "-1", "effective_on": "-1"},
        "empty texts": dict.fromkeys(("event_type", "stream", "actor", "source", "idempotency_key", "payload"), ""),
        "composed": {"actor": "\u00e9"},
        "combining": {"actor": "e\u0301"},
        "texts of every width": {
            "actor": "\x01\x7f\u0080\u07ff\u0800\uffff\U00010000\U0010ffff", "source": "\ufeff\u202e",
        },
        "only correlation": {"correlation_id": "11" * 16},
        "only causation": {"causation_id": "11" * 16},
        "long text": {"actor": long},
        "moved to the left": {"stream": "ab", "actor": "c"},
        "moved to the right": {"stream": "a", "actor": "bc"},
    }  # fmt: skip
    made = []
    for name, changes in cases.items():
        e = {k: v for k, v in plain.items() if k not in ("given", "hash", "entry", "payload_hash")} | changes
        written = layout.entry(e)
        shown = written.hex() if len(written) < 1000 else None
        made.append({"name": name, "event": e, "entry": shown, "hash": blake3(written).hexdigest()})
    return made


def event_ids() -> list[dict[str, str]]:
    times = (0, 1, 255, 256, 999_999, 1_000_000, TIME, TIME + 1, (1 << 48) * 1_000_000 - 1)
    cases = [(str(at), noise) for at in times for noise in ("00" * 7, "ff" * 7)]
    return [{"recorded_at": at, "random": noise, "event_id": layout.event_id(at, noise).hex()} for at, noise in cases]


ODD = 'a"b\\c/d\x01\x08\t\n\x0c\r\x1f\x7f<&>\u00e9\u2028\ufeff\U0001d11e'
VALUES: dict[str, tuple[Any, ...]] = {
    "text": ("A", ODD, ""), "date": ("2024-08-08", "0001-01-01", "9999-12-31"),
    "integer": ("1", str(2**63 - 1), str(-(2**63))), "boolean": (True, False, True),
    "amount": ("1.500000000000000000", "-0.000000000000000001", "1000000000000000000000000000000"),
    "list": (["a", "b"], [], [ODD, ""]),
}  # fmt: skip


def rows(tables: dict[str, list[tuple[str, str, bool]]]) -> list[dict[str, Any]]:
    """
    Three rows a table: plain, odd with NULL wherever it may be, and extreme.

    *tables*: of each column its name, its kind and whether it may be NULL.
    """
    made = []
    for table, columns in tables.items():
        kinds = {name: kind for name, kind, _ in columns}
        for nth in range(3):
            values = {name: None if nth == 1 and null else VALUES[kind][nth] for name, kind, null in columns}
            written = layout.row(kinds, values)
            made.append({"table": table, "columns": values, "bytes": written.decode(),
                         "element_blake3": blake3(layout.element(table, written)).hexdigest()})  # fmt: skip
    return made


def state_digests() -> list[dict[str, Any]]:
    """Steps from the empty set: what is put in or taken out, and the accumulator and digest after it."""
    balance = ["A", "USDT", "1000000000000000000", "0", "0", None, False, False]
    changed = ["A", "USDT", "2500000000000000000", "0", "0", None, False, False]
    steps: list[tuple[str, str, str]] = [
        ("put in", "streams", canonical(["chain/control", 1])), ("put in", "balances", canonical(balance)),
        ("take out", "balances", canonical(balance)), ("put in", "balances", canonical(changed)),
        ("take out", "streams", canonical(["chain/control", 1])), ("take out", "balances", canonical(changed)),
    ]  # fmt: skip
    lanes = bytes(2048)
    made: list[dict[str, Any]] = [{"step": None, "lanes": lanes.hex(), "digest": blake3(lanes).hexdigest()}]
    for what, table, row in steps:
        element = layout.element(table, row.encode())
        lanes = layout.added(lanes, element, 1 if what == "put in" else -1)
        made.append(
            {"step": what, "table": table, "row": row, "lanes": lanes.hex(), "digest": blake3(lanes).hexdigest()}
        )
    return made


def keys() -> dict[str, Any]:
    pairs = []
    for nth, purpose in enumerate(("checkpoint", "publisher", "publisher", "replica", "recovery"), 1):
        seed = bytes([nth] * 32).hex()
        public = layout.public_key(seed)
        pairs.append({"purpose": purpose, "name": "region-a", "seed": seed, "public_key": public.hex(),
                      "key_id": layout.key_id(purpose, public).hex()})  # fmt: skip
    old, new, recovery = pairs[1], pairs[2], pairs[4]
    rotation = "\n".join((old["key_id"], *(new[name] for name in ("key_id", "purpose", "name", "public_key"))))
    revocation = "\n".join((old["key_id"], "41", "lost \u00e9\nin a fire"))
    rotated = b"trade-ledger/rot1" + rotation.encode()
    return {
        "keys": pairs,
        "rotation": {
            "old": old["key_id"], "new": new["key_id"], "signed": rotated.hex(),
            "old_signature": layout.sign(old["seed"], rotated).hex(),
            "new_signature": layout.sign(new["seed"], rotated).hex(),
        },
        "revocation": {
            "key_id": old["key_id"], "last_valid_seq": "41", "reason": "lost \u00e9\nin a fire",
            "signed": (b"trade-ledger/rev1" + revocation.encode()).hex(),
            "signature": layout.sign(recovery["seed"], b"trade-ledger/rev1" + revocation.encode()).hex(),
        },
    }  # fmt: skip


def segments() -> dict[str, Any]:
    """Segments of the events of groups.json: one that ends no commit, one that does; bodies are stored, not packed."""
    events, seed = chain()["events"], bytes([2] * 32).hex()
    made = []
    for first, last, ends in ((1, 4, False), (5, 5, True)):
        run = events[first - 1 : last]
        s = {
            "chain_id": CHAIN_ID, "epoch": run[-1]["epoch"], "first_seq": str(first), "last_seq": str(last),
            "prev_hash": run[0]["prev_hash"], "head_hash": run[-1]["hash"], "ends_commit": ends,
            "state_digest": "d1" * 32 if ends else "00" * 32, "committed_at": run[-1]["recorded_at"] if ends else "0",
        }  # fmt: skip
        made.append(s | {"content": layout.content(run).hex(), "value": layout.segment(s, run, seed).hex()})
    return {"seed": seed, "segments": made}


def acknowledgements() -> dict[str, Any]:
    seed = bytes([4] * 32).hex()
    made = []
    for seq, at in (("5", str(TIME)), (str(2**63 - 1), "-1")):
        a = {
            "chain_id": CHAIN_ID,
            "epoch": "2",
            "seq": seq,
            "hash": "a5" * 32,
            "state_digest": "d1" * 32,
            "applied_at": at,
        }
        made.append(a | {"value": layout.acknowledgement(a, seed).hex()})
    return {"seed": seed, "acknowledgements": made}


def key_backup() -> dict[str, Any]:
    """The key of the signer, sealed by the standard library's scrypt, at the least cost that is read."""
    signer = keys()["keys"][0]
    file = canonical({name: signer[name] for name in ("purpose", "name", "key_id", "seed")}) + "\n"
    content = {"made_at": 1_723_161_254, "keys": {"checkpoint.json": file}, "state": None, "schema_version": 1}
    passphrase, salt, nonce = "correct horse battery staple", bytes(range(16)), bytes(range(16, 28))
    key = hashlib.scrypt(passphrase.encode(), salt=salt, n=1 << 14, r=8, p=1, dklen=32)
    header = b"trade-ledger/kb1" + bytes([14, 8, 1]) + salt + nonce
    sealed = ChaCha20Poly1305(key).encrypt(nonce, json.dumps(content).encode(), header)
    return {"passphrase": passphrase, "key": key.hex(), "content": content, "file": (header + sealed).hex()}


def main() -> None:
    from tests.vectors.read_models import READ_MODELS

    for name, made in (
        ("groups", chain), ("entries", extremes), ("event_ids", event_ids), ("rows", lambda: rows(READ_MODELS)),
        ("state_digests", state_digests), ("keys", keys), ("segments", segments),
        ("acknowledgements", acknowledgements), ("key_backup", key_backup),
    ):  # fmt: skip
        path = FOLDER / f"{name}.json"
        if path.exists():
            print(f"{path.name} is there and stays as it is")
            continue
        path.write_text(json.dumps(made(), indent=1, ensure_ascii=True) + "\n")
        print(f"{path.name} written")


if __name__ == "__main__":
    main()
