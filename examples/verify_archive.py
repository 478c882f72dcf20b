"""Verify an archive of a trade ledger, with nothing but Python and blake3: python verify_archive.py FOLDER POLICY

POLICY is the auditor's own file (C2SP tlog-policy); docs/FORMAT.md states the bytes. An archive is whole if its
checkpoint is signed by the log and the policy's quorum of witnesses; its entries, hashed as RFC 6962 hashes a tree,
have the root that was signed; each has the BLAKE3 hash of the one before, the first that of the chain's name; payloads
hash to what their entries say. Exit status: 0 verified, 2 usage, 3 something is wrong, 4 it could not be verified.
Not checked: tiles, checkpoints/, chain.json and policy in the archive; which keys its events revoke; the form of
entries; times, groups, requests; rules, balances, positions; and whether a larger checkpoint was signed since."""

import hashlib
import sys
import zlib
from base64 import b64decode, b64encode
from pathlib import Path

from blake3 import blake3

P, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D, BASE = -121665 * pow(121666, -1, P) % P, b"\x58" + b"\x66" * 31
KINDS = {"log": (1, 1), "witness": (2, 4)}  # of a policy's line: which word is the key, and its signature type


def need(condition, otherwise):
    if not condition:
        raise ValueError(otherwise)


def read(path, limit):
    read.last = path  # what is being read where its bytes cannot be, or not be unpacked
    need(path.is_file() and path.stat().st_size <= limit, f"{path} is {'too large' if path.is_file() else 'no file'}")
    return path.read_bytes()


# Ed25519 (RFC 8032, section 5.1), only checked: points of its curve are added, multiplied, and read from 32 bytes.
def add(a, b):
    t, x, y = D * a[0] * a[1] * b[0] * b[1], a[0] * b[1] + a[1] * b[0], a[1] * b[1] + a[0] * b[0]
    return x * pow(1 + t, -1, P) % P, y * pow(1 - t, -1, P) % P


def multiply(number, point):
    return add(multiply(number // 2, add(point, point)), point if number % 2 else (0, 1)) if number else (0, 1)


def point_of(data):
    y = int.from_bytes(data, "little") % 2**255
    x2 = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(x2, (P + 3) // 8, P)
    x = x if x * x % P == x2 else x * pow(2, (P - 1) // 4, P) % P
    return x if x % 2 == data[31] >> 7 else P - x, y


def is_signed(key, message, signature):
    hashed = hashlib.sha512(signature[:32] + key + message).digest()
    number, challenge = (int.from_bytes(part, "little") for part in (signature[32:64], hashed))
    x, y = add(multiply(number, point_of(BASE)), multiply(-(challenge % ORDER) % (8 * ORDER), point_of(key)))
    return (y | x % 2 << 255).to_bytes(32, "little") + signature[32:64] == signature and number < ORDER


def read_policy(data):
    """Return the policy's keys, as (name here, name and id in signatures, type and key), its groups, and its quorum."""
    keys, groups, quorums, once = [], [], [], ["none"]  # once: the names, members and keys, of which none comes twice
    need(data[-1:] == b"\n" and not {*data} & {*range(9), *range(11, 32), 127}, "the policy is cut short, or no text")
    for line in data.decode(errors="surrogateescape").split("\n"):
        kind, *rest = [word for word in line.replace("\t", " ").split(" ") if word] or ["#"]
        needs = {"any": 1, "all": len(rest) - 2, **{str(count): count for count in range(1, len(rest) - 1)}}
        if kind in KINDS and KINDS[kind][0] <= len(rest) < KINDS[kind][0] + 2:
            signer, identity, text = rest[KINDS[kind][0] - 1].split("+", 2)
            key = b64decode(text)
            made = signer.split(), hashlib.sha256(f"{signer}\n".encode() + key).hexdigest()[:8], b64encode(key).decode()
            need(made == ([signer], identity, text) and (len(key), key[0]) == (33, KINDS[kind][1]), f"no key: {line}")
            once, keys = [*once, key[1:], *rest[: KINDS[kind][0] - 1]], [*keys, (rest[0], signer, identity, key)]
        elif kind == "group" and rest[2:] and {*rest[2:]} <= {*once[1:]} and rest[1] in needs:
            once, groups = [*once, rest[0], *((one,) for one in rest[2:])], [*groups, (needs[rest[1]], rest)]
        elif not kind.startswith("#"):
            need(kind == "quorum" and rest in [[name] for name in once], f"found no line of a policy: {line}")
            quorums += rest
    need(len(quorums) == 1 and len({*once}) == len(once), "expected one quorum line, and each key and name once")
    need(sum(key[0] == 4 for *_, key in keys) <= 240, "expected at most 240 witnesses: no checkpoint has room for more")
    return keys, groups, quorums[0]


def check_checkpoint(folder, keys, groups, quorum):
    """Return origin, size and root of the checkpoint, and what is wrong with its signatures by the policy's rules."""
    text, _, below = (data := read(folder / "checkpoint", 1_000_000)).decode().rpartition("\n\n")
    need(text.count("\n") > 1 and not {*data} & {*range(10), *range(11, 32)}, "found no text of a checkpoint")
    origin, size, root, *_ = lines = text.split("\n")
    signed = [(line.split(" ")[1], b64decode(line.split(" ")[2])) for line in below.split("\n")[:-1]]
    anew = b64encode(b64decode(root)).decode() + "".join(f"— {of} {b64encode(by).decode()}\n" for of, by in signed)
    plain = all([*lines, below]) and all(of.split() == [of] and "+" not in of and len(by) > 4 for of, by in signed)
    need(plain and anew == root + below and len(signed) < 257 and str(int(size) % 2**63) == size > "0", "no checkpoint")
    need(len(b64decode(root)) == 32, "no checkpoint: its root has not 32 bytes")
    logs, seen, wrong = [log for _, log, _, key in keys if key[0] == 1], {"none"}, ""  # seen: which names have signed
    said = [] if origin in logs else read(folder / "chain.json", 2**27).decode(errors="replace").split("\n")
    need(origin in logs or any(f'  "origin": "{log}",' in said for log in logs), "the policy is for other logs")
    for signer, blob in dict.fromkeys(signed):
        for name, *known, key in keys:  # a witness puts a time before its signature, and before what it signs
            if known == [signer, blob[:4].hex()] and (key[0] == 4 or signer == origin) and not wrong:
                time = f"cosignature/v1\ntime {int.from_bytes(blob[4:12], 'big')}\n" if key[0] == 4 else ""
                good = is_signed(key[1:], f"{time}{text}\n".encode(), blob[12 if time else 4 :])
                wrong = "" if good and (not time or blob[4] < 128) else f"the signature of {signer} is false"
                seen.add(name if time else "the log")
    for needed, (name, _, *members) in groups:
        seen |= {name} if sum(member in seen for member in members) >= needed else set()
    unmet = "" if {"the log", quorum} <= seen else f"the checkpoint lacks its log's signature or the quorum {quorum}"
    return origin, int(size), b64decode(root), wrong or unmet


def check_entries(folder, origin, size, root):
    """Check every entry and payload and the root over them; return the hash of the last entry."""
    edge, before, chain = [], b"", b""  # edge: the roots of the whole subtrees so far, the largest first
    for start in range(0, size, 256):
        width, name = min(256, size - start), "/".join(f"x{part:0>3}" for part in f"{start // 256:,}".split(","))
        name = "".join(name.rpartition("x")[::2]) + ("" if width == 256 else f".p/{width}")
        bundle = read(folder / "tile/entries" / name, 17_000_000)  # 256 entries of 64 KiB
        unpack, most = zlib.decompressobj(wbits=31), 70_000_000  # 256 payloads of 256 KiB
        segment = unpack.decompress(read(folder / "segment" / name, most), most)
        chain, here, there = chain or bundle[18:34], 0, 106  # here begins the next entry, there the next payload
        before = before or blake3(b"trade-ledger/gen1" + chain + origin.encode()).digest()
        head = b"trade-ledger/as1" + chain + (start + 1).to_bytes(8, "big") + width.to_bytes(2, "big") + before
        for seq in range(start + 1, start + width + 1):
            length = int.from_bytes(segment[there + 16 : there + 20], "big")
            salted = segment[there : there + 16] + segment[there + 20 : (there := there + 20 + length)]
            entry = bundle[here + 2 : (here := here + 2 + int.from_bytes(bundle[here : here + 2], "big"))]
            fits = entry[16:40] == chain + seq.to_bytes(8, "big") and entry[44:76] == before
            need(fits, f"entry {seq} was changed, or does not follow the one before")
            need(blake3(b"trade-ledger/pl1" + salted).digest() == entry[-32:], f"the payload of event {seq} is another")
            before, edge = blake3(entry).digest(), [*edge, hashlib.sha256(b"\0" + entry).digest()]
            for _ in range((seq & -seq).bit_length() - 1):  # as often as two subtrees of one size stand side by side
                edge[-2:] = [hashlib.sha256(b"\1" + edge[-2] + edge[-1]).digest()]
        whole = (here, there) == (len(bundle), len(segment)) and unpack.eof and not unpack.unused_data
        need(whole and segment[:106] == head + before, f"files {name} are cut or go on, or a head was changed")
    while len(edge) > 1:
        edge[-2:] = [hashlib.sha256(b"\1" + edge[-2] + edge[-1]).digest()]
    need(edge == [root], f"the entries have root {edge[0].hex()}; {root.hex()} was signed")
    return before.hex()


if __name__ == "__main__":
    status = 2
    try:
        (folder, policy), status = map(Path, sys.argv[1:]), 4
        (*said, wrong), status = check_checkpoint(folder, *read_policy(read(policy, 1_000_000))), 3
        head, unsaid = need(not wrong, wrong) or check_entries(folder, *said), __doc__[__doc__.index("Not checked") :]
    except (OSError, LookupError, ValueError, zlib.error) as error:
        status = 4 if isinstance(error, OSError) else status  # what cannot be read is not shown to be wrong
        said = ascii(f"{read.last}: {error}" if isinstance(error, OSError | zlib.error) else f"{error}")[1:-1]  # plain
        print({2: "give FOLDER and POLICY", 3: f"BROKEN: {said}", 4: f"could not verify: {said}"}[status])
        sys.exit(status)
    print(f"VERIFIED: {said[1]} events of {said[0]}, head {head}, root {said[2].hex()}", unsaid, sep="\n")
