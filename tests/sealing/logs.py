"""
Make logs of any size and history, with checkpoints and proofs, for those who sign and cosign them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from ledger.evidence import note, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import COSIGNATURE, ED25519, SigningKey
from ledger.evidence.tree import Frontier, Node
from ledger.sealing import serving
from ledger.sealing.serving import Respond

KEY = SigningKey("ledger.example/trades", ED25519, bytes(range(32)))
WITNESSES = [SigningKey(f"witness.example/w{number}", COSIGNATURE, bytes([number + 1]) * 32) for number in range(3)]


def root_of(leaves: Sequence[bytes]) -> bytes:
    edge = Frontier()
    for leaf in leaves:
        edge.add(leaf)
    return edge.root()


class Log:
    """A log of made-up entries; from *fork* on they are others."""

    def __init__(self, size: int = 60, fork: int | None = None) -> None:
        self.leaves = [
            tree.leaf_hash(b"%d%s" % (place, b"" if fork is None or place < fork else b"!")) for place in range(size)
        ]

    def read(self, nodes: Sequence[Node]) -> list[bytes]:
        return [root_of(self.leaves[index << level : index + 1 << level]) for level, index in nodes]

    def text(self, size: int) -> str:
        return Checkpoint(KEY.name, size, root_of(self.leaves[:size])).text()

    def unsigned(self, size: int) -> bytes:
        return note.with_signatures(self.text(size), ()).encode()

    def signed(self, size: int) -> bytes:
        text = self.text(size)
        return note.with_signatures(text, (KEY.sign(text),)).encode()

    def prove(self, size: int) -> serving.Callable[[int], list[bytes]]:
        return lambda old: tree.prove_consistency(self.read, old, size)


@contextlib.contextmanager
def served(respond: Respond, where: str | Path = "127.0.0.1:0", complaints: list[str] | None = None) -> Iterator[str]:
    """Serve until the block ends, and return the address to ask; what goes to the log is none, or in *complaints*."""
    logged: list[str] = [] if complaints is None else complaints
    server = serving.serve(str(where), respond, logged.append)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        address = server.server_address
        yield f"http://127.0.0.1:{address[1]}" if isinstance(address, tuple) else str(address)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert complaints is not None or not logged, logged
