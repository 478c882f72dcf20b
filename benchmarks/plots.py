"""
Draw what the length of the chain does: to the rate of appends, to its ratio to COPY, and to the writer's memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import leather

from benchmarks.long_chain import Point

MILLION = 1_000_000
WIDTH, HEIGHT = 800, 400
_ROOM = 1.15
"""The axis reaches so far beyond the highest value."""

# One that every machine has: the theme's own is a Mac's, and its labels are too pale to read.
for _place in ("title_font_family", "legend_font_family", "axis_title_font_family", "tick_font_family"):
    setattr(leather.theme, _place, "monospace")
leather.theme.label_color = "#444"

Line = list[tuple[float, float]]


def drawn(points: Sequence[Point]) -> dict[str, tuple[str, str]]:
    """
    Return the plots of *points*: by the file's name, what it shows and its SVG.
    """
    floors = [point for point in points if point.floor]
    rates = [(point.length / MILLION, point.rate) for point in points]
    copies = [(point.length / MILLION, point.floor or 0.0) for point in floors]
    ratios = [(point.length / MILLION, point.rate / (point.floor or 1.0)) for point in floors]
    memory = [(point.length / MILLION, point.resident / 2**20) for point in points]
    titles = {
        "rate.svg": ("Appends by 2,000 and COPY of the same rows, events/s", {"ledger": rates, "COPY": copies}),
        "ratio.svg": ("Appends by 2,000 ÷ COPY of the same rows", {"ratio": ratios}),
        "memory.svg": ("Resident memory of the writer, MiB", {"memory": memory}),
    }
    return {file: (title, _chart(title, lines)) for file, (title, lines) in titles.items()}


def _chart(title: str, lines: dict[str, Line]) -> str:
    chart = leather.Chart(title)
    for name, line in lines.items():
        chart.add_line(line, name=name)
    chart.add_x_scale(0, max(x for line in lines.values() for x, _ in line))
    # From zero: a line that only seems to fall would say more than the numbers do.
    chart.add_y_scale(0, _ROOM * max(y for line in lines.values() for _, y in line))
    chart.add_x_axis(name="millions of events in the chain")
    return f"{chart.to_svg(width=WIDTH, height=HEIGHT)}\n"
