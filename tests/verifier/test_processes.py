"""
Send a Ctrl-C to a program and to the processes that it has just started, as a terminal does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, signal, time
from verifier import processes

if __name__ == "__main__":
    with processes.pool(2) as pool:
        began = [pool.submit(int, text) for text in ("1", "2")]
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            os.killpg(0, signal.SIGINT)
            time.sleep(60)
        except KeyboardInterrupt:
            print("stopped, with", sum(one.result() for one in began), "of the others")
"""


WAITING = """
import os, signal, sys, time
from verifier import processes

if __name__ == "__main__":
    began = time.monotonic()
    try:
        with getattr(processes, sys.argv[1])(2) as pool:
            # All are there, before they wait for what does not come.
            [one.result() for one in [pool.submit(time.sleep, 0.2) for _ in range(4)]]
            for _ in range(2):
                pool.submit(time.sleep, 50)
            os.killpg(0, signal.SIGINT)
            time.sleep(60)
    except KeyboardInterrupt:
        print("stopped", "at once" if time.monotonic() - began < 30 else "late")
"""


def run(program: Path, text: str, *given: str) -> tuple[str, str, int]:
    program.write_text(text)
    done = subprocess.run(
        [sys.executable, program, *given], capture_output=True, text=True, timeout=60, start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    return done.stdout, done.stderr, done.returncode


def test_a_process_that_begins_leaves_a_ctrl_c_to_who_started_it(tmp_path: Path) -> None:
    assert run(tmp_path / "program.py", PROGRAM) == ("stopped, with 3 of the others\n", "", 0)


@pytest.mark.parametrize("way", ["forked", "pool"])
def test_a_process_ends_with_who_started_it(tmp_path: Path, way: str) -> None:
    """Without a word of its own, and without what it is at, which may be to wait for a server."""
    assert run(tmp_path / "program.py", WAITING, way) == ("stopped at once\n", "", 0)


IN_PARTS = """
import functools, time
from verifier.tiled import workers

def wait(number):
    time.sleep(0 if number == 1 else 50)
    return number

if __name__ == "__main__":
    began = time.monotonic()
    parts = workers.each(range(1, 9), wait, functools.partial(functools.partial, wait), 2)
    print(next(parts))
    parts.close()
    del parts
    print("stopped", "at once" if time.monotonic() - began < 30 else "late")
"""


def test_who_stops_early_waits_for_nobodys_part(tmp_path: Path) -> None:
    """As whoever is interrupted while it looks at what came of a part."""
    assert run(tmp_path / "program.py", IN_PARTS) == ("1\nstopped at once\n", "", 0)


WHILE_STARTING = """
import os, signal, sys, time
from multiprocessing import popen_fork, popen_spawn_posix
from verifier import processes

way, number = sys.argv[1], int(sys.argv[2])
kind = popen_fork.Popen if way == "forked" else popen_spawn_posix.Popen
launch, launched = kind._launch, []

def interrupted(self, process):
    launch(self, process)
    launched.append(process)
    if len(launched) == number:
        os.kill(os.getpid(), signal.SIGINT)

if __name__ == "__main__":
    kind._launch = interrupted
    try:
        with getattr(processes, way)(2) as pool:
            for one in [pool.submit(time.sleep, 0.1) for _ in range(4)]:
                one.result()
    except KeyboardInterrupt:
        print("stopped")
"""


@pytest.mark.parametrize(("way", "number"), [("forked", 1), ("forked", 2), ("pool", 1), ("pool", 2)])
def test_a_ctrl_c_while_a_process_is_started_leaves_none(tmp_path: Path, way: str, number: int) -> None:
    """One that nobody has in hand yet would be waited for without end when the program ends."""
    assert run(tmp_path / "program.py", WHILE_STARTING, way, str(number)) == ("stopped\n", "", 0)
