"""
Verify an export of a ledger with nothing but docs/FORMAT.md: Python's standard library and the package blake3.

    psql -XAtq -v ON_ERROR_STOP=1 -f examples/export.sql ADDRESS > export.jsonl
    python examples/verify_export.py export.jsonl

All but signatures and rules is checked. It shares no line with the ledger, on purpose.
"""

import datetime
import json
import re
import struct
import sys
from fractions import Fraction
from pathlib import Path

from blake3 import blake3

PAGE = Path(__file__).parents[1] / "docs" / "FORMAT.md"
SAME_IN_A_GROUP = ("group_id", "group_size", "idempotency_key", "request_hash", "source", "actor")


def demand(holds, what):
    if not holds:
        sys.exit(f"BROKEN: {what}")


def blake(*parts):
    return blake3(b"".join(parts)).digest()


def raw(text):  # bytea and uuid; NULL is zeros
    return bytes(16) if text is None else bytes.fromhex(text.removeprefix("\\x").replace("-", ""))


def lp(text):
    demand("\0" not in text, "a text holds U+0000")
    return struct.pack(">H", len(text.encode())) + text.encode()


def entry(chain_id, e):
    payload, ids = e["payload_text"].encode(), (e["correlation_id"], e["causation_id"])
    demand(all(one is None or any(raw(one)) for one in ids), f"event {e['seq']} has an id of zeros")
    day = datetime.date.fromisoformat(e["effective_on"]).toordinal() - datetime.date(1970, 1, 1).toordinal()
    fixed = struct.pack(
        ">16s16sQI32s16s16sHHQqqi16s16s", b"trade-ledger/ev1", chain_id, e["seq"], e["epoch"], raw(e["prev_hash"]),
        raw(e["event_id"]), raw(e["group_id"]), e["group_index"], e["group_size"], e["stream_version"],
        e["occurred_at"], e["recorded_at"], day, *map(raw, ids),
    )  # fmt: skip
    texts = (e["stream"], e["actor"], e["source"], e["idempotency_key"])
    middle = lp(e["event_type"]) + struct.pack(">H", e["schema_version"]) + b"".join(map(lp, texts))
    hashed = blake(b"trade-ledger/pl1", raw(e["salt"]), payload)
    return fixed + middle + raw(e["request_hash"]) + struct.pack(">I", len(payload)) + hashed


def given(payload):
    json.loads(payload)
    _, end = json.JSONDecoder().raw_decode(payload, len('{"derived":'))
    good = payload.startswith('{"derived":{') and payload.startswith(',"given":{', end) and payload.endswith("}}")
    demand(good, "a payload is not its two members")
    return payload[end + len(',"given":') : -1].encode()


def check_group(group):
    first, content = group[0], b"trade-ledger/rq1" + raw(group[0]["salt"])
    for index, e in enumerate(group):
        asked, same = given(e["payload_text"]), all(e[name] == first[name] for name in SAME_IN_A_GROUP)
        demand(same and e["group_index"] == index, f"event {e['seq']} is not the next of its group")
        content += lp(e["event_type"]) + struct.pack(">HqI", e["schema_version"], e["occurred_at"], len(asked)) + asked
    demand(blake(content) == raw(first["request_hash"]), f"request hash of event {first['seq']}")


def check_chain(chain, tables):
    chain_id, keys, streams, ends, group = raw(chain["chain_id"]), {}, {}, {}, []
    head = blake(b"trade-ledger/gen1", chain_id, chain["origin"].encode())
    last = {"seq": 0, "recorded_at": 0, "epoch": 1}
    demand(head == raw(chain["genesis"]) and chain["format_version"] == 1, "genesis")
    for e in tables.get("events", ()):
        where = f"event {e['seq']}"
        demand(e["seq"] == last["seq"] + 1 and raw(e["prev_hash"]) == head, f"{where} does not follow {last['seq']}")
        head = blake(entry(chain_id, e))
        demand(raw(e["hash"]) == head, f"{where}: its columns have another hash")
        demand(e["recorded_at"] > last["recorded_at"] and e["epoch"] >= last["epoch"], f"{where}: time or epoch")
        milliseconds, nanoseconds = divmod(e["recorded_at"], 1_000_000)
        bits, low = f"{int.from_bytes(raw(e['event_id']), 'big'):0128b}", f"{nanoseconds:020b}"
        demand(bits[:74] == f"{milliseconds:048b}0111{low[:12]}10{low[12:]}", f"{where}: event_id")
        streams[e["stream"]] = version = streams.get(e["stream"], 0) + 1
        good = e["stream_version"] == version and (e["event_type"] == "ChainCreated") == (e["seq"] == 1)
        demand(good, f"{where}: stream_version or event_type")
        if e["seq"] == 1:
            made = json.loads(given(e["payload_text"]))
            demand((made["origin"], made["format_version"]) == (chain["origin"], 1), "event 1 creates another chain")
        group.append(e)
        if len(group) == e["group_size"]:
            check_group(group)
            demand((e["source"], e["idempotency_key"]) not in keys, f"{where}: its key was used before")
            keys[e["source"], e["idempotency_key"]] = group[0]["seq"]
            ends[e["seq"]], group = e["recorded_at"], []
        last = e
    demand(not group, "the last group is not complete")
    (stored,), rows = tables["chain_heads"], tables.get("idempotency_keys", ())
    same = all(stored[name] == last[name] for name in ("seq", "recorded_at", "epoch"))
    demand(same and raw(stored["hash"]) == head and stored["unbalanced"] is None, "the head is not the last event's")
    demand({(k["source"], k["key"]): k["first_seq"] for k in rows} == keys, "idempotency keys")
    return ends, head


def in_json(value, kind):
    if value is None or kind in ("boolean", "integer"):
        return json.dumps(value)
    if kind == "list":
        return "[" + ",".join(in_json(one, "text") for one in value) + "]"
    if kind == "amount":
        value = Fraction(value) * 10**18
        demand(value.denominator == 1, f"amount {value} is finer than 10^-18")
    return json.dumps(str(value), ensure_ascii=False)


def state(tables):
    lanes = [0] * 1024
    for paragraph in re.search(r"^```columns\n(.*?)\n```$", PAGE.read_text(), re.S | re.M)[1].split("\n\n"):
        table, columns = " ".join(paragraph.split()).split(": ")
        kinds = [(name.strip("*"), kind.strip("?")) for name, kind in map(str.split, columns.split(", "))]
        for row in tables.get(table, ()):
            written = "[" + ",".join(in_json(row[name], kind) for name, kind in kinds) + "]"
            wide = blake3(b"trade-ledger/st1" + lp(table) + written.encode()).digest(length=2048)
            lanes = [(one + other) % 65536 for one, other in zip(lanes, struct.unpack("<1024H", wide), strict=True)]
    return struct.pack("<1024H", *lanes)


def check(tables):  # of one chain
    (chain,), (stored,), lanes, before = tables["chains"], tables["state_digests"], state(tables), 0
    ends, head = check_chain(chain, tables)
    for c in tables.get("commits", ()):
        demand((c["first_seq"], c["committed_at"]) == (before + 1, ends.get(c["last_seq"])), f"commit {c['last_seq']}")
        before, digest = c["last_seq"], c["state_digest"]
    demand(before == stored["seq"] == max(ends, default=0), "the last commit, or the state digest, is not at the head")
    demand(raw(stored["lanes"]) == lanes and (not before or raw(digest) == blake(lanes)), "the read models' digest")
    print(f"verified: {chain['origin']}, {before} events, head {head.hex()}")


def main(path):
    chains = {}
    for line in Path(path).read_bytes().splitlines():
        found = json.loads(line, parse_float=str)
        chains.setdefault(found["row"]["chain"], {}).setdefault(found["table"], []).append(found["row"])
    demand(chains, "no chain is in the export")
    for number in sorted(chains):
        check(chains[number])


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except (ValueError, TypeError, AttributeError, LookupError, struct.error) as error:
        sys.exit(f"BROKEN: the export holds what no ledger writes: {error!r}")
