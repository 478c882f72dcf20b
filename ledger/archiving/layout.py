"""
Name the files of an archive that are not tiles, for whoever writes one and whoever reads it.

docs/FORMAT.md specifies the layout. This module reads and writes nothing.
"""

from __future__ import annotations

from typing import Final

import msgspec

CHECKPOINT: Final = "checkpoint"
POLICY: Final = "policy"
CHAIN: Final = "chain.json"


class ChainFile(msgspec.Struct, frozen=True):
    """
    What the archive says its chain is; the policy and the entries decide whether that is so.
    """

    chain_id: str
    origin: str
    format_version: int
    schema_version: int = 1

    def encode(self) -> bytes:
        """
        Return the file's bytes.
        """
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"
