"""
The commands that check a chain in parts: `open`, `scrub`, `sample`, `diff`, `stream`.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ledger.archiving.places import open_store
from ledger.errors import InvalidInput, shown
from ledger.evidence.witness import Evidence
from ledger.sandbox import home
from verifier import identity, indexes
from verifier.options import Dsn, Format, Jobs, Origin, ReportFile, Trust
from verifier.report import Report
from verifier.showing import Form, judged, progress
from verifier.stored import Unreadable
from verifier.tiled import diverging, draw, opening, outside, sample, scrub, streams
from verifier.tiled.archives import Archive
from verifier.tiled.copies import Copy
from verifier.tiled.databases import Region
from verifier.trust import read_policy


@contextlib.contextmanager
def _region(dsn: str | None, origin: str | None) -> Iterator[Region]:
    with home.database("auditor", dsn=dsn) as address, Region(address, origin) as region:
        yield region


def open_(
    trust: Trust,
    dsn: Dsn = None,
    origin: Origin = None,
    signer: Annotated[str | None, typer.Option(help="The signer's socket or URL, to be asked too.")] = None,
    max_age: Annotated[
        int | None, typer.Option(min=0, help="For how many seconds a cosignature is fresh; else its age is not judged.")
    ] = None,
    evidence: Annotated[Path | None, typer.Option(help="Folder for evidence against a log that forked.")] = None,
    format: Format = Form.TABLE,
    report: ReportFile = None,
) -> None:
    """
    Check at a start that this database is not an older copy, and not another history, than others have seen.

    Asks the policy's witnesses for their newest checkpoint and holds it against the head. Exit status 4 where too few
    of them answer: then start read-only.
    """
    address = signer if signer is None or "://" in signer else str(Path(signer).absolute())

    def made() -> Report:
        found = read_policy(trust)
        with _region(dsn, origin) as region:
            opened = opening.verify(
                region, found, lambda kept: outside.ask(found, region.origin, address, kept), max_age, time.time_ns
            )
        if evidence is not None:
            _leave(evidence, opened.evidence)
        return opened.report

    if status := judged(made, format, report):
        raise typer.Exit(status)


def _leave(folder: Path, found: list[Evidence]) -> None:
    try:
        for each in found:
            data = each.encode()
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{sha256(data).hexdigest()[:32]}.json").write_bytes(data)
    except OSError as error:
        raise Unreadable(f"the evidence cannot be written to {folder}: {error.strerror}; name another") from error


def _share(text: str) -> Fraction:
    try:
        found = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise typer.BadParameter(f"found {shown(text)}; expected a share of the chain, such as 1/30") from error
    if not 0 < found <= 1:
        raise typer.BadParameter(f"found {shown(text)}; expected a share above 0 and at most 1, such as 1/30")
    return found


def scrub_(
    state: Annotated[Path, typer.Option(help="File of how far the round is; made if it is not there.")],
    dsn: Dsn = None,
    origin: Origin = None,
    share: Annotated[
        Fraction | None, typer.Option(parser=_share, metavar="SHARE", help="How much to check, such as 1/30.")
    ] = None,
    seconds: Annotated[int | None, typer.Option(min=1, help="For how long to check, instead of a share.")] = None,
    jobs: Jobs = 1,
    format: Format = Form.TABLE,
    report: ReportFile = None,
) -> None:
    """
    Check the next share of the chain, and remember how far it came: run each night, it reads everything in a month.
    """
    if share is not None and seconds is not None:
        raise typer.BadParameter("found --share and --seconds; expected one of them")
    portion = Fraction(1, 30) if share is None and seconds is None else share

    def made() -> Report:
        with _region(dsn, origin) as region, progress(None) as told:
            return scrub.verify(region, state, portion, seconds, told, lambda: int(time.time()), jobs)

    if status := judged(made, format, report):
        raise typer.Exit(status)


def _number(text: str) -> Decimal:
    try:
        return draw.read_share(text, "number")
    except InvalidInput as error:
        raise typer.BadParameter(str(error)) from error


def _nonce(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError as error:
        raise typer.BadParameter(f"found {shown(text)}; expected the nonce in hexadecimal") from error
    if len(found) > draw.NONCE_LIMIT_BYTES:
        raise typer.BadParameter(f"found a nonce of {len(found)} bytes; at most {draw.NONCE_LIMIT_BYTES} are taken")
    return found


def sample_(
    trust: Trust,
    archive: Annotated[str | None, typer.Option(help="An archive to draw from, instead of a database.")] = None,
    dsn: Dsn = None,
    origin: Origin = None,
    count: Annotated[int | None, typer.Option("-k", "--tiles", min=1, help="How many tiles to draw.")] = None,
    detect: Annotated[
        Decimal, typer.Option(parser=_number, metavar="SHARE", help="Which share of changed tiles is to be detected,")
    ] = "0.001",  # type: ignore[assignment]
    confidence: Annotated[
        Decimal, typer.Option(parser=_number, metavar="P", help="and with which probability; -k says it directly.")
    ] = "0.99",  # type: ignore[assignment]
    nonce: Annotated[
        bytes | None, typer.Option(parser=_nonce, metavar="HEX", help="Your own; else one is drawn and printed.")
    ] = None,
    jobs: Jobs = 1,
    format: Format = Form.TABLE,
    report: ReportFile = None,
) -> None:
    """
    Check tiles of 256 events that nobody could foresee, and that each stands in the newest root others cosigned.

    The draw follows from that root and the nonce, so that anybody can draw again.
    """
    if archive is not None and dsn is not None:
        raise typer.BadParameter("found --archive and --dsn; expected one of them")
    chosen = draw.enough(detect, confidence) if count is None else count
    wanted = sample.Draw(chosen, secrets.token_bytes(32) if nonce is None else nonce, detect)

    def made() -> Report:
        found = read_policy(trust)
        with progress(None) as told:
            if archive is not None:
                return sample.of_archive(open_store(archive), found, wanted, told, jobs)
            with _region(dsn, origin) as region:
                return sample.of_region(region, found, wanted, told, jobs)

    if status := judged(made, format, report):
        raise typer.Exit(status)


def _is_database(where: str) -> bool:
    scheme = where.partition("://")[0]
    return scheme in ("postgresql", "postgres") or ("://" not in where and "=" in where)


def _copy(stack: contextlib.ExitStack, where: str, name: str, origin: str | None) -> Copy:
    if _is_database(where):
        found: Copy = stack.enter_context(Region(where, origin))
    else:
        found = Archive(open_store(where))
    # An address may hold a password: nobody is shown it.
    found.name = name
    return found


def diff_(
    left: Annotated[str, typer.Argument(metavar="A", help="A database address, or the place of an archive.")],
    right: Annotated[str, typer.Argument(metavar="B", help="The other one.")],
    backup: Annotated[
        bool, typer.Option("--backup", help="B is a backup of A, restored: it says that it is the primary too.")
    ] = False,
    origin: Origin = None,
    format: Format = Form.TABLE,
    report: ReportFile = None,
) -> None:
    """
    Find the first event at which two copies of a chain differ, in a few requests, and the columns that do.

    One that has more events than the other, and the same up to there, does not differ.
    """

    def made() -> Report:
        with contextlib.ExitStack() as stack, progress(None) as told:
            copies = _copy(stack, left, "A", origin), _copy(stack, right, "B", origin)
            # Each is asked by the name and the id that the other one has: it may be the one whose row was changed.
            settled = [
                msgspec.structs.replace(finding, actual=f"{finding.actual} in {copy.name}")
                for copy, other in (copies, copies[::-1]) if isinstance(copy, Region)
                for finding in identity.settle(copy, [other.origin], [other.chain_id]).findings
            ]  # fmt: skip
            found = diverging.compare(*copies, told, backup=backup, settled=settled)
        if any(isinstance(copy, Region) for copy in copies):
            found.not_covered.append(indexes.NOT_LOOKED_UP)
        return found

    if status := judged(made, format, report):
        raise typer.Exit(status)


def stream_(
    stream: Annotated[str, typer.Argument(help="Its name, such as account/A-1 or order/O-17.")],
    trust: Trust,
    dsn: Dsn = None,
    origin: Origin = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="Hash every event, to know that none of this stream is left out.")
    ] = False,
    format: Format = Form.TABLE,
    report: ReportFile = None,
) -> None:
    """
    Check the events of one stream: versions without a gap, and each of them in the newest root others cosigned.
    """

    def made() -> Report:
        found = read_policy(trust)
        with _region(dsn, origin) as region, progress(None) as told:
            return streams.verify(region, stream, found, complete, told)

    if status := judged(made, format, report):
        raise typer.Exit(status)


def register(app: typer.Typer) -> None:
    """
    Give the verifier's command line these commands.
    """
    for name, run in (("open", open_), ("scrub", scrub_), ("sample", sample_), ("diff", diff_), ("stream", stream_)):
        app.command(name)(run)
