"""
Judge what was signed: the archive's newest checkpoint, the older ones beside it, and one that the auditor had before.

Two signed roots that no tree has both of are a fork, and convict the log's key to anybody: a finding has both notes,
whole.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Final

from ledger import foreign_json
from ledger.archiving.layout import CHAIN, CHECKPOINT, POLICY, ChainFile
from ledger.archiving.stores import Store, TooLong
from ledger.chain import entry as entries
from ledger.errors import Corrupt, SignatureInvalid, UnknownFormat
from ledger.evidence import checkpoint, note, tiles, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.policy import Policy
from ledger.evidence.tiles import WIDTH, Tile
from verifier import vouching
from verifier.archive.seams import finding
from verifier.report import Finding, Findings
from verifier.stored import Unreadable
from verifier.vouching import Judged

NAMED: Final = 20
"""How many files that belong to no archive are named; the others are counted."""
_OLDER: Final = re.compile(r"checkpoints/(0|[1-9][0-9]{0,18})", re.ASCII)


def judge(store: Store, trust: Policy, signed: bytes) -> Judged:
    """
    Return what the policy makes of the newest checkpoint.

    Raises:
        Unreadable: it is no checkpoint, or of no events, or archive and policy are of two logs.
    """
    try:
        stated, _ = checkpoint.decode_note(signed)
    except UnknownFormat as error:
        raise Unreadable(f"{CHECKPOINT} is no checkpoint, so nothing says what the archive holds: {error}") from error
    if stated.size == 0:
        raise Unreadable(f"{CHECKPOINT} covers no events of {stated.origin}, so there is nothing to verify")
    if not trust.logs_of(stated.origin) and trust.logs_of(_origin(store)):
        # The archive is of a log of the policy, and the checkpoint was exchanged.
        other = finding("CHECKPOINT_SIG", f"a checkpoint of {_origin(store)}", f"one of {stated.origin}", CHECKPOINT)
        return Judged(stated, None, [other])
    return vouching.judge(trust, signed, "archive", CHECKPOINT)


def _origin(store: Store) -> str:
    """Return the origin that the file of the chain says; empty where it says none."""
    with contextlib.suppress(TooLong, UnknownFormat):
        return foreign_json.decode(store.read(CHAIN) or b"", ChainFile).origin
    return ""


def chain_id_of(store: Store, origin: str, findings: Findings) -> bytes:
    """
    Return the chain's id as the file of the chain says it, or else as the first entry does.

    The genesis binds it to the origin, so that another id is no way to pass another chain off for this one.
    """
    try:
        said = store.read(CHAIN)
        if said is None:
            raise UnknownFormat("no file")
        chain_id = bytes.fromhex(foreign_json.decode(said, ChainFile).chain_id)
        # One spelling of one version of one chain: what is not to the letter what is written is read as nothing.
        if len(chain_id) != 16 or ChainFile(chain_id.hex(), origin, format_version=1).encode() != said:
            raise UnknownFormat(said[:300].decode(errors="replace"))
        return chain_id
    except (UnknownFormat, TooLong, ValueError) as error:
        findings.add([finding("BYTES_MODIFIED", f"the chain file of {origin}", str(error), CHAIN)])
    for width in (WIDTH, 1):
        try:
            first = store.read(Tile(0, 0, width).bundle_path())
            return entries.parse(tiles.decode_bundle(Tile(0, 0, width), first or b"")[0]).chain_id
        except (UnknownFormat, TooLong):
            continue
    return bytes(16)


def older(store: Store, trust: Policy, stated: Checkpoint) -> tuple[list[Finding], list[str]]:
    """
    Return what is wrong with the archive's other checkpoints, and what is in it and was not checked.
    """
    found: list[Finding] = []
    unknown: list[str] = []
    strangers = 0
    read = tile_reader(store)
    for name in store.names():
        match = _OLDER.fullmatch(name)
        if match:
            found += _one(store, trust, stated, int(match[1]), read)
        elif name not in (CHECKPOINT, CHAIN, POLICY) and not _belongs(name, stated.size):
            strangers += 1
            # So many of the first by name, however many there are.
            unknown = sorted([*unknown, name])[:NAMED]
    more = f" and {strangers - NAMED} more" if strangers > NAMED else ""
    said = [f"files that belong to no archive: {', '.join(unknown)}{more}"] if unknown else []
    return sorted(found, key=lambda one: one.key or ()), said


def _one(store: Store, trust: Policy, stated: Checkpoint, size: int, read: tree.ReadNodes) -> Iterator[Finding]:
    path = f"checkpoints/{size}"
    try:
        data = store.read(path) or b""
        signed = checkpoint.decode_note(data)[0]
        _signers(trust, data)
        if signed.origin != stated.origin or signed.size != size:
            raise UnknownFormat(f"a checkpoint of {signed.size} entries of {signed.origin}")
    except (Corrupt, TooLong) as error:
        yield finding("CHECKPOINT_SIG", f"a signed checkpoint of {size} entries", str(error), path)
        return
    if size > stated.size:
        expected = f"at most {stated.size} entries, as the newest checkpoint says"
        yield finding("ROLLBACK", expected, f"a signed checkpoint of {size}", path)
        return
    try:
        root = stated.root if size == stated.size else tree.root_of(read, size)
    except (UnknownFormat, TooLong) as error:
        yield finding("ARCHIVE_MISSING", f"tiles that make the root of {size} entries", str(error), path)
        return
    if root != signed.root:
        yield finding("CHECKPOINT_INCONSISTENT", root.hex(), signed.root.hex(), path, column="root")


def _signers(trust: Policy, data: bytes) -> None:
    """Raise SignatureInvalid unless a log of the policy signed the checkpoint in *data*, by a key that counts there."""
    stated, signed = checkpoint.decode_note(data)
    logs = [log.key for log in trust.logs_of(stated.origin)]
    signers = note.verify(signed, [*logs, *(witness.key for witness in trust.witnesses)])
    by = [signer.key for signer in signers if signer.key in logs]
    if not by:
        raise SignatureInvalid("no signature of its log")
    if not any(trust.counts(key.public_key, stated.size) for key in by):
        raise SignatureInvalid(f"signed by {', '.join(key.text() for key in by)} alone, which counts no more there")


def compare(store: Store, name: str, known: bytes, signed: bytes) -> list[Finding]:
    """
    Return what is wrong where an archive's newest checkpoint *signed* does not follow one that the auditor kept.

    Who kept it, in the file *name*, believes it, so its signatures are not asked for.

    Raises:
        Unreadable: it is no checkpoint, or one of another log.
    """
    (now, _) = checkpoint.decode_note(signed)
    try:
        before, _ = checkpoint.decode_note(known, least=0)
    except UnknownFormat as error:
        raise Unreadable(f"{name} is no checkpoint: {error}") from error
    if before.origin != now.origin:
        raise Unreadable(f"{name} is a checkpoint of {before.origin}, and this archive is of {now.origin}")
    both = known.decode(), signed.decode()
    if before.size > now.size:
        return [finding("ROLLBACK", *both, CHECKPOINT, column="size")]
    try:
        root = now.root if before.size == now.size else tree.root_of(tile_reader(store), before.size)
    except (UnknownFormat, TooLong) as error:
        expected = f"tiles that make the root of {before.size} entries"
        return [finding("ARCHIVE_MISSING", expected, str(error), CHECKPOINT)]
    return [finding("CHECKPOINT_INCONSISTENT", *both, CHECKPOINT, column="root")] if root != before.root else []


def tile_reader(store: Store) -> tree.ReadNodes:
    """
    Return what reads complete subtrees from the archive's tiles.

    It raises UnknownFormat where no tile has one.
    """

    def read(nodes: Sequence[tree.Node]) -> list[bytes]:
        return [_node(store, *node) for node in nodes]

    return read


def _node(store: Store, level: int, index: int) -> bytes:
    # The tile may have grown since: the widest that is there serves all the smaller trees.
    row, number = level // tiles.HEIGHT, index >> tiles.HEIGHT - level % tiles.HEIGHT
    needed = ((index + 1) << level % tiles.HEIGHT) - number * WIDTH
    for width in itertools.chain([WIDTH], range(WIDTH - 1, needed - 1, -1)):
        tile = Tile(row, number, width)
        data = store.read(tile.path())
        if data is not None:
            return tiles.hash_in(tile, tiles.decode_tile(tile, data), (level, index))
    raise UnknownFormat(f"no tile has subtree {index} of level {level}")


def _belongs(name: str, size: int) -> bool:
    """Whether a file is one that an archive of this or a smaller size has."""
    try:
        if name.startswith("segment/"):
            name = "tile/entries/" + name.removeprefix("segment/")
        tile, _ = tiles.decode_path(name)
    except UnknownFormat:
        return False
    return tile.end <= size
