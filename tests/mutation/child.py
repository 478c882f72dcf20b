"""
Make of a fork of the process a place of its own for tests.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from mutmut.mutation import trampoline

ROOMS: Final = Path("rooms")
MORE_MEMORY_BYTES: Final = 2 << 30


def call_mutant(name: str) -> None:
    """
    Have the functions of this process and of those that it starts be those of this mutant, or do what the name says.
    """
    trampoline.set_mutant_under_test(name)
    # mutmut looks into the environment at each call of each function, which takes longer than many of them.
    trampoline.get_mutant_under_test = lambda: name


def begin(room: str, config: pytest.Config) -> None:
    """
    Begin a child: what it prints is for nobody, its files are in a room that is removed, and its memory has an end.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    place = Path.cwd() / ROOMS / room
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    config._tmp_path_factory._basetemp = place  # type: ignore[attr-defined]
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MORE_MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def remove(room: str) -> None:
    """
    Remove what a child left.
    """
    shutil.rmtree(ROOMS / room, ignore_errors=True)


def said_by(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """
    Return what *work* returns in a child; nothing where it ended the child.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        with os.fdopen(write, "w") as said:
            json.dump(work(), said)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as heard:
        told: dict[str, Any] = json.loads(heard.read() or "{}")
    os.waitpid(pid, 0)
    return told


def processor_s() -> float:
    """
    Return the seconds that this process and its children had of the processor.
    """
    return sum(os.times()[:4])
