"""
Keep an archive in an object store: S3, Google's, Azure's, or one that speaks S3.

`put` with If-None-Match is what makes a file written once, also where two write at the same time; the names that move
are put only over the version that was read (ETag). A store that knows neither is no place for an archive: what it
answers is an error, and nothing is put without the condition.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import MemoryStore, ObjectStore, from_url

from ledger.archiving import stores
from ledger.archiving.stores import differs, moved, too_long
from ledger.errors import InvalidInput, Unavailable, shortened

if TYPE_CHECKING:
    # Known to the type checker alone.
    from obstore import UpdateVersion
    from obstore.store import ClientConfig, RetryConfig

_TIMES: Final[ClientConfig] = {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=60)}
_RETRY: Final[RetryConfig] = {"max_retries": 4, "retry_timeout": timedelta(seconds=30)}
"""The library's own would try for three minutes, ten times, before it says that a store cannot be reached."""
_WHOSE: Final = re.compile("(AWS|AZURE|GOOGLE)_.*(ENDPOINT|ACCOUNT_NAME|BASE_URL)")
"""Settings of the environment that say whose store a bucket is in."""


def _client() -> ClientConfig:
    # Options that are given hide the environment's, which asks for plain HTTP where a store is on this machine.
    return {**_TIMES, "allow_http": os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true")}


@functools.cache
def _memory(where: str) -> MemoryStore:
    return MemoryStore()


class Objects:
    """
    An archive in an object store, under the URL's path.
    """

    far = True

    def __init__(self, where: str) -> None:
        """
        Use the bucket that *where* names; it is not asked yet.

        Raises:
            InvalidInput: the URL or the environment's settings are not those of a store.
        """
        self.name = where.rstrip("/")
        try:
            self._store: ObjectStore = (
                _memory(where) if where.startswith("memory:") else
                from_url(where, client_options=_client(), retry_config=_RETRY)
            )  # fmt: skip
        except (BaseError, ValueError) as error:
            raise InvalidInput(f"{self.name} cannot be used as an archive: {shortened(str(error))}") from error

    @property
    def place(self) -> str:
        """Return the URL, and whose store it is in: a bucket's name is one of many such."""
        whose = sorted(f"{name}={value}" for name, value in os.environ.items() if _WHOSE.match(name.upper()))
        return " ".join([self.name, *whose])

    @contextlib.contextmanager
    def _saying(self, path: str, what: str) -> Iterator[None]:
        """Say what the library raises inside in the ledger's words."""
        try:
            yield
        except (BaseError, OSError) as error:
            # The library appends the structures that it holds the error in.
            said = shortened(" ".join(str(error).partition("Debug source")[0].split()))
            raise Unavailable(
                f"{self.name}/{path} cannot be {what}: {said}; see that the store is there and lets you in"
            ) from error

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file, or None."""
        found = self._read(path)
        return None if found is None else found[0]

    def _read(self, path: str) -> tuple[bytes, UpdateVersion] | None:
        with self._saying(path, "read"):
            try:
                answer = obstore.get(self._store, path)
            except FileNotFoundError:
                return None
            if answer.meta["size"] > stores.FILE_LIMIT_BYTES:
                raise too_long(self.name, path)
            # Google's store goes by a version, the others by the tag.
            version: UpdateVersion = {}
            if answer.meta["e_tag"] is not None:
                version["e_tag"] = answer.meta["e_tag"]
            if answer.meta["version"] is not None:
                version["version"] = answer.meta["version"]
            return bytes(answer.bytes()), version

    def names(self) -> Iterator[str]:
        """Return the name of every file."""
        with self._saying("", "listed"):
            for page in obstore.list(self._store):
                for one in page:
                    yield one["path"]

    def create(self, path: str, data: bytes) -> None:
        """Write a file that is not there yet, or is the same."""
        with self._saying(path, "written"):
            try:
                obstore.put(self._store, path, data, mode="create", use_multipart=False)
                return
            except AlreadyExistsError:
                pass
        found = self.read(path)
        if found != data:
            raise differs(self.name, path, len(found or b""), len(data))

    def move(self, path: str, data: bytes, seen: bytes | None) -> None:
        """Write a file in place of what was seen there."""
        found = self._read(path)
        if (None if found is None else found[0]) != seen:
            raise moved(self.name, path)
        with self._saying(path, "written"):
            try:
                obstore.put(self._store, path, data, mode="create" if found is None else found[1], use_multipart=False)
            except (AlreadyExistsError, PreconditionError) as error:
                raise moved(self.name, path) from error
