"""
Check the proof of one event, with nothing but the file and the auditor's policy.

Five things are asked, each by itself, so that all that is wrong is named: whether the policy accepts the checkpoint,
whether its tree holds the entry at its place, whether the entry is of that place, and, where the content is given,
whether it is the one that the entry names. What then follows is said in words.
"""

from __future__ import annotations

import time

from blake3 import blake3

from ledger.chain import entry as entries
from ledger.chain.entry import Entry
from ledger.errors import LedgerError, ProofInvalid, UnknownFormat
from ledger.evidence import payload_file, proof_file, tree
from ledger.evidence.payload_file import PayloadFile
from ledger.evidence.policy import Policy, Witness
from ledger.evidence.proof_file import ProofFile
from verifier.forms.cleaning import SECONDS_LIMIT, moment
from verifier.report import BROKEN, VERIFIED, Finding, Report
from verifier.stored import Unreadable
from verifier.vouching import Judged, before_its_events, contradicts, judge

TABLE = "proof"
COVERED = [
    "the signature under the checkpoint and the policy's quorum",
    "that the checkpoint's tree holds the entry at the place that the proof names",
    "that the entry is of that place, and its hash",
]
NOT_COVERED = [
    "whether a larger checkpoint was signed since: ask the witnesses of the policy",
    "that what the event says is true: it says what was recorded, and when by the ledger's own clock",
    "what was recorded before and after it, such as a correction: verify an archive",
]
NO_CONTENT = "the event's content: give it with --payload"


def verify(name: str, data: bytes, trust: Policy, payload: bytes | None) -> Report:
    """
    Return the report on the proof file *name* with the bytes *data*; *payload* are those of its payload file, if given.

    Raises:
        Unreadable: either is no such file, or nothing says what entry is proven.
    """
    began = time.monotonic()
    proof, content = _read(name, data, payload)
    entry = content.entry if content is not None else proof.extra
    if entry is None:
        raise Unreadable(f"{name} says nothing of what it proves; give the payload file with --payload")
    try:
        judged = judge(trust, proof.checkpoint, TABLE, name)
    except UnknownFormat as error:
        raise Unreadable(f"the checkpoint in {name} is none: {error}") from error
    findings = list(judged.findings)
    if content is not None and proof.extra not in (None, content.entry):
        findings.append(_finding(name, "BYTES_MODIFIED", "the entry that the payload file has", "another", "extra"))
    findings += _place(name, proof, judged, entry)
    fields = _parsed(name, entry, proof.index, findings)
    if content is not None and fields is not None:
        findings += _content(name, fields, content)
    if fields is not None:
        findings += before_its_events(trust, judged.trusted, fields.seq, fields.recorded_at, table=TABLE, key=(name,))
    stated = judged.stated
    head = {"seq": proof.index + 1, "hash": blake3(entry).hexdigest(), "size": stated.size, "root": stated.root.hex()}
    proven = [] if findings or fields is None else _sentences(fields, judged, content)
    if content is None:
        covered, not_covered = COVERED, [*NOT_COVERED, NO_CONTENT]
    else:
        covered, not_covered = [*COVERED, "that the content is the one that the entry names"], NOT_COVERED
    if proven and fields is not None:
        not_covered = [*not_covered, *_left_out(fields, judged)]
    return Report(
        BROKEN if findings else VERIFIED, stated.origin, TABLE, 1, head, findings, {}, covered, not_covered, [], 0,
        round(time.monotonic() - began, 3), checkpoints=[judged.seen()], trusted=judged.sentences(trust), proven=proven,
        spans=[(proof.index + 1, proof.index + 1)],
    )  # fmt: skip


def _read(name: str, data: bytes, payload: bytes | None) -> tuple[ProofFile, PayloadFile | None]:
    try:
        proof = proof_file.decode(data)
    except LedgerError as error:
        raise Unreadable(f"{name} is no proof: {error}") from error
    try:
        return proof, None if payload is None else payload_file.decode(payload)
    except LedgerError as error:
        raise Unreadable(f"the payload file of {name} is none: {error}") from error


def _finding(name: str, kind: str, expected: str, actual: str, column: str | None = None) -> Finding:
    return Finding(kind, expected, actual, table=TABLE, key=(name,), column=column)


def _place(name: str, proof: ProofFile, judged: Judged, entry: bytes) -> list[Finding]:
    stated = judged.stated
    try:
        tree.check_inclusion(tree.leaf_hash(entry), proof.index, stated.size, proof.hashes, stated.root)
    except ProofInvalid as error:
        expected = f"a proof that leads to root {stated.root.hex()} of {stated.size} entries"
        return [_finding(name, "TREE_MISMATCH", expected, str(error))]
    return []


def _parsed(name: str, entry: bytes, index: int, findings: list[Finding]) -> Entry | None:
    try:
        fields = entries.parse(entry)
    except UnknownFormat as error:
        findings.append(_finding(name, "BYTES_MODIFIED", "an entry", str(error), "entry"))
        return None
    if fields.seq != index + 1:
        findings.append(_finding(name, "BYTES_MODIFIED", str(index + 1), str(fields.seq), "seq"))
    return fields


def _content(name: str, fields: Entry, content: PayloadFile) -> list[Finding]:
    hashed = entries.payload_hash(content.salt, content.payload)
    if hashed != fields.payload_hash or len(content.payload) != fields.payload_size:
        return [_finding(name, "PAYLOAD_MISMATCH", fields.payload_hash.hex(), hashed.hex(), "payload")]
    return []


def _sentences(fields: Entry, judged: Judged, content: PayloadFile | None) -> list[str]:
    stated = judged.stated
    said = [
        f"event {fields.seq} of {stated.origin} was recorded as {fields.event_type} of {fields.stream}, by "
        f"{fields.actor} through {fields.source}, at {moment(fields.recorded_at // 10**9)} by the ledger's clock",
        f"it is one of the {stated.size} events that the log's key signed as one history",
    ]
    said += [
        f"{witness.name} had seen that history by {moment(seconds)} by its clock, so the event was recorded by then"
        for witness, seconds in _cosigned(judged) if not _says_nothing(seconds, fields.recorded_at)
    ]  # fmt: skip
    if content is not None:
        said.append(f"its content is the {len(content.payload)} bytes of the payload file, to the last one")
    return said


def _cosigned(judged: Judged) -> tuple[tuple[Witness, int], ...]:
    return () if judged.trusted is None else judged.trusted.witnesses


def _says_nothing(seconds: int, recorded_at: int) -> str:
    """Return why a witness's time does not say by when the event was recorded, or nothing if it does."""
    if seconds >= SECONDS_LIMIT:
        return "is of no calendar"
    return "is before the event's own" if contradicts(seconds, recorded_at) else ""


def _left_out(fields: Entry, judged: Judged) -> list[str]:
    """Return whose time says nothing of when the event was recorded; the others make the quorum, or it is a finding."""
    return [
        f"by when {witness.name} had seen that history: the time that it says, {moment(seconds)}, {why}"
        for witness, seconds in _cosigned(judged) if (why := _says_nothing(seconds, fields.recorded_at))
    ]  # fmt: skip
