"""
Check what tables are on terminals of several widths: every value is there, and no figure is in two pieces.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

ORDERS = [(f"column_{n}", f"{n}1234567.{n:018d}") for n in range(32)]


def on_a_terminal(width: int, columns: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines that a terminal of so many columns is sent for one table."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    program = f"from ledger.cli.tables import show_rows; show_rows('orders', {tuple(columns)!r}, {rows!r})"
    words = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    with subprocess.Popen([sys.executable, "-c", program], stdout=theirs, env=words | {"TERM": "xterm"}) as process:
        os.close(theirs)
        sent = b""
        while True:
            try:
                some = os.read(ours, 65_536)
            except OSError:  # the other end is closed
                break
            if not some:
                break
            sent += some
    os.close(ours)
    assert process.returncode == 0
    return re.sub(r"\x1b\[[0-9;]*m|\r", "", sent.decode()).splitlines()


@pytest.mark.parametrize("width", [40, 80, 160, 400, 2_000])
def test_no_value_is_lost_or_torn(width: int) -> None:
    """32 columns of figures, as an order has them."""
    columns, values = [name for name, _ in ORDERS], [value for _, value in ORDERS]
    lines = on_a_terminal(width, columns, [values, values])
    for name, value in ORDERS:
        assert sum(line.count(value) for line in lines) == 2
        assert any(name in line for line in lines)


def test_where_a_table_fits_it_is_one() -> None:
    lines = on_a_terminal(80, ["account", "total"], [["A", "1.5"], ["B", "-20"]])
    assert lines[0] == "orders:"
    assert [line.count("│") for line in lines if "1.5" in line or "-20" in line] == [3, 3]


def test_words_go_on_in_the_next_line_beside_whole_figures() -> None:
    why = "the venue reported more than the order was for, twice, and then took the second report back again"
    lines = on_a_terminal(80, ["order", "total", "why"], [["O-1", "1234567890.123456789", why]])
    assert any("1234567890.123456789" in line for line in lines)
    assert all(len(line) <= 80 for line in lines)
    told = " ".join(line.split("│")[3].strip() for line in lines if line.count("│") == 4)
    assert told == why


def test_on_a_narrow_terminal_each_row_stands_by_itself() -> None:
    lines = on_a_terminal(30, ["account", "asset", "total"], [["ACC-1", "BTC", "1.000000000000000001"],
                                                             ["ACC-2", "BTC", "2"]])  # fmt: skip
    assert lines == ["orders:", "1 of 2", "    account  ACC-1", "    asset    BTC", "    total    1.000000000000000001",
                     "2 of 2", "    account  ACC-2", "    asset    BTC", "    total    2"]  # fmt: skip
