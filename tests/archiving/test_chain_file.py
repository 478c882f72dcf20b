"""
Check that the file of an archive's chain is of a version that is known.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ledger.archiving.layout import CHAIN, ChainFile
from tests.archiving.chains import CHAIN_ID, ORIGIN
from tests.archiving.written import kinds, verify

GOOD = ChainFile(CHAIN_ID.hex(), ORIGIN, 1)


@pytest.mark.parametrize("changes", [{"schema_version": 2}, {"schema_version": 0}, {"format_version": 2}])
def test_a_version_that_nobody_knows_is_a_finding(copy: Path, changes: dict[str, int]) -> None:
    """A later version may say the same in other words: it is not read as this one."""
    assert (copy / CHAIN).read_bytes() == GOOD.encode()
    (copy / CHAIN).write_bytes(msgspec.structs.replace(GOOD, **changes).encode())
    assert kinds(verify(copy)) == {"BYTES_MODIFIED"}


def test_an_id_has_one_spelling(copy: Path) -> None:
    """The same bytes in capital letters are another file than was written."""
    (copy / CHAIN).write_bytes(msgspec.structs.replace(GOOD, chain_id=GOOD.chain_id.upper()).encode())
    assert kinds(verify(copy)) == {"BYTES_MODIFIED"}
