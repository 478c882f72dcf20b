"""
Check that the file of an archive's chain is of a version that is known.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ledger.archiving.layout import CHAIN, ChainFile
from tests.archiving.chains import CHAIN_ID, ORIGIN
from tests.archiving.written import kinds, verify, write

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


@pytest.mark.parametrize("size", [1, 2, 255, 256, 300])
def test_an_archive_without_the_file_is_whole_but_for_it(tmp_path: Path, size: int) -> None:
    """The first entry says which chain it is, in a bundle of any width; no event is called another."""
    write(tmp_path, size)
    (tmp_path / CHAIN).unlink()
    (found,) = verify(tmp_path).findings
    assert (found.kind, found.key) == ("BYTES_MODIFIED", (CHAIN,))


@pytest.mark.parametrize("size", [1, 300])
def test_another_id_in_the_file_is_a_finding_of_the_file_alone(tmp_path: Path, size: int) -> None:
    """The first entry's link was made from the id that the entries have."""
    write(tmp_path, size)
    (tmp_path / CHAIN).write_bytes(msgspec.structs.replace(GOOD, chain_id="00" * 16).encode())
    (found,) = verify(tmp_path).findings
    assert (found.kind, found.key, found.column) == ("BYTES_MODIFIED", (CHAIN,), "chain_id")
    assert (found.expected, found.actual) == (CHAIN_ID.hex(), "00" * 16)


def test_another_id_in_an_entry_is_a_finding_of_the_entry(copy: Path) -> None:
    """Its link fits the file's id and not its own."""
    path = copy / "tile/entries/000"
    path.write_bytes(path.read_bytes().replace(CHAIN_ID, bytes(16), 1))
    found = [(one.kind, one.seq) for one in verify(copy).findings if one.column == "chain_id"]
    assert found == [("BYTES_MODIFIED", 1)]
