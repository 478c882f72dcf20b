"""
Judge what was signed: the archive's newest checkpoint, the older ones beside it, and one that the auditor had before.

Two signed roots that no tree has both of are a fork, and convict the log's key to anybody. So a fork is said only where
it is shown (`signed_tree.hold`): where a tile rotted, that is what is told.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from ledger import foreign_json
from ledger.archiving.layout import CHAIN, CHECKPOINT, POLICY, ChainFile
from ledger.archiving.stores import Readable, TooLong
from ledger.chain import entry as entries
from ledger.chain.entry import Entry
from ledger.chain.link import genesis
from ledger.errors import Corrupt, InvalidInput, SignatureInvalid, Unavailable, UnknownFormat
from ledger.evidence import checkpoint, note, policy, tiles
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import VerifierKey
from ledger.evidence.policy import Policy
from ledger.evidence.revocation import KeyIsRevoked, Revoked
from ledger.evidence.tiles import Tile, leaf_tile
from verifier import vouching
from verifier.archive.seams import finding
from verifier.archive.signed_tree import Held, hold
from verifier.archive.unread import Noting, Unread
from verifier.report import Finding, Findings
from verifier.signed import nobodys_word, unknown_word, unlisted_word
from verifier.stored import Unreadable
from verifier.vouching import Judged

Word = Callable[[int, int, int], str]
"""What is said of so many checkpoints, from the first size to the last, on which nothing rests."""
NAMED: Final = 20
"""How many files that belong to no archive are named; the others are counted."""
OF_EARLIER: Final = (
    "files of earlier sizes of this archive, which whoever has an older checkpoint may ask for: nothing of this size "
    "rests on them"
)
UNRECORDED: Final = (
    "{0}, where the newest checkpoint stands beside the older ones, and which is not there: whoever archived last was "
    "stopped at the end, or somebody took it away; nothing rests on it, and archiving again writes it"
)
_OLDER: Final = re.compile(r"checkpoints/(0|[1-9][0-9]{0,18})", re.ASCII)


def judge(store: Readable, trust: Policy, signed: bytes) -> Judged:
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
    if not trust.logs_of(stated.origin) and (origin := _origin(store, trust)):
        # The archive is of a log of the policy, and the checkpoint was exchanged: the rest is held against that log.
        other = finding("CHECKPOINT_SIG", f"a checkpoint of {origin}", f"one of {stated.origin}", CHECKPOINT)
        return Judged(msgspec.structs.replace(stated, origin=origin), None, [other])
    return vouching.judge(trust, signed, "archive", CHECKPOINT)


def _origin(store: Readable, trust: Policy) -> str:
    """
    Return the origin of the log of the policy that a line of the chain's file says; empty where none does.

    It is asked line by line, as the script for auditors asks: both say the same of a file that is broken elsewhere.
    """
    with contextlib.suppress(TooLong, Unread):
        said = (store.read(CHAIN) or b"").split(b"\n")
        names = [log.key.name for log in trust.logs]
        return next((name for name in names if f'  "origin": "{name}",'.encode() in said), "")
    return ""


def chain_id_of(store: Readable, stated: Checkpoint, findings: Findings) -> bytes:
    """
    Return the chain's id as the file of the chain says it, or else as the first entry does.

    The genesis binds it to the origin, so that another id is no way to pass another chain off for this one. It also
    says which is right where the two differ: the one that the first entry's link was made from.
    """
    origin, first = stated.origin, _first_entry(store, stated.size)
    shown = first is not None and first.prev_hash == genesis(first.chain_id, origin)
    try:
        said = store.read(CHAIN)
        if said is None:
            raise UnknownFormat("no file")
        chain_id = bytes.fromhex(foreign_json.decode(said, ChainFile).chain_id)
        # One spelling of one version of one chain: what is not to the letter what is written is read as nothing.
        if len(chain_id) != 16 or ChainFile(chain_id.hex(), origin, format_version=1).encode() != said:
            raise UnknownFormat(said[:300].decode(errors="replace"))
        if first is None or not shown or first.chain_id == chain_id:
            return chain_id
        expected, actual = first.chain_id.hex(), chain_id.hex()
        findings.add([finding("BYTES_MODIFIED", expected, actual, CHAIN, column="chain_id")])
    except Unread:
        pass
    except (UnknownFormat, TooLong, ValueError) as error:
        findings.add([finding("BYTES_MODIFIED", f"the chain file of {origin}", str(error), CHAIN)])
    return bytes(16) if first is None else first.chain_id


def _first_entry(store: Readable, size: int) -> Entry | None:
    tile = leaf_tile(0, size)
    with contextlib.suppress(UnknownFormat, TooLong, Unread):
        return entries.parse(tiles.decode_bundle(tile, store.read(tile.bundle_path()) or b"")[0])
    return None


def is_signed(judged: Judged) -> bool:
    """
    Whether the log of the policy signed the newest checkpoint, so that it can convict the log's key.
    """
    return not any(one.kind == "CHECKPOINT_SIG" for one in judged.findings)


def older(
    store: Noting, trust: Policy, judged: Judged, newer: Checkpoint | None, named: Sequence[NamedKey] | None
) -> tuple[list[Finding], list[str]]:
    """
    Return what is wrong with the archive's other checkpoints, and what is in it and was not checked.

    What revoked keys alone signed beyond their end is nobody's word. Where the newest one counts and begins with the
    same entries, nothing rests on it, and it is not said to be wrong: nor can it be taken away. So it is with what a
    key signed that is *named* by the chain and not by the policy, which lists the one that took over; and with what no
    key of the policy did where it is not known which the chain names (None).
    What belongs to *newer*, to which the archive grew meanwhile, is there by right and left to the next verification.
    """
    found: list[Finding] = []
    unknown: list[str] = []
    earlier: list[_Earlier] = []
    passed: dict[Word, list[int]] = {nobodys_word: [], unlisted_word: [], unknown_word: []}
    strangers = of_earlier = 0
    is_recorded = False
    edge = {*tiles.edge_of(judged.stated.size), *(tiles.edge_of(newer.size) if newer is not None else ())}
    size = judged.stated.size if newer is None else newer.size
    for name in store.names():
        match = _OLDER.fullmatch(name)
        if match and int(match[1]) > judged.stated.size and int(match[1]) <= size:
            continue
        if match:
            is_recorded |= int(match[1]) == judged.stated.size
            one, wrong = _read(store, trust, judged.stated, int(match[1]), named)
            found += wrong
            earlier += [] if one is None else [one]
        elif name not in (CHECKPOINT, CHAIN, POLICY):
            tile = _tile(name)
            if tile is None or tile.end > size:
                strangers += 1
                # So many of the first by name, however many there are.
                unknown = sorted([*unknown, name])[:NAMED]
            elif tile.width < tiles.WIDTH and tile not in edge:
                of_earlier += 1
    roots = [(one.size, one.root) for one in earlier]
    for one, held in zip(earlier, hold(store, judged.stated, roots), strict=True):
        if held.is_unread:
            continue
        if one.ended is not None and held.follows and judged.trusted is not None:
            passed[one.word].append(one.size)
        elif one.ended is not None and held.follows is not None:
            found.append(one.ended)
        elif not held.follows:
            found.append(_contradiction(held, f"checkpoints/{one.size}", one.size, one.root, fork=is_signed(judged)))
    more = f" and {strangers - NAMED} more" if strangers > NAMED else ""
    said = [f"files that belong to no archive: {', '.join(unknown)}{more}"] if unknown else []
    said += [word(len(sizes), min(sizes), max(sizes)) for word, sizes in passed.items() if sizes]
    if of_earlier:
        said.append(f"{of_earlier} {OF_EARLIER}")
    if not is_recorded and store.is_listed:
        said.append(UNRECORDED.format(f"checkpoints/{judged.stated.size}"))
    return sorted(found, key=lambda one: one.key or ()), said


def _contradiction(held: Held, path: str, size: int, root: bytes, *, fork: bool) -> Finding:
    """Return what an older checkpoint is that the newest tree does not begin with; two that are signed are a fork."""
    if held.follows is None:
        return _untold(held, path, size)
    if fork:
        return finding("CHECKPOINT_INCONSISTENT", held.root.hex(), root.hex(), path, column="root")
    return finding("TREE_MISMATCH", root.hex(), held.root.hex(), path, column="root")


def _untold(held: Held, path: str, size: int) -> Finding:
    return finding("TREE_MISMATCH", f"tiles or entries that make the root of {size} entries", held.reason, path)


class _Earlier(msgspec.Struct, frozen=True):
    """
    An older checkpoint that was signed, what is wrong where no key did that counts for the policy, and what is said of
    it where nothing rests on it.
    """

    size: int
    root: bytes
    ended: Finding | None
    word: Word


class NamedKey(msgspec.Struct, frozen=True):
    """A key that the chain names for checkpoints of *first* events and more, up to *last* where it was ended."""

    key: VerifierKey
    first: int
    last: int | None


class _Unlisted(SignatureInvalid):
    """No key that the policy lists has signed, and one that the chain names, or may name, for all that is known."""

    def __init__(self, message: str, word: Word) -> None:
        super().__init__(message)
        self.word = word


def _read(
    store: Readable, trust: Policy, stated: Checkpoint, size: int, named: Sequence[NamedKey] | None
) -> tuple[_Earlier | None, list[Finding]]:
    """Return an older checkpoint, once it is seen to be signed and no larger than the newest, and what is wrong."""
    path, ended = f"checkpoints/{size}", None
    word: Word = nobodys_word
    expected = f"a signed checkpoint of {size} entries"
    try:
        data = store.read(path) or b""
        signed = checkpoint.decode_note(data)[0]
        try:
            _signers(trust, data, named)
        except (KeyIsRevoked, _Unlisted) as error:
            ended = finding("CHECKPOINT_SIG", expected, str(error), path)
            word = error.word if isinstance(error, _Unlisted) else nobodys_word
        if signed.origin != stated.origin or signed.size != size:
            raise UnknownFormat(f"a checkpoint of {signed.size} entries of {signed.origin}")
    except Unread:
        return None, []
    except (Corrupt, TooLong) as error:
        return None, [finding("CHECKPOINT_SIG", expected, str(error), path)]
    if size > stated.size:
        expected = f"at most {stated.size} entries, as the newest checkpoint says"
        return None, [finding("ROLLBACK", expected, f"a signed checkpoint of {size}", path)]
    return _Earlier(signed.size, signed.root, ended, word), []


def _signers(trust: Policy, data: bytes, named: Sequence[NamedKey] | None) -> None:
    """
    Raise SignatureInvalid unless a log of the policy signed *data*: KeyIsRevoked where by none that counts there, and
    `_Unlisted` where a key did that is *named* by the chain alone, or may be.
    """
    stated, signed = checkpoint.decode_note(data)
    logs = [log.key for log in trust.logs_of(stated.origin)]
    listed = [*logs, *(witness.key for witness in trust.witnesses)]
    if named is None and not _claims(signed, logs):
        if _claims(signed, listed):
            note.verify(signed, listed)
        raise _Unlisted("signed by no key that the policy lists", unknown_word)
    others = {one.key: one.last for one in named or () if one.first <= stated.size}
    signers = note.verify(signed, [*listed, *others])
    by = [signer.key for signer in signers if signer.key in logs]
    ends = [others[signer.key] for signer in signers if signer.key in others]
    if not by and any(last is None or stated.size <= last for last in ends):
        raise _Unlisted("signed by a key of the chain that the policy does not list, and by none that it does",
                        unlisted_word)  # fmt: skip
    if not by and ends:
        raise KeyIsRevoked("signed by a key alone that the policy does not list and the chain has ended before")
    if not by:
        raise SignatureInvalid("no signature of its log")
    if not any(trust.counts(key.public_key, stated.size) for key in by):
        raise KeyIsRevoked(f"signed by {', '.join(key.text() for key in by)} alone, which counts no more there")


def _claims(signed: note.Note, keys: Sequence[VerifierKey]) -> bool:
    """Whether a signature says that it is of one of these keys."""
    return any(one.claims(key) for one in signed.signatures for key in keys)


def compare(store: Readable, name: str, known: bytes, signed: bytes, judged: Judged) -> list[Finding]:
    """
    Return what is wrong where an archive's newest checkpoint *signed* does not follow one that the auditor kept.

    Who kept it, in the file *name*, believes it, so its signatures are not asked for.

    Raises:
        Unreadable: it is no checkpoint, or one of another log.
    """
    now = judged.stated
    try:
        before, _ = checkpoint.decode_note(known, least=0)
    except UnknownFormat as error:
        raise Unreadable(f"{name} is no checkpoint: {error}") from error
    if before.origin != now.origin:
        raise Unreadable(f"{name} is a checkpoint of {before.origin}, and this archive is of {now.origin}")
    both = known.decode(), signed.decode()
    if before.size > now.size:
        return [finding("ROLLBACK", *both, CHECKPOINT, column="size")]
    (held,) = hold(store, now, [(before.size, before.root)])
    if held.follows or held.is_unread:
        return []
    if held.follows is None:
        return [_untold(held, CHECKPOINT, before.size)]
    kind = "CHECKPOINT_INCONSISTENT" if is_signed(judged) else "TREE_MISMATCH"
    return [finding(kind, *both, CHECKPOINT, column="root")]


def grown(store: Readable, trust: Policy, signed: bytes, stated: Checkpoint) -> tuple[Checkpoint | None, list[Finding]]:
    """
    Return the checkpoint that the archive was extended to since *signed* was read, and what is wrong between the two.

    One that the policy does not accept, or that is no larger, is none.
    """
    try:
        data = store.read(CHECKPOINT) or b""
        now = policy.check(trust, data).checkpoint
    except (Corrupt, TooLong):
        return None, []
    if now.origin != stated.origin or now.size <= stated.size:
        return None, []
    (held,) = hold(store, now, [(stated.size, stated.root)])
    if held.follows is False:
        both = signed.decode(), data.decode()
        return now, [finding("CHECKPOINT_INCONSISTENT", *both, CHECKPOINT, column="root")]
    return now, []


def other_policy(store: Readable, trust: Policy, revoked: Sequence[Revoked]) -> list[str]:
    """
    Return that the file `policy` of the archive is not there, or trusts others than the auditor does, if so; what the
    chain itself has *revoked* counts for neither.

    Nothing here rests on it, so that it cannot keep anything from being verified, but who has no policy may take it for
    one.
    """
    try:
        data = store.read(POLICY)
        if data is None:
            return [f"the file {POLICY} of the archive, which is not there: nothing here rests on it"]
        if _trusted(policy.decode(data).revoking(revoked)) == _trusted(trust.revoking(revoked)):
            return []
    except (InvalidInput, TooLong):
        pass
    except Unavailable as error:
        return [f"the file {POLICY} of the archive, on which nothing here rests: {error}"]
    return [f"the file {POLICY} in the archive, which trusts others than the policy given here: whoever takes it for "
            "theirs trusts whom its writer chose"]  # fmt: skip


def _trusted(found: Policy) -> tuple[object, ...]:
    """Return whom a policy trusts and up to where, whatever it calls them and wherever they answer."""
    names = {witness.name: witness.key for witness in found.witnesses}
    groups = {group.name: (group.needed, group.members) for group in found.groups}

    def meant(name: str) -> object:
        if name in groups:
            needed, members = groups[name]
            return needed, frozenset(meant(member) for member in members)
        return names.get(name)

    ended = frozenset((one.public_key, one.last_valid_size) for one in found.revoked)
    return frozenset(log.key for log in found.logs), frozenset(names.values()), meant(found.quorum), ended


def _tile(name: str) -> Tile | None:
    """Return the tile that a file of an archive is, or that its entries or payloads are of; None for any other."""
    try:
        if name.startswith("segment/"):
            name = "tile/entries/" + name.removeprefix("segment/")
        return tiles.decode_path(name)[0]
    except UnknownFormat:
        return None
