"""
Send a Ctrl-C to a program and to the processes that it has just started, as a terminal does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

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


def test_a_process_that_begins_leaves_a_ctrl_c_to_who_started_it(tmp_path: os.PathLike[str]) -> None:
    program = os.path.join(tmp_path, "program.py")
    with open(program, "w") as file:
        file.write(PROGRAM)
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=60, start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("stopped, with 3 of the others\n", "", 0)
