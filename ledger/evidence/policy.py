"""
Say whom an auditor trusts, in a file of the auditor's own: C2SP tlog-policy.

A policy lists the logs that may be checked, the witnesses whose cosignatures count, groups of them, and the quorum
that a checkpoint needs. It is the root of trust: it is never read from what is to be checked, and what is wrong with
it is an error of the whole file, for a policy that is half understood is not the one that was meant.

One kind of line is not C2SP's: which keys were revoked, and from which size on (`ledger.evidence.revocation`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from ledger.errors import InvalidInput, SignatureInvalid, shown
from ledger.evidence import checkpoint, note, revocation
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import COSIGNATURE, ED25519, Note, Verified, VerifierKey
from ledger.evidence.revocation import KeyIsRevoked, Revoked

POLICY_LIMIT_BYTES: Final = 1_000_000
WITNESSES_LIMIT: Final = note.SIGNATURES_LIMIT - 16
"""As many as a checkpoint has room for beside the log's own keys."""
NONE: Final = "none"


class Log(msgspec.Struct, frozen=True):
    """
    A log that may be checked: its key, whose name is the log's origin, and where it answers, if that is said.
    """

    key: VerifierKey
    url: str | None = None


class Witness(msgspec.Struct, frozen=True):
    """
    A witness whose cosignature counts, under a name of the policy's own.
    """

    name: str
    key: VerifierKey
    url: str | None = None


class Group(msgspec.Struct, frozen=True):
    """
    A group that has seen a checkpoint once *needed* of its members, witnesses or groups, have.
    """

    name: str
    needed: int
    members: tuple[str, ...]


class Policy(msgspec.Struct, frozen=True):
    """
    Whom to trust; `quorum` names a witness or a group, or is `none`.
    """

    logs: tuple[Log, ...]
    witnesses: tuple[Witness, ...]
    groups: tuple[Group, ...]
    quorum: str
    revoked: tuple[Revoked, ...] = ()

    def logs_of(self, origin: str) -> tuple[Log, ...]:
        """
        Return the logs of this *origin*; more than one, while a key is being changed for another.
        """
        return tuple(log for log in self.logs if log.key.name == origin)

    def origins(self) -> list[str]:
        """
        Return the origins of its logs, each once, in order.
        """
        return sorted({log.key.name for log in self.logs})

    def counts(self, public_key: bytes, size: int) -> bool:
        """
        Whether what a key signed of a tree of *size* counts: it is not revoked, or was only later.
        """
        return revocation.counts(self.revoked, public_key, size)

    def revoking(self, more: Iterable[Revoked]) -> Policy:
        """
        Return the policy by which the keys of *more* are revoked as well; of two sizes for one key the smaller counts.
        """
        sizes = {one.public_key: one.last_valid_size for one in self.revoked}
        for one in more:
            sizes[one.public_key] = min(one.last_valid_size, sizes.get(one.public_key, one.last_valid_size))
        return msgspec.structs.replace(self, revoked=tuple(Revoked(key, size) for key, size in sizes.items()))

    def is_met(self, cosigners: set[bytes]) -> bool:
        """
        Whether the witnesses with these public keys make up the quorum.
        """
        seen = {witness.name for witness in self.witnesses if witness.key.public_key in cosigners}
        for group in self.groups:
            if sum(member in seen for member in group.members) >= group.needed:
                seen.add(group.name)
        return self.quorum == NONE or self.quorum in seen

    def cosigners(self, signatures: tuple[Verified, ...]) -> tuple[tuple[Witness, int], ...]:
        """
        Return which witnesses are among checked *signatures*, each with the second at which it signed.
        """
        times = {verified.key: verified.time for verified in signatures}
        found = ((witness, times.get(witness.key)) for witness in self.witnesses)
        return tuple((witness, time) for witness, time in found if time is not None)


class Trusted(msgspec.Struct, frozen=True):
    """
    A checkpoint that a policy accepts: what it states, and which witnesses said so and when (seconds since 1970).
    """

    checkpoint: Checkpoint
    log: Log
    witnesses: tuple[tuple[Witness, int], ...]
    note: Note


class QuorumUnmet(SignatureInvalid):
    """
    The log signed a checkpoint, and too few witnesses have cosigned it.
    """

    code = "quorum_unmet"


def check_lists(policy: Policy, origin: str) -> None:
    """
    Check that the policy says something of the log of this *origin*.

    Raises:
        InvalidInput: it is for other logs.
    """
    if not policy.logs_of(origin):
        known = ", ".join(policy.origins()) or "none"
        raise InvalidInput(
            f"the policy is for other logs ({known}), and this chain is {origin}; bring one that lists it"
        )


def check(policy: Policy, data: bytes) -> Trusted:
    """
    Return the checkpoint in a note, once it is signed by a log of the policy and cosigned by the quorum.

    Raises:
        UnknownFormat: it is no checkpoint.
        SignatureInvalid: its log is not in the policy or did not sign it, or a known key's signature is false.
        KeyIsRevoked: its log signed it with keys alone that count no more at its size.
        QuorumUnmet: too few witnesses have cosigned.
    """
    stated, signed = checkpoint.decode_note(data)
    logs = policy.logs_of(stated.origin)
    if not logs:
        known = ", ".join(sorted({log.key.name for log in policy.logs})) or "none"
        raise SignatureInvalid(f"found a checkpoint of {shown(stated.origin)}; the policy's logs are: {shown(known)}")
    keys = [log.key for log in logs] + [witness.key for witness in policy.witnesses]
    verified = note.verify(signed, keys)
    signatures = tuple(found for found in verified if policy.counts(found.key.public_key, stated.size))
    signers = {found.key for found in signatures}
    signing = [log for log in logs if log.key in signers]
    if not signing:
        revoked = [log.key.text() for log in logs if log.key in {found.key for found in verified}]
        if revoked:
            raise KeyIsRevoked(
                f"found a checkpoint of {stated.size} entries of {stated.origin} signed by {', '.join(revoked)} alone, "
                "which counts no more at that size"
            )
        raise SignatureInvalid(f"found a checkpoint of {stated.origin} that its log did not sign")
    witnesses = policy.cosigners(signatures)
    if not policy.is_met({witness.key.public_key for witness, _ in witnesses}):
        named = ", ".join(witness.name for witness, _ in witnesses) or "none"
        raise QuorumUnmet(f"found cosignatures of {shown(named)}; the policy's quorum is {shown(policy.quorum)}")
    return Trusted(stated, signing[0], witnesses, signed)


class _Reading:
    """What was read so far: names are given before they are used, and each once."""

    def __init__(self) -> None:
        self.logs: list[Log] = []
        self.witnesses: list[Witness] = []
        self.groups: list[Group] = []
        self.quorum: str | None = None
        self.revoked: list[Revoked] = []
        self.names: set[str] = set()
        self.members: set[str] = set()
        self.log_keys: set[bytes] = set()
        self.witness_keys: set[bytes] = set()
        self.revoked_keys: set[bytes] = set()

    def log(self, words: list[str]) -> None:
        if not 1 <= len(words) <= 2:
            raise InvalidInput("expected: log <key> [<url>]")
        key = note.read_key(words[0])
        if key.algorithm != ED25519:
            raise InvalidInput(f"the key of log {key.name} has signature type 0x{key.algorithm:02x}; a log's has 0x01")
        if key.public_key in self.log_keys | self.witness_keys:
            raise InvalidInput(f"the key of log {key.name} is listed twice")
        self.log_keys.add(key.public_key)
        self.logs.append(Log(key, words[1] if len(words) == 2 else None))

    def witness(self, words: list[str]) -> None:
        if not 2 <= len(words) <= 3:
            raise InvalidInput("expected: witness <name> <key> [<url>]")
        key = note.read_key(words[1])
        if key.algorithm != COSIGNATURE:
            raise InvalidInput(
                f"the key of witness {shown(words[0])} has signature type 0x{key.algorithm:02x}; a witness's has 0x04"
            )
        if key.public_key in self.witness_keys | self.log_keys:
            # A log that is its own witness is one who vouches twice.
            raise InvalidInput(f"the key of witness {shown(words[0])} is listed twice")
        self.witness_keys.add(key.public_key)
        self._define(words[0])
        self.witnesses.append(Witness(words[0], key, words[2] if len(words) == 3 else None))

    def group(self, words: list[str]) -> None:
        if len(words) < 3:
            raise InvalidInput("expected: group <name> all|any|<number> <member>...")
        name, threshold, *members = words
        for member in members:
            self._must_be_defined(member)
            if member in self.members:
                raise InvalidInput(f"{shown(member)} is a member twice; it would count twice")
            self.members.add(member)
        needed = {"any": 1, "all": len(members)}.get(threshold) or _threshold(threshold, len(members))
        self._define(name)
        self.groups.append(Group(name, needed, tuple(members)))

    def end(self, words: list[str]) -> None:
        if len(words) != 1:
            raise InvalidInput("expected: quorum <name>")
        if self.quorum is not None:
            raise InvalidInput(f"a second quorum line; the first says {shown(self.quorum)}")
        if words[0] != NONE:
            self._must_be_defined(words[0])
        self.quorum = words[0]

    def revoke(self, words: list[str]) -> None:
        found = revocation.decode(words)
        if found.public_key in self.revoked_keys:
            raise InvalidInput(f"the key {shown(words[0])} is revoked twice")
        self.revoked_keys.add(found.public_key)
        self.revoked.append(found)

    def _define(self, name: str) -> None:
        if name == NONE or name in self.names:
            raise InvalidInput(f"the name {shown(name)} is {'reserved' if name == NONE else 'given twice'}")
        self.names.add(name)

    def _must_be_defined(self, name: str) -> None:
        if name not in self.names:
            raise InvalidInput(f"{shown(name)} is no witness and no group of a line before this one")


def _threshold(text: str, members: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or text[0] == "0" or int(text) > members:
        raise InvalidInput(f"found threshold {shown(text)} of {members} members; expected all, any or 1 to {members}")
    return int(text)


def decode(data: bytes) -> Policy:
    """
    Return the policy that a file's bytes are.

    Raises:
        InvalidInput: it is none; the message names the line.
    """
    if len(data) > POLICY_LIMIT_BYTES:
        raise InvalidInput(f"found a policy of {len(data)} bytes; at most {POLICY_LIMIT_BYTES} are read")
    reading = _Reading()
    kinds = {
        "log": reading.log, "witness": reading.witness, "group": reading.group, "quorum": reading.end,
        revocation.KEYWORD: reading.revoke,
    }  # fmt: skip
    if data and not data.endswith(b"\n"):
        raise InvalidInput("the policy's last line is not ended; the file may be cut short")
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        if any((byte < 0x20 and byte != 0x09) or byte == 0x7F for byte in line):
            raise InvalidInput(f"line {number} of the policy has control characters; tabs and newlines are allowed")
        # Bytes that are no UTF-8 are opaque: surrogates keep each as it is, so names are equal when their bytes are.
        words = line.decode("utf-8", "surrogateescape").replace("\t", " ").split(" ")
        words = [word for word in words if word]
        if not words or words[0].startswith("#"):
            continue
        if words[0] not in kinds:
            raise InvalidInput(
                f"line {number} of the policy begins with {shown(words[0])}; expected {', '.join(kinds)}"
            )
        try:
            kinds[words[0]](words[1:])
        except InvalidInput as error:
            raise InvalidInput(f"line {number} of the policy: {error}") from error
    if len(reading.witnesses) > WITNESSES_LIMIT:
        raise InvalidInput(
            f"found a policy of {len(reading.witnesses)} witnesses; at most {WITNESSES_LIMIT} can sign one checkpoint"
        )
    if reading.quorum is None:
        raise InvalidInput("the policy has no quorum line; expected one, such as: quorum none")
    return Policy(
        tuple(reading.logs), tuple(reading.witnesses), tuple(reading.groups), reading.quorum, tuple(reading.revoked)
    )
