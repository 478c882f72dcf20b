"""
Hash the payloads and entries of a run of rows: what is left to do for each of them by itself.

One hasher serves a whole run, since to make one costs as much as to hash. Pure: bytes in, hashes out.
"""

from __future__ import annotations

from blake3 import blake3


def of_payloads(data: bytes, salted: list[bytes], begins: list[int], ends: list[int]) -> list[bytes]:
    """
    Return the hash of each payload in *data*; each begins with the lower half of its width. *salted* has the domain of
    payloads and the salt of each, which go before it.
    """
    hasher = blake3()
    reset, update, digest = hasher.reset, hasher.update, hasher.digest
    found: list[bytes] = []
    for row in range(len(salted)):
        reset()
        update(salted[row] + data[begins[row] + 2 : ends[row]])
        found.append(digest())
    return found


def of_entries(
    data: bytes,
    starts: list[bytes],
    versions: list[bytes],
    texts: list[list[int]],
    requests: list[bytes],
    sizes: list[bytes],
    payloads: list[bytes],
) -> tuple[list[bytes], bytes]:
    """
    Return the entry of each row, laid out as docs/FORMAT.md has it, and the hashes of all of them.

    *texts* are where the five texts of each row begin and end in *data*, one list a border.
    """
    a, b, c, d, e, f, g, h, i, j = texts
    hasher = blake3()
    reset, update, digest = hasher.reset, hasher.update, hasher.digest
    entries: list[bytes] = []
    found: list[bytes] = []
    for row in range(len(starts)):
        entry = b"".join((
            starts[row], data[a[row] : b[row]], versions[row], data[c[row] : d[row]], data[e[row] : f[row]],
            data[g[row] : h[row]], data[i[row] : j[row]], requests[row], sizes[row], payloads[row],
        ))  # fmt: skip
        reset()
        update(entry)
        entries.append(entry)
        found.append(digest())
    return entries, b"".join(found)
