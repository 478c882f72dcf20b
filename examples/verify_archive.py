"""
Verify an archive of a trade ledger, with nothing but Python and blake3: python verify_archive.py FOLDER POLICY

Written to be read, by who trusts no program of the ledger's authors. POLICY is the auditor's own file and says whose
signatures count (C2SP tlog-policy). docs/FORMAT.md states the bytes. An archive is whole if
1. its checkpoint is signed by the log and by as many witnesses as the policy's quorum says;
2. the entries, hashed as RFC 6962 hashes a tree, have the root that was signed;
3. each entry holds the BLAKE3 hash of the entry before it, and the first one that of the chain's name;
4. each payload hashes to what its entry says.
Exit status: 0 verified, 2 usage, 3 something is wrong, 4 nothing to verify, or unreadable.
"""

import base64
import gzip
import hashlib
import struct
import sys
import zlib
from pathlib import Path

from blake3 import blake3

P, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
KINDS = {"log": (1, 1), "witness": (2, 4)}  # of a policy's line: which word is the key, and its signature type
D = -121665 * pow(121666, -1, P) % P


# Ed25519 (RFC 8032, section 5.1), only checked: points of its curve are added, multiplied, and read from 32 bytes.
def add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    return ((f - e) * (d - c) % P, (d + c) * (f + e) % P, (d - c) * (d + c) % P, (f - e) * (f + e) % P)


def multiply(number, point):
    result = (0, 1, 1, 0)
    for bit in bin(number)[2:]:
        result = add(result, result)
        result = add(result, point) if bit == "1" else result
    return result


def point_of(data):
    y, sign = int.from_bytes(data, "little") & (1 << 255) - 1, data[31] >> 7
    x2 = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(x2, (P + 3) // 8, P)
    x = x if x * x % P == x2 else x * pow(2, (P - 1) // 4, P) % P
    if y >= P or x * x % P != x2 or (x == 0 and sign):
        raise ValueError("a key or signature is no point of the curve")
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


def is_signed(key, message, signature):
    if len(signature) != 64 or int.from_bytes(signature[32:], "little") >= ORDER:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    left = multiply(int.from_bytes(signature[32:], "little"), point_of(b"\x58" + b"\x66" * 31))
    right = add(point_of(signature[:32]), multiply(challenge, point_of(key)))
    return all((left[i] * right[2] - right[i] * left[2]) % P == 0 for i in (0, 1))


def read_policy(text):
    rules = [line.split() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    if sum(rule[0] == "quorum" for rule in rules) != 1 or {rule[0] for rule in rules} - {*KINDS, "group", "quorum"}:
        raise ValueError("the policy needs log, witness and group lines, and exactly one quorum line")
    return rules


def check_checkpoint(note, rules):
    """Return origin, size and root of the checkpoint, once the policy's rules accept its signatures."""
    text, _, lines = note.rpartition("\n\n")
    signed, (origin, size, root) = (text + "\n").encode(), text.split("\n")[:3]
    keys = [(rule, rule[KINDS[rule[0]][0]]) for rule in rules if rule[0] in KINDS]
    seen, by_log = {"none"}, False  # which names of the policy have signed
    for line in lines.splitlines():
        _, name, blob = line.split(" ")
        identity, signature = base64.b64decode(blob)[:4].hex(), base64.b64decode(blob)[4:]
        for rule, key in keys:
            if key.split("+")[:2] != [name, identity]:
                continue
            material, message = base64.b64decode(key.split("+", 2)[2]), signed
            if rule[0] == "witness":  # a time stands before its signature, and before what it signed
                time, signature = int.from_bytes(signature[:8], "big"), signature[8:]
                message = f"cosignature/v1\ntime {time}\n".encode() + signed
            if material[0] != KINDS[rule[0]][1] or not is_signed(material[1:], message, signature):
                raise ValueError(f"the signature of {name} under the checkpoint is false")
            by_log = by_log or (rule[0] == "log" and name == origin)
            seen |= {rule[1]} if rule[0] == "witness" else set()
    for rule in rules:
        if rule[0] == "group":
            needed = {"any": 1, "all": len(rule) - 3}.get(rule[2]) or int(rule[2])
            seen |= {rule[1]} if sum(member in seen for member in rule[3:]) >= needed else set()
    if not by_log or next(rule[1] for rule in rules if rule[0] == "quorum") not in seen:
        raise ValueError(f"the checkpoint of {origin} lacks its log's signature or the quorum of witnesses")
    return origin, int(size), base64.b64decode(root)


def check_entries(folder, origin, size, root):
    """Check every entry and payload and the root over them; return the hash of the last entry."""
    edge, before = [], None  # edge: the whole subtrees so far, as (leaves, root), the largest first
    for start in range(0, size, 256):
        width = min(256, size - start)
        name = "/".join(f"x{digits:0>3}" for digits in f"{start // 256:,}".split(","))
        name = "".join(name.rpartition("x")[::2]) + ("" if width == 256 else f".p/{width}")
        bundle = (folder / "tile/entries" / name).read_bytes()
        with gzip.open(folder / "segment" / name) as file:
            segment = file.read(70_000_000)  # more than 256 payloads of 256 KiB have
        here, there = 0, 106  # where the next entry and the next payload begin
        for seq in range(start + 1, start + width + 1):
            entry = bundle[here + 2 : here + 2 + struct.unpack_from(">H", bundle, here)[0]]
            before = before or blake3(b"trade-ledger/gen1" + entry[16:32] + origin.encode()).digest()
            if struct.unpack_from(">Q", entry, 32)[0] != seq or entry[44:76] != before:
                raise ValueError(f"entry {seq} was changed, or does not follow the one before")
            salt, length = struct.unpack_from(">16sI", segment, there)
            payload = segment[there + 20 : there + 20 + length]
            if blake3(b"trade-ledger/pl1" + salt + payload).digest() != entry[-32:]:
                raise ValueError(f"the payload of event {seq} is not the one that was recorded")
            here, there, before = here + 2 + len(entry), there + 20 + length, blake3(entry).digest()
            leaves, node = 1, hashlib.sha256(b"\0" + entry).digest()
            while edge and edge[-1][0] == leaves:
                leaves, node = leaves * 2, hashlib.sha256(b"\1" + edge.pop()[1] + node).digest()
            edge.append((leaves, node))
        if (here, there) != (len(bundle), len(segment)):
            raise ValueError(f"bytes follow event {start + width} where none belong")
    made = edge.pop()[1] if edge else hashlib.sha256(b"").digest()
    while edge:
        made = hashlib.sha256(b"\1" + edge.pop()[1] + made).digest()
    if made != root:
        raise ValueError(f"the entries have root {made.hex()}; {root.hex()} was signed")
    return before.hex() if before else "none"


if __name__ == "__main__":
    status = 2
    try:
        folder, policy = map(Path, sys.argv[1:])
        status = 4
        note, rules = (folder / "checkpoint").read_text(), read_policy(policy.read_text())
        status = 3
        origin, size, root = check_checkpoint(note, rules)
        print(
            f"VERIFIED: {size} events of {origin}, head {check_entries(folder, origin, size, root)}, root {root.hex()}"
        )
        print("not checked: rules, balances and positions; whether a larger checkpoint was signed since")
    except (OSError, LookupError, ValueError, EOFError, struct.error, zlib.error) as error:
        print({2: "give FOLDER and POLICY", 3: f"BROKEN: {error}", 4: f"could not verify: {error}"}[status])
        sys.exit(status)
