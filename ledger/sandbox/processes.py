"""
Run the programs of PostgreSQL as a user that is not root, which it insists on, and see which processes live.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Final

from ledger.errors import SetupNeeded

SYSTEM_USER: Final = "trade_ledger"


def system_user() -> pwd.struct_passwd | None:
    """
    Return the user that a server runs as, where it is not our own.

    Raises:
        SetupNeeded: there is none, and none could be made.
    """
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    made = subprocess.run(
        ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER],
        capture_output=True, text=True, check=False,
    ) if shutil.which("useradd") else None  # fmt: skip
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        said = made.stderr.strip() if made else "there is no useradd"
        raise SetupNeeded(
            f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} could not be made ({said}); "
            "run this as another user, make that system user, or set LEDGER_DSN"
        ) from None


def as_user(command: list[str]) -> list[str]:
    """
    Return *command* as run by the server's user, with leave to read past folders of mode 0700.
    """
    user = system_user()
    died = ["--pdeathsig", "INT"]
    if user is not None and not shutil.which("setpriv"):
        raise SetupNeeded(
            "PostgreSQL does not run as root, and there is no setpriv here to run it as another user; "
            "install util-linux, run this as another user, or set LEDGER_DSN"
        )
    if user is None:
        return ["setpriv", *died, "--", *command] if shutil.which("setpriv") else command
    leave = "+dac_read_search"
    return [
        "setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups", "--inh-caps", leave,
        "--ambient-caps", leave, *died, "--", *command,
    ]  # fmt: skip


def _status(pid: int) -> list[str]:
    """Return a process's state and parent, or nothing where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return []


def lives(pid: int) -> bool:
    """
    Return whether there is such a process, and not only what is left of it.
    """
    return _status(pid)[:1] not in ([], ["Z"])


def children(pid: int) -> list[int]:
    """
    Return the processes that a process started and that are there still.
    """
    return [int(x.name) for x in Path("/proc").iterdir() if x.name.isdigit() and _status(int(x.name))[1:] == [str(pid)]]
