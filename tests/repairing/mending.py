"""
Name what a test of repairs needs: a sealed chain, its good copies, and the steps from a broken row to a whole one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from ledger.archiving.stores import Folder
from ledger.archiving.writer import Archive
from ledger.cli.repair import _second
from ledger.evidence import policy
from ledger.evidence.policy import Policy
from ledger.repairing import applying, planning, reports, sources
from ledger.repairing.applying import Applying, Mended
from ledger.repairing.plan import Plan
from ledger.repairing.role import Mode
from ledger.repairing.sources import Source
from ledger.storage import chains, evidence
from ledger.storage import database as db
from ledger.storage import events as stored
from tests.conftest import ORIGIN, Database
from tests.sealing.logs import WITNESSES
from tests.sealing.regions import members, sealing, signer, witness
from tests.verifier.intruder import report_on
from verifier.forms.objects import objects


def silent(what: str, count: int) -> None:
    """Hear of progress, and say nothing."""


class Firm(msgspec.Struct):
    """A chain in a database, which is copied and never opened, an archive of it, and the policy of whoever mends."""

    database: Database
    archive: Path
    policy_text: str
    size: int
    sealed: tuple[int, ...]
    """The sizes of its checkpoints."""
    other: Database
    """Another region's database: it has the events that nobody has signed yet."""

    @property
    def rules(self) -> Policy:
        return policy.decode(self.policy_text.encode())


def report_file(database: Database) -> bytes:
    """Verify, and return the report as a file holds it."""
    return objects(report_on(database), 0).encode()


def archived(region: Database, folder: Path, policy_text: str) -> Path:
    """Archive a region up to its newest checkpoint."""
    with db.connect(region.dsn("reader"), "test") as connection:
        chain = chains.find(connection, None)
        newest = evidence.newest(connection, chain.chain)
        assert newest is not None
        size = newest.size
        Archive(Folder(folder), chain.chain_id, chain.origin).extend(
            newest.note, lambda after: list(stored.read(connection, chain.chain, chain.chain_id, after, size - after)),
            policy_text.encode(), silent,
        )  # fmt: skip
    return folder


@contextlib.contextmanager
def copies(
    replica: Database | None = None,
    archive: Path | None = None,
    kind: str = sources.REPLICA,
    other: Database | None = None,
) -> Iterator[list[Source]]:
    """Open the copies that are given; the *other* region comes last, and vouches for what nobody has signed yet."""
    with contextlib.ExitStack() as stack:
        made: list[Source] = []
        if replica is not None:
            made.append(stack.enter_context(sources.database_at(kind, replica.dsn("auditor"), ORIGIN)))
        if archive is not None:
            made.append(sources.archived(str(archive), ORIGIN))
        if other is not None:
            made.append(stack.enter_context(sources.database_at(sources.REPLICA, other.dsn("auditor"), ORIGIN)))
        yield made


def planned(
    broken: Database,
    rules: Policy,
    found: Sequence[Source],
    data: bytes | None = None,
    given: Sequence[bytes] = (),
    *,
    despite_record: bool = False,
    said: Mode | None = None,
) -> Plan:
    """Return the plan for *broken*, by a report made now unless one is given."""
    data = data or report_file(broken)
    with (
        contextlib.closing(db.connect(broken.dsn("auditor"), "test")) as connection,
        contextlib.closing(_second(broken.dsn("auditor"))) as reading,
    ):
        return planning.make(
            connection, reading, rules, reports.decode(data), reports.digest(data), found, given,
            despite_record=despite_record, said=said,
        )  # fmt: skip


def applied(
    broken: Database,
    rules: Policy,
    plan: Plan,
    found: Sequence[Source],
    login: str = "owner",
    *,
    dry_run: bool = False,
    despite_record: bool = False,
    said: Mode | None = None,
) -> Mended:
    """Apply a plan as the owner."""
    with (
        contextlib.closing(db.connect(broken.dsn(login), "test")) as connection,
        contextlib.closing(_second(broken.dsn(login))) as reading,
    ):
        applying_it = Applying(
            connection, reading, rules, plan, found, "a test", despite_record=despite_record, said=said
        )
        mended = applying_it.run(silent, dry_run=dry_run)
    if mended.histories and not dry_run:
        applying.make_histories(broken.dsn(login), plan, "a test", mended, silent)
    return mended


def mended(
    broken: Database, firm: Firm, found: Sequence[Source], data: bytes | None = None, *, said: Mode | None = None
) -> Plan:
    """
    Plan and apply, and return the plan, which left nothing out but guards that the test took down.

    Of rows under a number that no chain has, it knows of events alone whether they will be mended.
    """
    plan = planned(broken, firm.rules, found, data, said=said)
    left = [judged for judged in plan.left() if judged.finding.kind != "GUARD_CHANGED"]
    left = [judged for judged in left if judged.finding.kind != "STRAY_ROWS" or judged.finding.table == "events"]
    assert left == [], [(judged.finding, judged.reason) for judged in left]
    applied(broken, firm.rules, plan, found, said=said)
    return plan


def seal(region: Database, folder: Path) -> None:
    """Seal what there is, and have it cosigned."""
    folder.mkdir()
    with (
        signer(folder) as place,
        witness(folder, WITNESSES[0]) as url,
        sealing(region, place, witnesses=members("w", [WITNESSES[0]], [url], 1)) as sealer,
    ):
        assert sealer.seal() is not None
