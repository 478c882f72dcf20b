"""
Name what a test needs of a sealed chain: its database, who signed it, who cosigned it, and the policy to judge it by.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from ledger.archiving.stores import Folder
from ledger.archiving.writer import Archive
from ledger.chain.entry import RecordedEvent
from ledger.evidence import policy
from ledger.evidence.policy import Policy
from tests.archiving import chains
from tests.conftest import ORIGIN, Database
from tests.sealing.logs import WITNESSES
from tests.sealing.regions import LOG_KEY
from verifier.report import Finding
from verifier.tiled.databases import Region


def archived(folder: Path, events: tuple[RecordedEvent, ...], size: int = 700) -> Path:
    """Write an archive of made-up events, up to a checkpoint of *size* of them."""
    writer = Archive(Folder(folder), chains.CHAIN_ID, chains.ORIGIN)
    writer.extend(chains.signed(events, size), chains.reader(events), chains.POLICY_TEXT, silent)
    return folder


def silent(what: str, count: int) -> None:
    """Hear of progress, and say nothing."""


class Sealed(msgspec.Struct):
    """
    A chain in a database, the address of its signer, and that of its witness.
    """

    database: Database
    signer: str
    witness: str

    def region(self) -> Region:
        """Open it as an auditor does."""
        return Region(self.database.dsn("auditor"), ORIGIN)

    def policy_text(self, url: str | None = None, quorum: str = "w") -> str:
        """Return the auditor's policy, with another address of the witness if one is given."""
        return (
            f"log {LOG_KEY.verifier.text()}\nwitness w {WITNESSES[0].verifier.text()} {url or self.witness}\n"
            f"quorum {quorum}\n"
        )

    def policy(self, url: str | None = None, quorum: str = "w") -> Policy:
        """Return the auditor's policy."""
        return policy.decode(self.policy_text(url, quorum).encode())

    def policy_file(self, folder: Path) -> Path:
        """Write the auditor's policy into a folder."""
        path = folder / "auditor.policy"
        path.write_text(self.policy_text())
        return path


def stands(found: Sequence[Finding]) -> list[tuple[str, int | None, str | None, tuple[str, ...] | None, str | None]]:
    """Return class and place of each finding."""
    return [(x.kind, x.seq, x.table, x.key, x.column) for x in found]
