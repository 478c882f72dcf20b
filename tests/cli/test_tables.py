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
import time

import pytest
from rich import box

from ledger.cli import layout

ORDERS = [(f"column_{n}", f"{n}1234567.{n:018d}") for n in range(32)]


def on_a_terminal(width: int, columns: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines that a terminal of so many columns is sent for one table."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    program = f"from ledger.cli.tables import print_table; print_table('orders', {tuple(columns)!r}, {rows!r})"
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


def test_a_long_figure_among_words_stays_whole() -> None:
    """A cell of words has a figure that is longer than words need be: the row stands by itself, or the column grows."""
    figure = "123456789012345678901.000000000000000001"
    for width in (40, 60, 100):
        lines = on_a_terminal(width, ["order", "why"], [["O-1", f"the venue reported {figure} of it, twice over"]])
        assert sum(figure in line for line in lines) == 1


def test_words_share_the_room_that_figures_leave() -> None:
    lines = on_a_terminal(100, ["a", "b", "qty"], [["some words " * 9, "other words " * 5, "1.5"], ["x", "y", "2"]])
    assert {len(line) for line in lines[1:]} <= {99, 100}
    told = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    assert [" ".join(row[place] for row in told).split() for place in range(3)] == [
        ["some", "words"] * 9 + ["x"], ["other", "words"] * 5 + ["y"], ["1.5", "2"],
    ]  # fmt: skip


def test_columns_stand_below_each_other_where_there_is_no_terminal() -> None:
    lines = list(layout.in_columns(("name", "total"), [("東京", "1"), ("e\u0301", "2"), ("", "3"), ("abcde", "")]))
    assert lines == ["name   total", "東京   1", "e\u0301      2", "       3", "abcde"]


def test_one_long_value_makes_no_other_line_long() -> None:
    lines = list(layout.in_columns(("given", "hash"), [("x" * 60_000, "1"), ("y", "2")]))
    assert [len(line) for line in lines] == [206, 60_003, 203]


def test_what_would_move_a_terminal_is_shown_and_not_sent() -> None:
    """Text of callers may have a line break or an escape sequence; a row stays a line."""
    lines = list(layout.in_columns(("text",), [("a\nb\x1b[2J\ud800\u202e",)]))
    assert lines == ["text", "a\\nb\\x1b[2J\\ud800\\u202e"]


@pytest.mark.parametrize("width", [None, 80, 2_000])
def test_a_row_takes_microseconds(width: int | None) -> None:
    """What lays out any text takes 2 ms a row: a million orders would take half an hour to show."""
    rows = [tuple(f"{n}{place}.25" for place in range(32)) for n in range(5_000)]
    columns = tuple(f"column_{place}" for place in range(32))
    before = time.process_time()
    lines = layout.in_columns(columns, rows) if width is None else layout.framed(columns, rows, width, box.HEAVY_HEAD)
    assert sum(1 for _ in lines) >= 5_000
    assert time.process_time() - before < 2.5
