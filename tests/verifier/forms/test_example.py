"""
Hold the examples in docs/reports to the program: they are what it writes.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.verifier.forms.outcomes import AT, BROKEN_ONES, report
from verifier.forms.form import SUFFIXES, written

EXAMPLES = Path(__file__).parents[3] / "docs" / "reports"


@pytest.mark.parametrize("suffix", [".md", ".html"])
def test_the_examples_are_what_the_program_writes(suffix: str) -> None:
    """To write them anew: LEDGER_WRITE_EXAMPLES=yes pytest, and look at them."""
    made = written(report(*BROKEN_ONES), SUFFIXES[suffix], AT)
    file = EXAMPLES / f"broken{suffix}"
    if os.environ.get("LEDGER_WRITE_EXAMPLES"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(made)
    assert file.read_text() == made
