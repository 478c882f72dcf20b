"""
Say what a way to tamper is: what is done, which threat of the design it is, and who is expected to notice.

A way is a small function that breaks a copy of a good world and returns where the break is. It is declared with `way`
beside the function, so that the list of ways is the program itself, and docs/TAMPER.md cannot claim more than is done.
Nothing here touches a server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from ledger.errors import LedgerError

if TYPE_CHECKING:
    from tests.tamper.scene import Scene


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """
    The finding that the break has to bring about; what is None may be anything.

    `status` is the exit status: 3 where something is found, 4 where it may not be called verified.
    """

    kind: str | None = None
    seq: int | None = None
    table: str | None = None
    key: tuple[str, ...] | None = None
    column: str | None = None
    status: int = 3
    says: str = ""
    """What the answer has to contain, where there is no finding to match."""


class Caught(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was refused while it was tried: the stable code of the refusal, in the words of who refused.
    """

    kind: str
    said: str
    seq: int | None = None
    column: str | None = None


class Unexpected(Exception):
    """
    A way could not be gone as it is written: the program, or the ledger, is not what the way believes.
    """


def refused(attempt: Callable[[], object]) -> Caught:
    """
    Return the refusal of what must not be done.

    Raises:
        Unexpected: it was done.
    """
    try:
        attempt()
    except LedgerError as error:
        return Caught(kind=error.code, said=str(error))
    raise Unexpected("it was done, and should have been refused")


Do = Callable[["Scene"], Expected | Caught | None]
"""What breaks the scene; None where nothing can notice."""


class Edit(msgspec.Struct, frozen=True):
    """
    One of several edits of a kind: what is done in words, where to, and what does it.
    """

    what: str
    where: str
    do: Callable[[Scene], object]


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """
    One way to tamper.

    `name` is its handle; `what` says in words what is done, `where` to what, `threats` are numbers of the threat table,
    `how` says by which means. `mode` is the check that is expected to notice (a key of `modes.MODES`), `also` those
    that do too, by the same finding or the one that `otherwise` has for them, and `blind` those that do not, which is
    seen to be so. Without a mode nothing can notice: then `cannot` says why, and what helps, and where the way is a
    kind of which there are several, they are its `edits`, each of which is done by itself as well.
    """

    name: str
    what: str
    where: str
    threats: tuple[int, ...]
    how: str
    mode: str | None
    do: Do
    also: tuple[str, ...] = ()
    otherwise: dict[str, Expected] = {}
    blind: tuple[str, ...] = ()
    cannot: str = ""
    edits: tuple[Edit, ...] = ()


WAYS: dict[str, Way] = {}
"""Every way there is, in the order in which they are declared."""


def add(name: str, do: Do, **said: Any) -> None:
    """
    Add a way.

    Raises:
        ValueError: there is one of that name.
    """
    if name in WAYS:
        raise ValueError(f"there are two ways called {name}")
    WAYS[name] = Way(name=name, do=do, **said)


def way(what: str, where: str, threats: tuple[int, ...], mode: str | None, how: str, **more: Any) -> Callable[[Do], Do]:
    """
    Declare the function below to be a way; its name, with spaces, is the way's.
    """

    def declared(do: Do) -> Do:
        name = do.__name__.replace("_", " ")
        add(name, do, what=what, where=where, threats=threats, mode=mode, how=how, **more)
        return do

    return declared
