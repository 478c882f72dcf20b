"""
Let a new key take over from an old one, and revoke one; say beforehand what that means and afterwards what to do.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from ledger.chain import signatures
from ledger.chain.signatures import KeyPair
from ledger.cli import access as connections
from ledger.cli.access import Access
from ledger.cli.options import Dsn, Origin
from ledger.domain.events.control import KeyRotated
from ledger.domain.rows import ChainKey
from ledger.errors import InvalidInput, LedgerError, OutcomeUnknown, Rejected, shown
from ledger.evidence import revocation
from ledger.journal.ledger import Ledger
from ledger.keyring import changes, folder
from ledger.queries import Books

SOURCE = "operator"
Source = Annotated[str, typer.Option(help="As which source to append.")]
Actor = Annotated[str, typer.Option(help="Who does this, for the record.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
KeyId = Annotated[str, typer.Argument(help="The key's id, as `tradeledger keys show` prints it.")]
LastSize = Annotated[
    int,
    typer.Option("--last-valid-size", min=0, help="How many events the last tree has for which the key counts."),
]
Reason = Annotated[str, typer.Option(help="Why, for the record; signed with the rest.")]


def _named(found: Access, origin: str | None) -> tuple[list[ChainKey], str, int]:
    """Return the keys that the chain names, its origin and the seq of its head."""
    with Books(found.dsn("reader"), origin) as books:
        at = books.table("chain_keys")
        return at.value, books.chain.origin, at.seq


def rotate(
    old: Annotated[Path, typer.Argument(help="File of the key that is to be followed by another.")],
    new: Annotated[
        Path | None, typer.Option(help="File of the new key, made if it is not there; else one beside the old.")
    ] = None,
    dsn: Dsn = None,
    origin: Origin = None,
    source: Source = SOURCE,
    actor: Actor = "operator",
    dry_run: DryRun = False,
) -> None:
    """
    Make a new key for the same purpose and name, and let the chain name it. Both count until the old one is revoked.

    Interrupted and run again, it goes on with the key that it had made.
    """
    pair = signatures.read(old)
    if pair.purpose not in signatures.PURPOSES:
        raise InvalidInput(f"{old} is the key of a {pair.purpose}, which no chain names: make it anew with keys create")
    with connections.access(dsn) as found:
        rows, origin, _ = _named(found, origin)
        row = changes.row_of(rows, pair.key_id, origin)
        if row.revoked:
            raise InvalidInput(f"{old} holds key {row.key_id}, which is revoked: a revoked key names no successor")
        path, after = _place(old, new, rows, row)
        if after is not None:
            print(f"key {after.key_id} took over from {row.key_id} at seq {after.valid_from_seq}")
            print(*_advice(pair.purpose, origin, old, path), sep="\n")
            return
        if not folder.is_listed(path):
            raise InvalidInput(
                f"the new key would be in {path}; name with --new a file that ends in .json and begins with no dot: a "
                "backup would pass over another"
            )
        fresh = _fresh(path, pair)
        if fresh.key_id in {one.key_id for one in rows}:
            raise InvalidInput(f"{path} holds key {fresh.key_id}, which the chain {origin} names already")
        event = changes.rotation(pair, fresh)
        with Ledger.open(found.dsn("writer"), origin=origin, source=source) as ledger:
            if dry_run:
                ledger.dry_run(event)
                print(f"a new {pair.purpose} key of {pair.name} in {path} would take over from {pair.key_id}")
                return
            seq = _record(ledger, event, path, fresh, actor)
    print(f"key {fresh.key_id} in {path} took over from {pair.key_id} at seq {seq}")
    print(*_advice(pair.purpose, origin, old, path), sep="\n")


def _place(old: Path, new: Path | None, rows: list[ChainKey], row: ChainKey) -> tuple[Path, ChainKey | None]:
    """Return where the new key is or is to be, and what the chain says of it if this was done before."""
    after = changes.successor(rows, row)
    count = len(changes.same_holder(rows, row))
    if after is None:
        return new or folder.following(old, count + 1), None
    beside = [found for found in folder.key_files(old.parent) if found.pair and found.pair.key_id == after.key_id]
    path = new or (beside[0].path if beside else None)
    if path is not None and path.exists() and signatures.read(path).key_id == after.key_id:
        return path, after
    if new is None:
        raise InvalidInput(
            f"key {after.key_id} took over from {row.key_id} at seq {after.valid_from_seq}; rotate that one, or, if it "
            f"is lost, name the file of yet another with --new"
        )
    return new, None


def _fresh(path: Path, old: KeyPair) -> KeyPair:
    """Return the key in *path*, or one that is to be written there."""
    if path.exists():
        return signatures.read(path)
    return KeyPair(old.purpose, old.name, secrets.token_bytes(32))


def _record(ledger: Ledger, event: KeyRotated, path: Path, fresh: KeyPair, actor: str) -> int:
    """Write the key and then the event, so that no chain names a key that nobody has; return the seq."""
    made = not path.exists()
    if made:
        try:
            signatures.write(path, fresh)
        except OSError as error:
            raise InvalidInput(f"{path} cannot be written: {error.strerror}; nothing was changed") from error
    try:
        return ledger.append(event, key=f"rotate-{event.old_key_id}-{fresh.key_id}", actor=actor).seq
    except Rejected:
        if made:
            path.unlink()
        raise
    except OutcomeUnknown as error:
        raise OutcomeUnknown(f"{error}; the new key stays in {path}: run this again, it goes on from there") from error
    except (LedgerError, KeyboardInterrupt):
        print(f"the new key stays in {path}: run this again, it goes on from there", file=sys.stderr)
        raise


def _advice(purpose: str, origin: str, old: Path, new: Path) -> list[str]:
    """Return what is to be done now that two keys count."""
    fresh = signatures.read(new)
    key = changes.verifier_key(purpose, fresh.name, fresh.public_key, origin)
    listed = key.text() if key else "none"
    until = f"both count until the old one is revoked: tradeledger keys revoke {signatures.read(old).key_id}"
    if purpose == "checkpoint":
        return [
            f"restart the signer with both: tradeledger signer serve --key {new} --key {old} …",
            f"add to every policy and to every witness's --log: {listed}",
            "once all of them have it and a checkpoint was signed by both, leave the old --key out",
            until,
        ]
    if purpose == "publisher":
        return [
            f"restart the publisher: tradeledger-replicator publish --key {new} --old-key {old} …",
            "replicas learn the new key from the chain; once all have it, leave --old-key out",
            until,
        ]
    if purpose == "replica":
        return [
            f"restart the replica's applier: tradeledger-replicator apply --key {new} …",
            f"where it cosigns: tradeledger cosign --key {new} …, and add to the policies of replicas: {listed}",
            until,
        ]
    return [f"put {new} into the safe, away from this machine", until]


def revoke(
    key_id: KeyId,
    last_valid_size: LastSize,
    reason: Reason,
    recovery: Annotated[Path | None, typer.Option(help="File of a recovery key that signs this.")] = None,
    signature: Annotated[
        str | None, typer.Option(help="Its signature instead, made elsewhere by `keys sign-revocation`.")
    ] = None,
    without_successor: Annotated[
        bool, typer.Option("--without-successor", help="Also where no other key could take its place.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dsn: Dsn = None,
    origin: Origin = None,
    source: Source = SOURCE,
    actor: Actor = "operator",
    dry_run: DryRun = False,
) -> None:
    """
    End a key for good: what it signs of anything beyond --last-valid-size counts no more. This cannot be undone.

    A revoked key names no successor, so rotate it first. Any recovery key that the chain names may sign.
    """
    if (recovery is None) == (signature is None):
        raise typer.BadParameter("give either --recovery or --signature")
    with connections.access(dsn) as found:
        rows, origin, head = _named(found, origin)
        row = changes.row_of(rows, key_id, origin)
        if row.revoked and row.valid_to_seq == last_valid_size:
            print(f"key {key_id} is revoked already; it counts up to {last_valid_size}")
            print(*_lines(row, origin, last_valid_size), sep="\n")
            return
        _check(rows, row, last_valid_size, head, without_successor)
        signed = signature or _signature(recovery, rows, key_id, last_valid_size, reason)
        event = changes.revocation(key_id, last_valid_size, reason, signed)
        if not dry_run:
            _ask(row, last_valid_size, head, yes)
        with Ledger.open(found.dsn("writer"), origin=origin, source=source) as ledger:
            if dry_run:
                ledger.dry_run(event)
                print(f"{_sentence(row, last_valid_size)} would be revoked")
                return
            seq = ledger.append(event, key=f"revoke-{key_id}", actor=actor).seq
    print(f"key {key_id} is revoked at seq {seq}; it counts up to {last_valid_size}")
    print(*_lines(row, origin, last_valid_size), sep="\n")


def _check(rows: list[ChainKey], row: ChainKey, last: int, head: int, without_successor: bool) -> None:
    if row.revoked:
        raise InvalidInput(
            f"key {row.key_id} is revoked already, and counts up to {row.valid_to_seq}: that is for good"
        )
    if last > head:
        raise InvalidInput(f"found --last-valid-size {last}; the chain has {head} events: at most that")
    if changes.leaves_none(rows, row) and not without_successor:
        raise InvalidInput(
            f"no other {row.purpose} key of {row.name} is in force, and a revoked key names no successor: run "
            "`tradeledger keys rotate` first, or say --without-successor if there shall be none"
        )


def _signature(recovery: Path | None, rows: list[ChainKey], key_id: str, last: int, reason: str) -> str:
    pair = signatures.read(recovery or Path())
    made = changes.revocation_signature(pair, key_id, last, reason)
    if not any(one.key_id == pair.key_id and not one.revoked for one in rows):
        raise InvalidInput(f"{recovery} holds key {pair.key_id}, which is no recovery key in force of this chain")
    return made


def _sentence(row: ChainKey, last: int) -> str:
    return f"the {row.purpose} key of {row.name}, {row.key_id}, for everything beyond {last} events"


def _ask(row: ChainKey, last: int, head: int, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput("this cannot be undone, and there is nobody to ask; say --yes if it is meant")
    print(f"about to revoke {_sentence(row, last)} (the chain has {head}); this cannot be undone", file=sys.stderr)
    if not typer.confirm("revoke it?", err=True):
        raise InvalidInput("it was not confirmed; nothing was revoked")


def _lines(row: ChainKey, origin: str, last: int) -> list[str]:
    """Return what is to be done now that a key counts no more."""
    key = changes.verifier_key(row.purpose, row.name, bytes.fromhex(row.public_key), origin)
    said = ["stop what still signs with it; replicas and verifiers learn of it from the chain"]
    if key is not None:
        said += ["add this line to every policy that lists the key:", revocation.line(key, last)]
    if row.purpose == "checkpoint" and key is not None:
        said.append(f"restart witnesses with: --revoked '{key.text()} {last}'")
    return said


def sign_revocation(
    key_id: KeyId,
    last_valid_size: LastSize,
    reason: Reason,
    recovery: Annotated[Path, typer.Option(help="File of the recovery key.")],
) -> None:
    """
    Print a recovery key's signature of a revocation, for `keys revoke --signature`. Asks no database and no network.

    So the recovery key need never be on a machine that is connected to anything.
    """
    signatures.key_id_bytes(key_id)
    if not reason:
        raise InvalidInput(f"found reason {shown(reason)}; expected why")
    print(changes.revocation_signature(signatures.read(recovery), key_id, last_valid_size, reason))
