"""
Read the report of a verification: what was found, as docs/FORMAT.md lists it.

A report is somebody's word. It says where to look, and nothing is mended because a report says so.
"""

from __future__ import annotations

import msgspec
from blake3 import blake3

from ledger.errors import InvalidInput, shown

VERIFIED = "verified"
BROKEN = "broken"


class Found(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    One finding of a report: its class, and where it is.
    """

    kind: str
    expected: str = ""
    actual: str = ""
    seq: int | None = None
    table: str | None = None
    key: tuple[str, ...] | None = None
    column: str | None = None
    after: int | None = None

    def place(self) -> str:
        """
        Return where it is as words, as the report says it.
        """
        place = f"event {self.seq}" if self.table is None else f"{self.table} {'/'.join(self.key or ())}".rstrip()
        return f"{place}, column {self.column}" if self.column else place


class Head(msgspec.Struct, frozen=True):
    """
    The last event that a verification came to, where it says one.
    """

    seq: int = 0


class ReportFile(msgspec.Struct, frozen=True):
    """
    What a plan needs of a report.
    """

    verdict: str
    origin: str
    findings: tuple[Found, ...]
    schema_version: int
    events: int = 0
    head: Head = Head()

    @property
    def read(self) -> int:
        """
        How many events were there when they were verified: as many as were read, or as the head says where it is not
        accused of saying it.
        """
        is_accused = any(one.table == "chain_heads" and one.column in (None, "seq") for one in self.findings)
        return max(self.events, 0 if is_accused else self.head.seq)


SCHEMA_VERSION = 1


def decode(data: bytes) -> ReportFile:
    """
    Return the report in a file's bytes.

    Raises:
        InvalidInput: it is none, or of a verification that came to no report.
    """
    try:
        found = msgspec.json.decode(data, type=ReportFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(
            f"found no report of a verification ({error}); give the file of tradeledger-verify … --report FILE.json"
        ) from error
    if found.schema_version != SCHEMA_VERSION:
        raise InvalidInput(
            f"found a report of schema version {found.schema_version}; this program reads {SCHEMA_VERSION}: verify "
            "again with this release"
        )
    if found.verdict not in (VERIFIED, BROKEN):
        raise InvalidInput(f"found the verdict {shown(found.verdict)}; expected {BROKEN}, with findings to mend")
    return found


def digest(data: bytes) -> str:
    """
    Return what names the report in the record of a repair: BLAKE3 of its bytes, in hexadecimal.
    """
    return blake3(data).hexdigest()
