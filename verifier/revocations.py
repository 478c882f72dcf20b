"""
Learn from the chain which of its keys were revoked, and for which sizes they count.

A policy says whom an auditor trusts; the chain says whom its own recovery key has ended since. Only events about keys
are read, by the same rules as everywhere, so a revocation that no recovery key of the first event's line has signed is
a broken rule and ends nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ledger.chain.signatures import public_key_bytes
from ledger.domain import registry
from ledger.domain.rows import ChainKey
from ledger.domain.rules import control
from ledger.domain.rules.ground import Broken, Now
from ledger.domain.state import State
from ledger.errors import LedgerError
from ledger.evidence.revocation import Revoked
from verifier.report import Finding

KINDS: Final = frozenset({"ChainCreated", "KeyRotated", "KeyRevoked"})
"""The types of the events that say which keys count; others need not be handed in."""
_SIGNING: Final = ("checkpoint", "replica")
"""The purposes whose keys sign checkpoints."""


def revoked(rows: Iterable[ChainKey]) -> tuple[Revoked, ...]:
    """
    Return which keys that sign checkpoints count no more, of those that a chain names.
    """
    return tuple(
        Revoked(public_key_bytes(row.public_key), row.valid_to_seq)
        for row in rows
        if row.revoked and row.valid_to_seq is not None and row.purpose in _SIGNING
    )


class KeyHistory:
    """
    The keys of a chain as its events name, follow and end them, and what is wrong with those events.
    """

    def __init__(self) -> None:
        self._state = State()
        self.findings: list[Finding] = []

    def take(self, seq: int, event_type: str, schema_version: int, given: bytes) -> None:
        """
        Take in one event of `KINDS`, in the order of seq.
        """
        try:
            event = registry.decode_given(event_type, schema_version, given)
            # Rules about keys ask for no time.
            control.RULES[type(event)](self._state, event, Now(seq, 0, 0, given))  # type: ignore[operator]
        except (Broken, LedgerError) as error:
            self.findings.append(
                Finding("STATE_MISMATCH", "an event about keys that is by the rules", str(error), seq=seq,
                        column="payload")
            )  # fmt: skip

    def checkpoint_keys(self) -> list[tuple[bytes, int, int | None]]:
        """
        Return the keys that sign checkpoints: the public half, from which size on, and up to which where it was ended.
        """
        return [
            (public_key_bytes(row.public_key), row.valid_from_seq, row.valid_to_seq)
            for row in self._state.chain_keys.rows.values()
            if row.purpose == "checkpoint"
        ]

    def revoked(self) -> tuple[Revoked, ...]:
        """
        Return which keys that sign checkpoints count no more.
        """
        return revoked(self._state.chain_keys.rows.values())
