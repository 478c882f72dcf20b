"""
Keep one private PostgreSQL running for as long as any command uses it.

Commands that run at once share a server, and it must stop after the last of them even if the one that started it
was killed. So a process of its own, the guardian, is the server's parent: each command holds a connection to the
guardian's socket open, which the kernel closes however the command ends, and when none is left the guardian stops
the server and goes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Final

from ledger.errors import LedgerError, SetupNeeded
from ledger.sandbox.postgres import Server

ALONE_TIMEOUT_S: Final = 60
IDLE_S: Final = 1.0
"""How long the server outlives its last user: a script's next command then finds it running."""


def serve(folder: Path) -> None:
    """
    Run the server in *folder*, print its socket folder, and return when no command uses it any more.
    """
    address = folder / "guardian"
    _be_alone(folder)
    _clear(address)
    server = Server.start(folder)
    try:
        _serve(server, address)
    finally:
        address.unlink(missing_ok=True)
        server.stop()


def lives_in(folder: Path) -> bool:
    """
    Return whether a guardian keeps, or is still stopping, the server in *folder*.
    """
    try:
        with _lock(folder).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _lock(folder: Path) -> Path:
    return folder / "guardian.lock"


def _clear(address: Path) -> None:
    """Remove the socket folder of a guardian that was killed; only a folder that one of them made."""
    with contextlib.suppress(OSError):
        left = Path(address.read_text().strip())
        if left.name.startswith("tl-") and (left / "guardian").is_socket():
            shutil.rmtree(left)


def _be_alone(folder: Path) -> None:
    """Wait for a guardian that is on its way out, because who asked for it was interrupted."""
    deadline = time.monotonic() + ALONE_TIMEOUT_S
    # Never closed: the kernel lets go of the lock when this process is gone, which is what `lives_in` is asked.
    lock = os.open(_lock(folder), os.O_RDWR | os.O_CREAT, 0o666)
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise SetupNeeded(f"another process keeps the server in {folder}; end it, then try again") from None
            time.sleep(0.05)


def _serve(server: Server, address: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
        door = server.socket / "guardian"
        listener.bind(str(door))
        listener.listen(64)
        selector.register(listener, selectors.EVENT_READ)
        address.write_text(f"{server.socket}\n")
        print(server.socket, flush=True)
        _watch(listener, selector, server)


def _watch(listener: socket.socket, selector: selectors.BaseSelector, server: Server) -> None:
    users, idle_since = 0, time.monotonic() + 10
    while server.is_running() and (users or time.monotonic() - idle_since < IDLE_S):
        for key, _ in selector.select(timeout=0.2):
            if key.fileobj is listener:
                user, _ = listener.accept()
                selector.register(user, selectors.EVENT_READ)
                user.sendall(b"+")
                users += 1
            elif isinstance(key.fileobj, socket.socket) and not key.fileobj.recv(64):
                selector.unregister(key.fileobj)
                key.fileobj.close()
                users -= 1
                idle_since = time.monotonic()


if __name__ == "__main__":
    try:
        serve(Path(sys.argv[1]))
    except BrokenPipeError:
        # Who asked for the server has gone meanwhile, and it was stopped.
        sys.exit(130)
    except (LedgerError, OSError) as error:
        print(f"error: {error}", flush=True)
        sys.exit(5)
    except KeyboardInterrupt:
        sys.exit(130)
