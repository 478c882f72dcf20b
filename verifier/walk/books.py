"""
Keep what a verification came to, so that the next one applies only the events since: every row of every read model.

It is one SQLite file, and it only ever says what was checked. The first verification writes a file beside it, which
takes its place once there is something to say: all was checked, or all about the events so far, which is said now and
then so that an interruption does not cost everything. A later one changes the file in one transaction. Interrupted or
convicted, it stays as it was. One verification at a time has it, and another is refused (`alone.py`), also where there
is none yet.

Whoever can write the file decides what is not looked at again: keep it where the ledger's owner cannot reach it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
from blake3 import blake3

from ledger import given_file
from ledger.domain.events.fields import Event
from ledger.domain.registry import EVENT_TYPES
from ledger.domain.row_bytes import row_bytes
from ledger.domain.rows import TABLES
from ledger.domain.rows.row import TableSpec
from ledger.domain.state import State
from ledger.evidence.tile_edge import TileEdge
from ledger.evidence.tiles import WIDTH, edge_of
from ledger.evidence.tree import Frontier
from ledger.spill.spill import Spill, row_from
from ledger.version import PROGRAM
from verifier.sealed import SealedCheck
from verifier.stored import Misread, Unreadable
from verifier.walk.alone import Alone
from verifier.walk.saved import Saved

FORMAT: Final = 4
_PART: Final = ".part"


class Tree(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    The edge of the tree of the first *size* events, up to which tiles and checkpoints were checked.

    It is that of the newest checkpoint, which `is_signed` says; where there was none, that of the tiles. `whole` are
    the hashes over the full tiles of leaves, `partial` those in the partial tile of each level.
    """

    size: int
    whole: list[bytes]
    partial: list[list[bytes]]
    is_signed: bool

    @classmethod
    def of(cls, sealed: SealedCheck) -> Tree:
        """
        Return what to keep of what *sealed* checked.
        """
        return cls(sealed.covered.size, *sealed.covered.hashes(), sealed.is_signed)

    def edge(self) -> TileEdge:
        """
        Return the edge that was kept.

        Raises:
            InvalidInput: it is the edge of no tree.
        """
        whole = Frontier(self.size // WIDTH * WIDTH, self.whole)
        return TileEdge(whole, {tile: self.partial[tile.level] for tile in edge_of(self.size)})


NO_TREE: Final = Tree(0, [], [], is_signed=False)


class Verified(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    What the rows of the file are: of which chain and event they are the state, and the lanes of its digest.

    `tree` is how far tiles and checkpoints were checked, which are made behind the events. `counts` are the rows of
    each read model, `kept_to` how far what is kept for reads of the past was checked, and `boundary` is the last
    transaction's end. What does not stand beside an event, such as the rows of read models, was checked where all is
    `compared`.
    """

    format_version: int
    rules: str
    """By which rules events were checked, and which fields rows have: what `rules` says."""
    at: Saved
    tree: Tree
    lanes: bytes
    counts: dict[str, int]
    kept_to: int
    boundary: int
    compared: bool


@functools.cache
def rules() -> str:
    """
    Return a digest of what events are checked by here, and of what rows are: what `rules_of` says of this program.
    """
    return rules_of(PROGRAM, EVENT_TYPES, TABLES)


def rules_of(program: str, kinds: Mapping[str, type[Event]], tables: Mapping[str, TableSpec]) -> str:
    """
    Return a digest of a release, of the versions of event types, each of which names a rule, and of the fields of read
    models with their types.

    Rows of other fields cannot be read as these, and events that other rules let pass may not pass by these. It is made
    of the fields themselves, so that nobody has to think of it where one is added.
    """
    versions = {name: kind.SCHEMA_VERSION for name, kind in sorted(kinds.items())}
    specs = sorted(tables.items())
    said = [(name, spec.key, sorted(spec.amounts), sorted(spec.dates)) for name, spec in specs]
    fields = repr(msgspec.inspect.multi_type_info([spec.row_type for _, spec in specs]))
    return blake3(msgspec.json.encode([program, versions, said, fields])).hexdigest(length=16)


class Books(Spill):
    """
    The rows at the end of an earlier verification, which a new one goes on from; `said` is None where there was none.
    """

    def __init__(self, path: Path) -> None:
        """
        Open the file at *path*, or begin one that takes its place when `save` is called.

        Raises:
            Unreadable: it is none, or another verification is at work with it.
        """
        self.path = path
        self.said: Verified | None = None
        self._alone = _alone(path)
        try:
            if path.exists():
                self._open()
            else:
                # What a process that was killed had begun.
                self._part.unlink(missing_ok=True)
                self._begin(sqlite3.connect(self._part))
                self._db.executescript(
                    "CREATE TABLE open (name TEXT, row BLOB); CREATE TABLE said (what BLOB); PRAGMA user_version = 1;"
                )
        except sqlite3.Error as error:
            self._give_up()
            raise _refused(path, error) from error
        except OSError as error:
            self._give_up()
            raise _out_of_place(path, error.strerror) from error
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Close what was opened, and leave nothing of a file that was only begun, and then nothing to wait for."""
        with contextlib.suppress(AttributeError):
            self._db.close()
        if self.said is None:
            with contextlib.suppress(OSError):
                self._part.unlink(missing_ok=True)
        self._alone.release()

    @property
    def _part(self) -> Path:
        return self.path.with_name(self.path.name + _PART)

    def _open(self) -> None:
        self._db = sqlite3.connect(self.path, timeout=0, isolation_level=None)
        self._encoder = msgspec.msgpack.Encoder()
        try:
            # FULL: what is committed is on disk, and what is not never was.
            self._db.executescript("PRAGMA synchronous = FULL; PRAGMA cache_size = -65536; BEGIN EXCLUSIVE")
            ((what,),) = self._db.execute("SELECT what FROM said").fetchall()
            said = msgspec.msgpack.decode(what, type=Verified)
            if said.format_version != FORMAT:
                raise ValueError(f"it has format {said.format_version}; expected {FORMAT}")
            if said.rules != rules():
                raise ValueError("another release made it, or a program with other rules or other read models")
            said.at.frontier(), said.tree.edge()
        except sqlite3.OperationalError as error:
            self._db.close()
            if "locked" in str(error):
                raise _busy(self.path) from error
            raise _refused(self.path, error) from error
        except (sqlite3.Error, msgspec.MsgspecError, ValueError, TypeError) as error:
            self._db.close()
            raise _refused(self.path, error) from error
        self.said = said

    def __exit__(self, *_: object) -> None:
        self._give_up()

    def state(self) -> State:
        """
        Return the state that the rows are: what is open in memory, what is closed loaded when it is asked for.
        """
        state = State(self.load, certain=True)
        for name, row in self._db.execute("SELECT name, row FROM open"):
            state.add(name, row_from(name, row))
        return state

    def save(self, state: State, said: Verified) -> None:
        """
        Say that the rows are what *said* says: on disk, whole, when this returns. More may be kept and said then.

        Raises:
            Unreadable: it cannot be written; what was there is there.
        """
        try:
            self._db.execute("DELETE FROM open")
            self._db.executemany("INSERT INTO open VALUES (?, ?)", self._rows(state))
            self._db.execute("DELETE FROM said")
            self._db.execute("INSERT INTO said VALUES (?)", [msgspec.msgpack.encode(said)])
            self._db.commit()
            if self.said is None:
                self._db.close()
                _take_the_place(self._part, self.path)
                self._open()
            else:
                self._db.execute("BEGIN EXCLUSIVE")
        except (sqlite3.Error, OSError) as error:
            raise Unreadable(f"the state {self.path} cannot be written: {error}; make room, or name another") from error
        self.said = said

    def _rows(self, state: State) -> Iterator[tuple[str, bytes]]:
        for name, row in state.all_rows():
            yield name, row_bytes(TABLES[name], row)


def _take_the_place(part: Path, path: Path) -> None:
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def unread(path: Path, error: Exception) -> Unreadable:
    """
    Return what to raise where the rows of the file at *path* turn out to be none, by *error*.
    """
    if is_of_the_disk(error):
        return _refused(path, error)
    # Of what the database holds, rows may be none as well.
    return Misread(f"{path} is no whole state: {error}; delete it, and all is verified anew")


UNREAD: Final = (sqlite3.Error, msgspec.MsgspecError, ValueError, TypeError)
"""What reading rows of a file ends with that is damaged."""


_OF_THE_DISK: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
)
"""What SQLite answers where not the file but its place is to blame, in the lowest byte of its codes."""


def is_of_the_disk(error: Exception) -> bool:
    """
    Return whether *error* says that where a file is there is no room, no right or no working disk: nothing of the file.
    """
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_DISK


def _alone(path: Path) -> Alone:
    try:
        if path.exists():
            given_file.check(path)
    except OSError as error:
        raise Unreadable(f"{path} cannot be written: {error.strerror}; name another file") from error
    try:
        return Alone(path)
    except BlockingIOError as error:
        raise _busy(path) from error
    except OSError as error:
        raise _out_of_place(path, error.strerror) from error


def _busy(path: Path) -> Unreadable:
    return Unreadable(f"another verification is at work with {path}; let it end first")


def _out_of_place(path: Path, found: object) -> Unreadable:
    # Whoever deletes a state loses what it knows; here nothing speaks against it.
    return Unreadable(
        f"the state {path} cannot be used where it is: {found}; make room or change its rights, or name another file"
    )


def _refused(path: Path, error: Exception) -> Unreadable:
    if is_of_the_disk(error):
        return _out_of_place(path, error)
    return Unreadable(
        f"{path} is no state of a verification: {error}; name another file, or delete it if it was one, and all is "
        "verified from the first event"
    )
