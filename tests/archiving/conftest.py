"""
Give the tests one archive, which they copy before they break it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.archiving.written import SIZE, write


@pytest.fixture(scope="package")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive") / "a"
    write(folder, 1, 256, 300, SIZE)
    return folder


@pytest.fixture
def copy(tmp_path: Path, archived: Path) -> Path:
    """A copy to be broken."""
    return Path(shutil.copytree(archived, tmp_path / "copy"))
