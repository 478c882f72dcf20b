"""
Give one way its own copies of what it breaks, and run checks on them.

Nothing is copied that is not asked for. What a way does not touch is the good world's own, which nobody writes to.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from ledger.evidence import checkpoint, note
from tests.conftest import Database
from tests.tamper import forked
from tests.tamper.firm import ROOT, Firm
from tests.tamper.modes import MODES, VERIFIER
from tests.tamper.way import Expected
from tests.verifier.intruder import Intruder

_NUMBERS: Final = itertools.count(1)
TIMEOUT_S: Final = 180


class Answer(msgspec.Struct, frozen=True):
    """
    What a check said: its exit status, its findings (of the report's shape), and all its words.
    """

    status: int
    findings: list[dict[str, Any]]
    said: str
    command: str
    code: str = ""
    """Why it could not verify, where it says so."""
    verdict: str = ""
    vouched: tuple[str, ...] = ()
    """What its report lists as the region's own word."""

    def match(self, expected: Expected) -> dict[str, Any] | None:
        """Return the finding that was expected, or None where there is none; without findings an empty one."""
        if self.status != expected.status:
            return None
        placed = (expected.kind, expected.seq, expected.table, expected.key, expected.column) != (None,) * 5
        if not self.findings and (expected.says or not placed):
            return {} if expected.says in self.said else None
        return next((one for one in self.findings if _is(one, expected)), None)


def _is(found: dict[str, Any], expected: Expected) -> bool:
    wanted = {"kind": expected.kind, "seq": expected.seq, "table": expected.table, "column": expected.column}
    if any(value is not None and found.get(name) != value for name, value in wanted.items()):
        return False
    if expected.key is not None and tuple(found.get("key", ())) != expected.key:
        return False
    return expected.says in f"{found.get('expected')} {found.get('actual')}"


class Scene:
    """
    What one way works on; used as a context, after which its copies are gone.
    """

    def __init__(self, firm: Firm, folder: Path) -> None:
        self.firm, self.folder = firm, folder
        folder.mkdir(parents=True)
        self.stack = contextlib.ExitStack()
        self.words: dict[str, str] = {
            "dsn": firm.a.dsn("auditor"), "other": firm.b.dsn("auditor"), "policy": str(firm.folder / "policy"),
            "signer": firm.signer, "archive": str(firm.folder / "archive"),
            "receipts": str(firm.folder / "receipts.jsonl"),
            "receipts archived": str(firm.folder / "receipts.archived.jsonl"),
            "kept": str(firm.folder / f"kept.{firm.sizes[-1]}.checkpoint"),
            "proof": str(firm.folder / "event.tlog-proof"),
            "payload": str(firm.folder / "event.json"), "script": str(ROOT / "examples" / "verify_archive.py"),
            "fsck": str(firm.fsck), "log key": str(firm.folder / "log.vkey"), "stream": "account/A", "liar": "",
        }  # fmt: skip
        self._region: Database | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_fscked(self, said: str) -> bool:
        """Whether Tessera's fsck accepted the size and root that the good world's archive has."""
        signed = (self.firm.folder / "archive" / "checkpoint").read_bytes()
        stated, _ = checkpoint.decode_note(signed)
        root = note.encode_base64(stated.root)
        return f"Successfully fsck'd log with size {stated.size} and root {root} " in said

    def copy(self, of: Database, how: str = "WAL_LOG") -> Database:
        """Return a copy of a database, to be broken; after FILE_COPY nothing of it is in the server's memory."""
        name = f"scene_{next(_NUMBERS)}"
        # PostgreSQL copies only what nobody is connected to.
        source = self.firm.still.get(of.name, of.name)
        of.server.sql(f"CREATE DATABASE {name} TEMPLATE {source} OWNER ledger_owner STRATEGY {how}")
        self.stack.callback(of.server.sql, f"DROP DATABASE {name} WITH (FORCE)")
        return Database(of.server, name)

    def empty(self, region: int = 0) -> Database:
        """Return a database that has the schema and no chain."""
        return self.copy(Database(self.firm.servers[region], self.firm.migrated[region]))

    @property
    def region(self) -> Database:
        """The database that is verified: a copy of region A, unless another was chosen."""
        if self._region is None:
            self.look_at(self.copy(self.firm.a))
        assert self._region is not None
        return self._region

    def look_at(self, region: Database) -> Database:
        """Have *region* verified."""
        self._region = region
        self.words["dsn"] = region.dsn("auditor")
        return region

    def intruder(self, region: Database | None = None) -> Intruder:
        """Return a superuser in the database that is verified, or in another."""
        return self.stack.enter_context(Intruder(region or self.region))

    def one(self, sql: str) -> Any:
        """Return the one value that *sql* selects from the good region A."""
        return self.firm.a.sql(sql)

    def archive(self) -> Path:
        """Return a copy of the archive, which is the one that is verified from now on."""
        return self.file("archive")

    def file(self, word: str) -> Path:
        """Return a copy of one of the files or folders that checks are given, in whose place it is from now on."""
        source, target = Path(self.words[word]), self.folder / word
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
        self.words[word] = str(target)
        return target

    def fill(self, word: str) -> str:
        """Return a word of a command with what it names filled in; states are copied, for a check writes to them."""
        for state in ("books", "round"):
            if word == f"{{{state}}}":
                source = self.firm.folder / ("books" if state == "books" else "round.json")
                target = self.folder / f"{state}-{next(_NUMBERS)}"
                shutil.copy(source, target)
                return str(target)
        return re.sub(r"\{([a-z ]+)\}", lambda found: self.words[found[1]], word)

    def ask(self, mode: str) -> Answer:
        """Run a check on what is broken."""
        made = MODES[mode].arguments
        assert made is not None, f"{mode} refuses by itself"
        command = made(self)
        try:
            if tuple(command[: len(VERIFIER)]) == VERIFIER:
                status, out, error = forked.run(command[len(VERIFIER) :], self.folder, TIMEOUT_S)
            else:
                done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=TIMEOUT_S)
                status, out, error = done.returncode, done.stdout, done.stderr
        except (subprocess.TimeoutExpired, forked.TooLong):
            # Tessera's fsck can hang on what is broken: what did not say that all is well, did not. On what is good it
            # says so (run.CONTROL).
            return Answer(3 if mode == "fsck" else -1, [], "it did not end in time", " ".join(command))
        said = (out + error).decode(errors="replace")
        if mode == "fsck":
            status = 0 if self._is_fscked(said) else 3
        told: dict[str, Any] = {}
        with contextlib.suppress(msgspec.MsgspecError):
            told = msgspec.json.decode(out, type=dict)
        return Answer(status, told.get("findings", []), said, " ".join(command), told.get("code", ""),
                      told.get("verdict", ""), tuple(told.get("vouched", ())))  # fmt: skip
