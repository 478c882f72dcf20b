"""
Run the Python that README shows, one block after the other, on a chain of its own.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import Database

README = Path(__file__).parents[2] / "README.md"


def test_the_python_of_readme_runs(chain: Database) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    logins = {"engine_login": "writer", "reader_login": "reader"}
    for block in blocks:
        program, found = re.subn(
            r'"postgresql://(\w+)@host/ledger"', lambda match: repr(chain.dsn(logins[match[1]])), block
        )
        assert found == 1
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
