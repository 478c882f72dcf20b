"""
Rule on the chain's own events: keys, reigns, repairs and reconciliations.
"""

from __future__ import annotations

import msgspec

from ledger.chain import signatures
from ledger.domain.events import control as events
from ledger.domain.events.fields import Event
from ledger.domain.rows import Break, ChainKey
from ledger.domain.rules.approval import check_second_person
from ledger.domain.rules.ground import Broken, Effects, Now, known, next_version
from ledger.domain.state import State
from ledger.errors import InvalidInput, SignatureInvalid

CONTROL_STREAM = "chain/control"


def _noted(state: State) -> Effects:
    return Effects(CONTROL_STREAM, next_version(state, CONTROL_STREAM))


def _name_key(state: State, key: events.KeyNamed, from_seq: int) -> None:
    # A key id is made of its key, so that none can be passed off under another's.
    try:
        made = signatures.key_id(key.purpose, signatures.public_key_bytes(key.public_key))
    except InvalidInput as error:
        raise Broken("key_bytes", f"key {key.key_id}: {error}; expected 64 hexadecimal digits") from None
    if made != key.key_id:
        raise Broken(
            "key_id", f"found key id {key.key_id}; expected {made}, this public key's for the purpose {key.purpose}"
        )
    if state.chain_keys.get(key.key_id) is not None:
        raise Broken("key_exists", f"found key {key.key_id} a second time; expected each once")
    state.chain_keys.put(ChainKey(key.key_id, key.purpose, key.name, key.public_key, from_seq, None, False))


def create(state: State, event: events.ChainCreated, now: Now) -> Effects:
    """
    The first event and no other names the chain and its keys.
    """
    if now.seq != 1:
        raise Broken("chain_exists", f"found ChainCreated at seq {now.seq}; expected it at 1 and nowhere else")
    if event.format_version != 1:
        raise Broken("format_version", f"found format version {event.format_version}; expected 1")
    for key in event.keys:
        _name_key(state, key, now.seq)
    return _noted(state)


def note(state: State, event: Event, now: Now) -> Effects:
    """
    What happened to the chain is recorded; it changes no state of trading.
    """
    return _noted(state)


ROTATION_DOMAIN = b"trade-ledger/rot1"
REVOCATION_DOMAIN = b"trade-ledger/rev1"


def rotation_statement(old_key_id: str, new_key: events.KeyNamed) -> bytes:
    """
    Return what the old and the new key sign when one takes over from the other.
    """
    return f"{old_key_id}\n{new_key.key_id}\n{new_key.purpose}\n{new_key.name}\n{new_key.public_key}".encode()


def revocation_statement(key_id: str, last_valid_seq: int, reason: str) -> bytes:
    """
    Return what the recovery key signs when a key is to count no more.
    """
    return f"{key_id}\n{last_valid_seq}\n{reason}".encode()


def _signed(public_key: str, domain: bytes, statement: bytes, signature: str) -> bool:
    try:
        key, given = signatures.public_key_bytes(public_key), signatures.signature_bytes(signature)
        signatures.check(key, domain, statement, given)
    except (SignatureInvalid, InvalidInput):
        return False
    return True


def rotate_key(state: State, event: events.KeyRotated, now: Now) -> Effects:
    """
    A valid key names its successor of the same purpose and name; both sign, and both stay valid until one is revoked.
    """
    old = known(state.chain_keys, event.old_key_id, "key")
    if old.revoked or (old.purpose, old.name) != (event.new_key.purpose, event.new_key.name):
        raise Broken(
            "key_mismatch",
            f"key {event.old_key_id} is revoked, or is for another purpose or name; expected the one that is in force",
        )
    statement = rotation_statement(event.old_key_id, event.new_key)
    for whose, key, signature in (
        ("old", old.public_key, event.old_signature),
        ("new", event.new_key.public_key, event.new_signature),
    ):
        if not _signed(key, ROTATION_DOMAIN, statement, signature):
            raise Broken(
                "signature",
                f"the signature of the {whose} key is missing or not of this statement; expected both keys' signatures",
            )
    _name_key(state, event.new_key, now.seq)
    return _noted(state)


def revoke_key(state: State, event: events.KeyRevoked, now: Now) -> Effects:
    """
    A key counts no more after a seq that has passed, when a recovery key that is not revoked says so.
    """
    key = known(state.chain_keys, event.key_id, "key")
    if key.revoked or event.last_valid_seq >= now.seq:
        raise Broken(
            "key_revoked",
            f"key {event.key_id} is revoked already, or {event.last_valid_seq} has not passed; "
            "expected a key in force and a seq that has",
        )
    recovery = [row for row in state.chain_keys.rows.values() if row.purpose == "recovery" and not row.revoked]
    if not recovery:
        raise Broken(
            "no_recovery_key",
            "the chain names no recovery key that could revoke another; expected one since ChainCreated",
        )
    statement = revocation_statement(event.key_id, event.last_valid_seq, event.reason)
    # Any of them will do: rows come in another order after a restart, so none can be told to be the last.
    if not any(_signed(row.public_key, REVOCATION_DOMAIN, statement, event.signature) for row in recovery):
        raise Broken(
            "signature",
            "the signature is not a recovery key's of this statement; expected one of a key that the chain names",
        )
    state.chain_keys.put(msgspec.structs.replace(key, revoked=True, valid_to_seq=event.last_valid_seq))
    return _noted(state)


def _check_resolution(state: State, origin: str, found: events.BreakResolution, now: Now) -> None:
    check_second_person(state, "resolution", found.proposed_by, found.approved_by)
    row = state.breaks.get(origin, found.key)
    if row is None or row.closed_seq is not None:
        raise Broken("no_such_break", f"found a resolution of {found.key!r}; expected a break of {origin} that is open")
    if (found.how == "adjusted") != (found.ref is not None):
        raise Broken("break_ref", f"break {found.key!r}: give ref with 'adjusted', and only with it")
    if found.ref is not None and not 0 < found.ref < now.seq:
        raise Broken("break_ref", f"break {found.key!r}: found ref {found.ref}; expected a seq from 1 to {now.seq - 1}")


def _check_lapsed(state: State, origin: str, lapsed: tuple[str, ...]) -> None:
    for key in lapsed:
        row = state.breaks.get(origin, key)
        if row is None or row.closed_seq is None or lapsed.count(key) > 1:
            raise Broken("no_such_break", f"found a lapsed decision on {key!r}; expected a break of {origin} that has "
                                          "ended, each once")  # fmt: skip


def _check_repeated(state: State, event: events.ReconciliationRecorded) -> None:
    values = {difference.key: (difference.ledger, difference.external) for difference in event.breaks}
    is_twice = len(set(event.repeated)) < len(event.repeated)
    for key in event.repeated:
        row = state.breaks.get(event.origin, key)
        if row is not None and row.closed_seq is not None:
            said = key not in values and key not in event.lapsed
        else:
            said = row is not None and (row.ledger_value, row.external_value) == values.get(key)
        if is_twice or not said:
            raise Broken(
                "no_such_break",
                f"found {key!r} said again; expected a break of {event.origin} that is open, with the two values that "
                "it has, or one that has ended and stays so, each once",
            )


def reconcile(state: State, event: events.ReconciliationRecorded, now: Now) -> Effects:
    """
    Breaks that are named open or change; those of the source that are named no more end, some because someone decided.
    """
    if event.matched < 0:
        raise Broken("matched", f"found {event.matched} that matched; expected 0 or more")
    named = {difference.key for difference in event.breaks} | {found.key for found in event.resolved}
    if len(named) != len(event.breaks) + len(event.resolved):
        raise Broken("break_key", "found one key twice among the breaks and resolutions; expected each once")
    for found in event.resolved:
        _check_resolution(state, event.origin, found, now)
        named.remove(found.key)
    _check_lapsed(state, event.origin, event.lapsed)
    _check_repeated(state, event)
    for (source, key), old in list(state.breaks.rows.items()):
        if source == event.origin and key not in named and old.closed_seq is None:
            state.breaks.put(msgspec.structs.replace(old, closed_seq=now.seq, as_of=event.as_of))
    repeated = frozenset(event.repeated)
    for key in event.repeated:
        ended = state.breaks.get(event.origin, key)
        if ended is not None and ended.closed_seq is not None and ended.as_of < event.as_of:
            state.breaks.put(msgspec.structs.replace(ended, as_of=event.as_of))
    for difference in event.breaks:
        opened, values = now.seq, (difference.ledger, difference.external)
        known_break = state.breaks.get(event.origin, difference.key)
        if known_break is not None and known_break.closed_seq is None:
            if (known_break.ledger_value, known_break.external_value) == values:
                # It is as of the newest statement that said so: others may be about other things.
                if difference.key in repeated and known_break.as_of < event.as_of:
                    state.breaks.put(msgspec.structs.replace(known_break, as_of=event.as_of))
                continue
            opened = known_break.opened_seq
        state.breaks.put(Break(event.origin, difference.key, *values, event.as_of, opened, None))
    stream = f"reconciliation/{event.origin}"
    return Effects(stream, next_version(state, stream))


RULES: dict[type[Event], object] = {
    events.ChainCreated: create,
    events.EpochStarted: note,
    events.EpochSealed: note,
    events.RpoGuardOverridden: note,
    events.KeyRotated: rotate_key,
    events.KeyRevoked: revoke_key,
    events.HistoryRepaired: note,
    events.ReconciliationRecorded: reconcile,
}
