"""
Pack what proves one entry into a file that needs nothing else: C2SP tlog-proof.

The file holds the leaf's index, the hashes up to the root, and the checkpoint with that root as it was signed. What
the entry is travels beside it, or as extra data in it, which nothing vouches for until it hashes to the leaf.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ledger.errors import UnknownFormat, shown
from ledger.evidence import checkpoint, note, policy, tree
from ledger.evidence.policy import Policy, Trusted

MAGIC: Final = "c2sp.org/tlog-proof@v1"
FILE_LIMIT_BYTES: Final = 4_000_000


class ProofFile(msgspec.Struct, frozen=True):
    """
    The proof of one leaf: its index, the inclusion proof, the signed checkpoint as it stands, and extra data if any.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def encode(self) -> bytes:
        """
        Return the file's bytes.
        """
        lines = [MAGIC]
        if self.extra is not None:
            lines.append(f"extra {note.encode_base64(self.extra)}")
        lines += [f"index {self.index}", *map(note.encode_base64, self.hashes), "", ""]
        return "\n".join(lines).encode() + self.checkpoint


def decode(data: bytes) -> ProofFile:
    """
    Return the proof in a file, nothing of it checked.

    Raises:
        UnknownFormat: it is no proof file.
    """
    if len(data) > FILE_LIMIT_BYTES:
        raise UnknownFormat(f"found a proof file of {len(data)} bytes; at most {FILE_LIMIT_BYTES} are read")
    head, blank, signed = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise UnknownFormat(f"found bytes that are no ASCII before the checkpoint of a proof: {error}") from error
    if lines[0] != MAGIC:
        raise UnknownFormat(f"found a file that begins with {shown(lines[0])}; expected {MAGIC}")
    if not blank:
        raise UnknownFormat("found a proof file that ends before its checkpoint; expected that after an empty line")
    rest = lines[1:]
    extra = None
    if rest and rest[0].startswith("extra "):
        extra = note.decode_base64(rest.pop(0).removeprefix("extra "), "extra data")
    if not rest or not rest[0].startswith("index "):
        raise UnknownFormat(f"found {shown(rest[:1])} in a proof file; expected a line: index <number>")
    index = checkpoint.decode_size(rest[0].removeprefix("index "), "index")
    if len(rest) - 1 > tree.PROOF_LIMIT:
        raise UnknownFormat(f"found a proof of {len(rest) - 1} hashes; at most {tree.PROOF_LIMIT} can be needed")
    hashes = tuple(checkpoint.decode_hash(line, "hash") for line in rest[1:])
    return ProofFile(index, hashes, signed, extra)


def check(proof: ProofFile, entry: bytes, trust: Policy) -> Trusted:
    """
    Return the checkpoint that holds *entry* at the proof's index, once *trust* accepts it.

    Raises:
        UnknownFormat: the checkpoint in it is none.
        SignatureInvalid: the checkpoint is not one that the policy accepts.
        ProofInvalid: the tree of that checkpoint does not have the entry at that index.
    """
    trusted = policy.check(trust, proof.checkpoint)
    stated = trusted.checkpoint
    tree.check_inclusion(tree.leaf_hash(entry), proof.index, stated.size, proof.hashes, stated.root)
    return trusted
