"""
Write the whole folded state as the bytes of a snapshot, and read them back.

A snapshot is every row of every read model at the end of a commit, as lines of `table row` in the order of tables and
bytes (rows as docs/FORMAT.md writes them for the state digest), compressed by zstd. Whether the rows are those of a
chain is for the caller to hold against a digest: these bytes prove nothing.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import zstandard

from ledger.chain.digest import StateDigest
from ledger.domain.row_bytes import row_bytes
from ledger.domain.rows import TABLES, Row, TableSpec
from ledger.domain.state import State

MAGIC: Final = b"trade-ledger/sn1\n"
LIMIT_BYTES: Final = 2**31
"""Most that a snapshot may unpack to: what is stored is not trusted with the reader's memory."""


def encode(state: State) -> bytes:
    """
    Return the rows of *state* as they are kept: the same state, the same bytes before compression.
    """
    parts = [MAGIC]
    for name, spec in TABLES.items():
        head = name.encode() + b" "
        parts += [
            head + line + b"\n" for line in sorted(row_bytes(spec, row) for row in state.table(name).rows.values())
        ]
    return zstandard.ZstdCompressor(level=6).compress(b"".join(parts))


def _row(spec: TableSpec, line: bytes) -> Row:
    values: list[Any] = msgspec.json.decode(line, type=list[Any])
    if len(values) != len(spec.columns):
        raise ValueError(f"found {len(values)} columns of {spec.name}; expected {len(spec.columns)}")
    return spec.row_type(
        *(
            int(value) if name in spec.amounts and value is not None
            else tuple(value) if isinstance(value, list) else value
            for name, value in zip(spec.columns, values, strict=True)
        )
    )  # fmt: skip


def decode(kept: bytes) -> State:
    """
    Return the state that `encode` wrote.

    Raises:
        ValueError: the bytes are none.
    """
    try:
        if not 0 <= zstandard.frame_content_size(kept) <= LIMIT_BYTES:
            raise ValueError(f"found a frame that says no size, or more than {LIMIT_BYTES} bytes")
        unpacked = zstandard.ZstdDecompressor().decompress(kept, allow_extra_data=False)
        if not unpacked.startswith(MAGIC):
            raise ValueError(f"found bytes that do not begin with {MAGIC!r}")
        state = State()
        for line in unpacked[len(MAGIC) :].splitlines():
            name, _, row = line.partition(b" ")
            spec = TABLES.get(name.decode())
            if spec is None:
                raise ValueError(f"found a row of {name[:40]!r}, which is no read model")
            state.add(spec.name, _row(spec, row))
    except (zstandard.ZstdError, msgspec.MsgspecError, UnicodeDecodeError, TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return state


def digest_of(state: State) -> bytes:
    """
    Return the digest of the rows of *state*: 32 bytes.
    """
    digest = StateDigest()
    for name, row in state.all_rows():
        digest.put_in(name, row_bytes(TABLES[name], row))
    return digest.digest()
