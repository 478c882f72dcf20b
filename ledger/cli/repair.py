"""
Mend what a verification found: plan it, show it, ask, do it, record it, and verify everything again.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from ledger import given_file
from ledger.chain.entry import PAYLOAD_LIMIT_BYTES
from ledger.cli import access as connections
from ledger.cli import tables
from ledger.cli.access import Access
from ledger.cli.options import Dsn
from ledger.domain import registry
from ledger.domain.events.control import HistoryRepaired
from ledger.errors import InvalidInput, LedgerError, NotPermitted, TooLarge, UnknownChain, plain, shown
from ledger.evidence import policy
from ledger.evidence.note import NOTE_LIMIT_BYTES
from ledger.evidence.policy import Policy
from ledger.journal.group import Group
from ledger.journal.ledger import Ledger
from ledger.repairing import applying, identity, plan, planning, region, reports, sources
from ledger.repairing.applying import Applying, Mended
from ledger.repairing.plan import NotProven, Plan, Write
from ledger.repairing.role import Mode
from ledger.repairing.sources import Source
from ledger.repairing.wanted import HISTORIES
from ledger.storage import chains, database, repairs
from ledger.storage.database import Connection
from ledger.storage.repairs import Noted
from ledger.whole_file import whole

app = typer.Typer(
    no_args_is_help=True, help="Mend what a verification found from copies that are proven to be what was signed."
)
WORD: Final = "mend"
SOURCE: Final = "operator"
CORRUPT: Final = 3
KEY_LETTERS: Final = 32
LISTED: Final = 100
_UNRECORDED: Final = "what was mended stays, and is not recorded as an event yet (apply the same plan once it can be)"
_UNMADE: Final = "histories are not made anew yet (apply the same plan once they can be)"
_UNTOUCHED: Final = "nothing was mended, and nothing is recorded"
RECORD_LIMIT_BYTES: Final = PAYLOAD_LIMIT_BYTES - 4096
"""What a record says beside what it is given is far less than the rest."""
LIMIT_BYTES: Final = 1 << 28
"""No report or plan is larger: the largest plan names 100,000 events."""

Trust = Annotated[
    Path, typer.Option("--policy", help="Your own file of whose signatures under checkpoints count; nothing else does.")
]
Replica = Annotated[str | None, typer.Option(help="Address of another region's database.")]
Backup = Annotated[str | None, typer.Option(help="Address of a database that was restored elsewhere from a backup.")]
TopicAt = Annotated[str | None, typer.Option("--topic", help="Kafka's bootstrap address, host:port, of the topic.")]
Archive = Annotated[str | None, typer.Option(help="Place of an archive: a folder, s3://, gs:// or az://bucket/path.")]
DespiteRecord = Annotated[
    bool,
    typer.Option(
        "--despite-record",
        help="The events were held against receipts and fit: make what this region recorded of itself fit them, too.",
    ),
]
Role = Annotated[
    Mode | None,
    typer.Option(
        help="Which role this region has, where its rows no longer tell; primary only if no other region appends.",
    ),
]
Owner = Annotated[
    str | None, typer.Option(help="Address of the database to mend; the login is a member of ledger_owner.")
]


@app.command("plan")
def make_plan(
    report: Annotated[Path, typer.Argument(help="JSON report of any mode of tradeledger-verify.")],
    trust: Trust,
    replica: Replica = None,
    topic: TopicAt = None,
    archive: Archive = None,
    backup: Backup = None,
    signed: Annotated[
        Path | None, typer.Option("--checkpoint", help="File of the signed checkpoint; else the newest in any copy.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="File for the plan; else standard output.")] = None,
    despite_record: DespiteRecord = False,
    role: Role = None,
    dsn: Dsn = None,
) -> None:
    """
    Name for each finding the copy whose bytes are what was signed, and what will be written; nothing is changed.

    Ends with 3 where a finding is left that nothing here mends.
    """
    data, rules = _bytes(report, "report"), _policy(trust)
    found_report = reports.decode(data)
    origin = planning.origin_of(rules, found_report)
    given = [] if signed is None else [_bytes(signed, "checkpoint", NOTE_LIMIT_BYTES)]
    with (
        connections.access(dsn) as found,
        _opened(replica, topic, archive, backup, origin, found) as copies,
        database.translating(),
        # Copies are compared with what is stored in temporary tables, which not every login may make.
        contextlib.closing(database.connect(found.dsn("owner"), "tradeledger repair")) as connection,
        contextlib.closing(_second(found.dsn("reader"))) as reading,
    ):
        made = planning.make(
            connection, reading, rules, found_report, reports.digest(data), copies, given,
            despite_record=despite_record, said=role,
        )  # fmt: skip
    if output is None:
        print(made.encode().decode(), end="")
    else:
        with whole(output) as out:
            out.write(made.encode())
    _show(made)
    if made.left():
        raise typer.Exit(CORRUPT)


@app.command("apply")
def apply_plan(
    file: Annotated[Path, typer.Argument(help="A plan of `tradeledger repair plan`, read by a person.")],
    trust: Trust,
    replica: Replica = None,
    topic: TopicAt = None,
    archive: Archive = None,
    backup: Backup = None,
    reason: Annotated[str | None, typer.Option(help="Why, for the record; else that the report found it.")] = None,
    despite_record: DespiteRecord = False,
    role: Role = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do all of it, take it back, and say so.")] = False,
    dsn: Owner = None,
    writer: Annotated[
        str | None, typer.Option(help="Address to record the repair by, where the chain is primary; needed with --dsn.")
    ] = None,
    auditor: Annotated[str | None, typer.Option(help="Address to verify by afterwards; else that of --dsn.")] = None,
    source: Annotated[str, typer.Option(help="As which source to record it.")] = SOURCE,
    actor: Annotated[str, typer.Option(help="Who does this, for the record.")] = "operator",
    jobs: Annotated[int, typer.Option(min=1, help="How many processes verify afterwards.")] = 1,
) -> None:
    """
    Prove every line of a plan again, mend what it names in one transaction, record it, and verify everything.

    Stop writers first. The exit status is that of the verification: 0 where nothing is wrong any more.
    """
    found_plan, rules = plan.decode(_bytes(file, "plan")), _policy(trust)
    why = reason or f"report {found_plan.report[:KEY_LETTERS]} found it"
    why += "; the events were held against receipts" if despite_record else ""
    with connections.access(dsn) as found:
        recorder = _recorder(found, writer)
        with (
            _opened(replica, topic, archive, backup, found_plan.origin, found) as copies,
            database.translating(),
            contextlib.closing(database.connect(found.dsn("owner"), "tradeledger repair")) as connection,
            contextlib.closing(_second(found.dsn("owner"))) as reading,
        ):
            applying_it = Applying(
                connection, reading, rules, found_plan, copies, why, despite_record=despite_record, said=role
            )
            if not dry_run:
                _check_record(found_plan, why, actor)
                _check_recorder(applying_it, recorder, source)
            _show(found_plan)
            if not found_plan.writes:
                raise InvalidInput("the plan writes nothing, so there is nothing to apply")
            if not dry_run:
                _ask(found_plan, yes)
            mended, unmade = _mend(applying_it, found.dsn("owner"), found_plan, why, dry_run=dry_run)
            _tell(mended, dry_run, is_whole=unmade is None)
            awaited = "" if dry_run else _awaited(applying_it, recorder)
        if dry_run:
            return
        if unmade is not None:
            print(plain(f"{_UNMADE}: {unmade}"), file=sys.stderr)
        unrecorded = _tell_record(recorder, found_plan, mended, why, source, actor, awaited=awaited)
        print("verifying everything", flush=True)
        status = _verify(auditor or found.dsn("auditor"), found_plan, trust, jobs)
        failed = unrecorded or unmade
        if failed is not None and not status:
            raise failed
        raise typer.Exit(status)


def _bytes(path: Path, what: str, limit: int = LIMIT_BYTES) -> bytes:
    try:
        return given_file.read(path, limit)
    except OSError as error:
        raise InvalidInput(f"the {what} {path} cannot be read: {error.strerror}; name another file") from error


def _policy(path: Path) -> Policy:
    return policy.decode(_bytes(path, "policy", policy.POLICY_LIMIT_BYTES))


def _second(dsn: str) -> Connection:
    """Return a connection in which each statement stands by itself: one that cannot be read spoils no other."""
    made = database.connect(dsn, "tradeledger repair (reads)")
    made.autocommit = True
    return made


@contextlib.contextmanager
def _opened(
    replica: str | None, topic: str | None, archive: str | None, backup: str | None, origin: str, found: Access
) -> Iterator[list[Source]]:
    """Yield the copies that were named, in the order in which they are asked."""
    with contextlib.ExitStack() as stack:
        made: list[Source] = []
        if replica is not None:
            made.append(stack.enter_context(sources.database_at(sources.REPLICA, replica, origin)))
        if archive is not None:
            made.append(sources.archived(archive, origin))
        if topic is not None:
            # After the archive, whose word for the chain's id is at hand; before it, as the nearer copy.
            made.insert(len(made) - (archive is not None), sources.Topic(topic, _chain_id(made, found, origin)))
        if backup is not None:
            made.append(stack.enter_context(sources.database_at(sources.BACKUP, backup, origin)))
        _check_elsewhere(made, found)
        yield made


def _check_elsewhere(made: Sequence[Source], found: Access) -> None:
    """Raise InvalidInput where one of the copies is the database to be mended, which would vouch for itself."""
    with contextlib.closing(database.connect(found.dsn("reader"), "tradeledger repair")) as connection:
        for copy in made:
            if isinstance(copy, sources.Database) and copy.is_in(connection):
                raise InvalidInput(f"the {copy.kind} that was named is the database to be mended; name another one")


def _chain_id(made: Sequence[Source], found: Access, origin: str) -> bytes:
    """Return the id of the chain, as a copy or else this database has it: it names the topic."""
    if made:
        return made[0].chain_id
    with contextlib.closing(database.connect(found.dsn("reader"), "tradeledger repair")) as connection:
        chain_id = region.find(connection, origin).chain_id
    if not chain_id:
        raise UnknownChain(identity.NO_ID)
    return chain_id


def _show(made: Plan) -> None:
    """Say what a plan is, for people, who decide by it: what an intruder wrote of it makes no lines of its own."""
    print(plain(f"by the checkpoint of {made.size} events of {made.origin}, root {made.root}:"), file=sys.stderr)
    left = [f"not mended: {one.finding.kind}: {one.finding.place()}: {one.reason}" for one in made.left()]
    for lines in (made.sentences(), left):
        for line in _first(lines):
            print(f"  {line}", file=sys.stderr)
    done = len(made.findings) - len(made.left())
    print(f"{done} of {len(made.findings)} findings would be mended by {len(made.writes)} writes", file=sys.stderr)


def _first(lines: Sequence[str]) -> list[str]:
    """Return as many lines as somebody reads; the plan has them all."""
    more = [f"and {len(lines) - LISTED} more, which the plan lists"] if len(lines) > LISTED else []
    return [*map(plain, lines[:LISTED]), *more]


def _ask(made: Plan, yes: bool) -> None:
    if made.left():
        print(
            "where the books of the region that records this do not fit its head afterwards, nothing can be appended "
            "there: the record then waits until they do and this plan is applied once more",
            file=sys.stderr,
        )
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput("history is about to be written, and there is nobody to ask; say --yes if it is meant")
    said = typer.prompt(f"type {WORD} to write this to {plain(made.origin)}", default="", show_default=False, err=True)
    if said.strip() != WORD:
        raise InvalidInput(f"found {shown(said)} instead of {WORD}; nothing was written")


def _recorder(found: Access, writer: str | None) -> str:
    if writer is None and found.given is not None:
        raise InvalidInput(
            "say with --writer who records the repair: the owner of the tables may not append, and whoever may append "
            "does not own them; where this region is a replica, name the primary's"
        )
    return writer or found.dsn("writer")


def _check_record(made: Plan, reason: str, actor: str) -> None:
    """Raise before anything is mended where the record of it would be no event."""
    event = _event(made, made.writes, reason)
    Group((event,), _key(made, Noted(time.time_ns(), histories=False)), actor).check()
    if len(registry.encode_given(event)) > RECORD_LIMIT_BYTES:
        raise TooLarge(f"found a reason of {len(reason)} characters, which no record can hold; say it in fewer")


def _check_recorder(applying_it: Applying, dsn: str, source: str) -> None:
    """Raise before anything is mended where what is done could not be recorded."""
    with contextlib.closing(database.connect(dsn, "tradeledger repair (record)")) as connection, database.translating():
        if not repairs.may_append(connection) or source not in chains.sources_of_login(connection):
            raise NotPermitted(
                f"the login of --writer may not append as {source!r}, so the repair could not be recorded; use one "
                "that may, or another --source"
            )
        applying_it.check_recorder(connection)


def _awaited(applying_it: Applying, dsn: str) -> str:
    """Return what the record of what was mended waits for, or nothing."""
    try:
        with contextlib.closing(database.connect(dsn, "tradeledger repair (record)")) as connection:
            return applying_it.awaited(connection)
    except LedgerError as error:
        return f"where it would be recorded cannot be asked: {error}"


def _mend(
    applying_it: Applying, dsn: str, made: Plan, reason: str, *, dry_run: bool
) -> tuple[Mended, LedgerError | None]:
    """Mend, then make histories anew where that is wanted; return what was done, and why they were not made."""
    with tables.progress() as bar:
        task = bar.add_task("mending", total=None)

        def told(what: str, count: int) -> None:
            bar.update(task, description=what, completed=count)

        mended = applying_it.run(told, dry_run=dry_run)
        return mended, None if dry_run else _make_histories(mended, dsn, made, reason, told)


def _make_histories(mended: Mended, dsn: str, made: Plan, reason: str, told: applying.Tell) -> LedgerError | None:
    """Make histories anew where that is wanted, and return why not: what was mended stays, is recorded and verified."""
    if mended.histories:
        try:
            with database.translating():
                applying.make_histories(dsn, made, reason, mended, told)
        except LedgerError as error:
            mended.done.remove(applying.HISTORIES_MADE)
            return error
    return None


def _tell(mended: Mended, dry_run: bool, *, is_whole: bool) -> None:
    for sentence in _first(mended.done) or (["everything is as the plan wants it already"] if is_whole else []):
        print(f"{'would have ' if dry_run else ''}{sentence}")
    if dry_run:
        print("all of it was taken back")


def _tell_record(
    dsn: str, made: Plan, mended: Mended, reason: str, source: str, actor: str, *, awaited: str
) -> LedgerError | None:
    """Record what was done and say at which seq, or return why it is not recorded: what was mended stays."""
    try:
        seq = _record(dsn, made, mended, reason, source, actor, awaited=awaited)
    except LedgerError as error:
        print(plain(f"{_UNRECORDED}: {error}"), file=sys.stderr)
        return error
    print(_UNTOUCHED if seq is None else f"recorded at seq {seq}", flush=True)
    return None


def _record(dsn: str, made: Plan, mended: Mended, reason: str, source: str, actor: str, *, awaited: str) -> int | None:
    """
    Append what was done, once for each time at which a plan changed something, and return its seq; None where nothing
    was.

    What an earlier run did, and was killed before it could say so, is in the record of this one.

    Raises:
        NotProven: nothing is appended yet, for what is *awaited*.
    """
    if not mended.notes:
        return None
    with Ledger.open(dsn, origin=made.origin, source=source) as ledger:
        new = [*itertools.takewhile(lambda note: ledger.lookup(_key(made, note)) is None, mended.notes)]
        if not new:
            known = ledger.lookup(_key(made, mended.notes[0]))
            return None if known is None else known.seq
        if awaited:
            raise NotProven(awaited)
        of_histories = {note.histories for note in new}
        done = [write for write in made.writes if (write.table == HISTORIES) in of_histories]
        return ledger.append(_event(made, done, reason), key=_key(made, new[0]), actor=actor).seq


def _key(made: Plan, note: Noted) -> str:
    """Return the key under which it is recorded what a plan changed: which run that was, a note in its region says."""
    return f"repair-{made.digest()[:KEY_LETTERS]}-{note.at}"


def _event(made: Plan, done: Sequence[Write], reason: str) -> HistoryRepaired:
    """Return the record of the writes that were done."""
    seqs = [write.seq for write in done if write.seq is not None] or [1, made.size]
    counted = f"{len(done)} writes: {', '.join(sorted({write.table for write in done}))}"
    return HistoryRepaired(
        from_seq=min(seqs), to_seq=max(seqs), good_copy=" ".join(sorted({write.source for write in done})),
        report_digest=made.report, reason=f"{reason} ({counted})",
    )  # fmt: skip


def _verify(dsn: str, made: Plan, trust: Path, jobs: int) -> int:
    """
    Verify everything, by the program that nothing here is part of, and return its exit status.

    The plan's checkpoint is brought along: a replica's region may keep none.
    """
    with tempfile.TemporaryDirectory(prefix="repair-") as folder:
        signed = Path(folder) / "checkpoint"
        signed.write_text(made.checkpoint)
        words: Sequence[str] = (
            "full", "--dsn", dsn, "--origin", made.origin, "--policy", str(trust), "--expect", str(signed), "--jobs",
            str(jobs),
        )  # fmt: skip
        return subprocess.run([sys.executable, "-m", "verifier", *words], check=False).returncode
