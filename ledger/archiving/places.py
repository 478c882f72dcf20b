"""
Find the store that a place names: a folder, or an object store by its URL.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from ledger.archiving.stores import Folder, Store
from ledger.errors import InvalidInput, SetupNeeded, shown

OBJECT_STORES: Final = ("s3", "gs", "az", "memory")
"""Of whom it is known that they put a file only where there is none, which an archive rests on."""


def open_store(where: str) -> Store:
    """
    Return the store that *where* names: the path of a folder, file:///path, or s3://, gs:// or az://bucket/path.

    Credentials, region and endpoint of an object store come from the environment, as its own tools take them.
    memory://name is a store of this process alone.

    Raises:
        InvalidInput: it names none.
        SetupNeeded: the package that speaks to object stores is not installed.
    """
    if "://" not in where:
        return Folder(Path(where))
    parts = urlsplit(where)
    if parts.query or parts.fragment or parts.username or parts.password:
        raise InvalidInput(f"found {shown(where)}; expected a URL without ?, # or login: credentials come from the "
                           "environment")  # fmt: skip
    if parts.scheme == "file" and not parts.netloc and parts.path:
        return Folder(Path(unquote(parts.path)))
    if parts.scheme not in OBJECT_STORES or not parts.netloc:
        raise InvalidInput(
            f"found archive {shown(where)}; expected the path of a folder, file:///path, or "
            f"{', '.join(f'{name}://' for name in OBJECT_STORES[:3])} with a bucket"
        )
    try:
        # Only here: it is an extra, and most archives are in folders.
        from ledger.archiving.objects import Objects
    except ModuleNotFoundError as error:
        raise SetupNeeded(
            f"{shown(where)} is in an object store; install what speaks to it: pip install 'trade-ledger[objects]'"
        ) from error
    return Objects(where)
