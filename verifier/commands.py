"""
Verify from the command line what was taken away from a ledger: the proof of one event, and an engine's receipts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ledger import given_file
from ledger.archiving.places import open_store
from ledger.evidence.proof_file import FILE_LIMIT_BYTES
from verifier import proof as proofs
from verifier import receipts as kept
from verifier.options import Format, Origin, ReportFile, Trust
from verifier.reader import Reader
from verifier.report import Findings, Report
from verifier.showing import Form, judged, progress
from verifier.stored import Unreadable
from verifier.trust import read_policy


def proof(
    file: Annotated[Path, typer.Argument(help="The proof: a .tlog-proof file.")],
    trust: Trust,
    payload: Annotated[Path | None, typer.Option(help="The event's content, which was made beside the proof.")] = None,
    format: Format = Form.TABLE,
    report: ReportFile = None,
) -> None:
    """
    Check the proof of one event, from the file and your policy alone, and say what is thereby proven.
    """

    def made() -> Report:
        content = None if payload is None else _bytes(payload)
        return proofs.verify(file.name, _bytes(file), read_policy(trust), content)

    if status := judged(made, format, report):
        raise typer.Exit(status)


def receipts(
    file: Annotated[Path, typer.Argument(help="The receipts that the engine kept, as JSON lines.")],
    archive: Annotated[str | None, typer.Option(help="The archive to hold them against; needs --policy.")] = None,
    trust: Annotated[Path | None, typer.Option("--policy", help="Your own file of whose signatures count.")] = None,
    dsn: Annotated[str | None, typer.Option(help="The database to hold them against.")] = None,
    origin: Origin = None,
    format: Format = Form.TABLE,
    report: ReportFile = None,
) -> None:
    """
    Hold the receipts that an engine kept against an archive, a database or both: same events, and none of them gone.
    """
    if archive is None and dsn is None:
        raise typer.BadParameter("found neither --archive nor --dsn; expected what the receipts are held against")
    if archive is not None and trust is None:
        raise typer.BadParameter("found --archive and no --policy; nothing in an archive is trusted without one")

    def made() -> Report:
        findings = Findings()
        with contextlib.ExitStack() as opened:
            holders: list[kept.ArchiveHolder | kept.DatabaseHolder] = []
            if archive is not None and trust is not None:
                holders.append(kept.ArchiveHolder(open_store(archive), read_policy(trust), findings))
            if dsn is not None:
                holders.append(kept.DatabaseHolder(opened.enter_context(Reader(dsn, origin)), findings))
            told = opened.enter_context(progress(None))
            return kept.verify(kept.read(opened.enter_context(_lines(file))), holders, findings, told)

    if status := judged(made, format, report):
        raise typer.Exit(status)


def _bytes(path: Path) -> bytes:
    try:
        return given_file.read(path, FILE_LIMIT_BYTES)
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}; name what `tradeledger prove` wrote") from error


@contextlib.contextmanager
def _lines(path: Path) -> Iterator[Iterator[bytes]]:
    try:
        with given_file.opened(path, silent=given_file.SILENT_SECONDS) as file:
            yield iter(lambda: file.readline(kept.LINE_LIMIT_BYTES + 1), b"")
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}; name a file of receipts") from error
