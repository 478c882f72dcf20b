"""
Keep what came of each mutant in the files that mutmut has beside the code, one for each module.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

SAVED_EACH_S: Final = 5


class Codes:
    """
    The exit codes of the mutants of a folder, which are written now and then and when they are asked to be.
    """

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, dict[str, Any]] = {}
        self._file_of: dict[str, str] = {}
        self._changed: set[str] = set()
        self._written = time.monotonic()
        for meta in sorted(folder.rglob("*.py.meta")):
            self._files[str(meta)] = told = json.loads(meta.read_text())
            self._file_of.update(dict.fromkeys(told["exit_code_by_key"], str(meta)))

    def __contains__(self, name: object) -> bool:
        return name in self._file_of

    @property
    def code(self) -> str:
        """
        Return what stands for the code of which these are the mutants: it is another where any function is.
        """
        return json.dumps([told["hash_by_function_name"] for told in self._files.values()], sort_keys=True)

    def put(self, name: str, code: int) -> None:
        """
        Note what came of a mutant.
        """
        file = self._file_of[name]
        self._files[file]["exit_code_by_key"][name] = code
        self._changed.add(file)
        if time.monotonic() - self._written > SAVED_EACH_S:
            self.write()

    def write(self) -> None:
        """
        Write what has changed.
        """
        for file in self._changed:
            beside = Path(f"{file}.new")
            beside.write_text(json.dumps(self._files[file]))
            beside.replace(file)
        self._changed.clear()
        self._written = time.monotonic()
