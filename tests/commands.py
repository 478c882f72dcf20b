"""
Run the project's programs as a user does, each in a process of its own.

To load a program takes longer than most of what tests have it do. So one process of a session loads the programs once,
and each run is a fork of that: arguments, environment, folder, standard streams and status are its own, as with
`python -m`. Whoever needs a process to signal, a terminal, or another interpreter starts one by itself.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import NoReturn

import typer

from ledger.cli.app import app

ROOT = Path(__file__).parents[1]
_REQUEST_BYTES = 1 << 20
_LOADED = ("ledger.__main__", "verifier.__main__", "verifier.cli", "replicator.__main__", "replicator.cli")


def run(program: str, *arguments: object, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """
    Run `python -m` *program* to its end with nothing to read, and return how it ended and what it said.
    """
    words = [str(argument) for argument in arguments]
    asked = {"program": program, "arguments": words, "cwd": str(cwd), "environment": {**os.environ, **environment}}
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        open(os.devnull, "rb") as nothing,
        socket.socket(socket.AF_UNIX) as connection,
    ):
        connection.connect(_loaded(os.getpid()))
        request = json.dumps(asked).encode()
        socket.send_fds(connection, [request], [file.fileno() for file in (nothing, out, err)])
        connection.shutdown(socket.SHUT_WR)
        status = connection.makefile("rb").read()
        out.seek(0)
        err.seek(0)
        # As text comes from a pipe: every end of a line is one.
        said, words_said = (file.read().decode().replace("\r\n", "\n") for file in (out, err))
        return subprocess.CompletedProcess([program, *words], int(status), said, words_said)


def tradeledger(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """
    Run `tradeledger`, with room for its tables.
    """
    return run("ledger", *arguments, **{"COLUMNS": "120", **environment})


@functools.cache
def _loaded(process: int) -> str:
    """Return the socket of a process that has loaded the programs, which ends with this *process*."""
    folder = tempfile.mkdtemp(prefix="tl-run-")
    place = f"{folder}/socket"
    server = subprocess.Popen([sys.executable, "-m", "tests.commands", place], cwd=ROOT, stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n", "the programs cannot be loaded; run: python -m tests.commands x"
    atexit.register(_end, process, server)
    return place


def _end(process: int, server: subprocess.Popen[bytes]) -> None:
    # A fork has this from its parent, and ends nothing of its.
    if os.getpid() == process:
        server.terminate()
        server.communicate()


class _Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """
    Forks for each that asks; ends when whoever started it has.
    """

    max_children = 100
    parent = os.getppid()

    def service_actions(self) -> None:
        super().service_actions()
        if os.getppid() != self.parent:
            raise SystemExit


class _Handler(socketserver.BaseRequestHandler):
    """
    Runs what was asked for, and answers with its status.
    """

    def handle(self) -> None:
        """
        Wait for the program, as `subprocess` does.
        """
        request, files, *_ = socket.recv_fds(self.request, _REQUEST_BYTES, 3)
        while more := self.request.recv(_REQUEST_BYTES):
            request += more
        child = os.fork()
        if not child:
            _become(json.loads(request), files)
        _, status = os.waitpid(child, 0)
        self.request.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def _become(asked: dict[str, object], files: list[int]) -> NoReturn:
    """Be the program that was asked for, to its end."""
    status = 1
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.chdir(str(asked["cwd"]))
        os.environ.clear()
        os.environ.update(asked["environment"])  # type: ignore[arg-type]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        program = str(asked["program"])
        main = importlib.import_module(f"{program}.__main__")
        # What usage calls the program, it takes from there.
        sys.modules["__main__"] = main
        sys.argv = [str(main.__file__), *asked["arguments"]]  # type: ignore[misc]
        main.main()
        status = 0
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        # Ends the pools: before that nobody may wait for their processes.
        threading._shutdown()
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(status)


def _serve(place: str) -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit())
    for module in _LOADED:
        importlib.import_module(module)
    commands = typer.main.get_group(app).commands
    assert all(commands[name] for name in commands)
    try:
        with _Server(place, _Handler) as server:
            print("ready", flush=True)
            server.serve_forever()
    finally:
        shutil.rmtree(Path(place).parent)


if __name__ == "__main__":
    _serve(sys.argv[1])
