"""
Say in a file what is to be mended, from where, and what is not mended and why.

A person reads the plan before it is applied, and may take lines out of `writes`. It is a list of what to look at again:
whoever applies it proves every line anew, so a plan that was edited can ask for less, and for nothing that is false.
The file has one form: the same plan has the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from blake3 import blake3

from ledger.errors import Divergence, InvalidInput
from ledger.repairing.reports import Found

KIND: Final = "trade-ledger repair plan"
SCHEMA_VERSION: Final = 1

RESTORE: Final = "restore"
REMOVE: Final = "remove"
REBUILD: Final = "rebuild"
DROP: Final = "drop"

REPLAY: Final = "replay"
CHAINS: Final = "chains"


def copies_of_events(copies: Sequence[tuple[tuple[str, ...], int]]) -> list[str]:
    """
    Return in words the rows of events that are *copies*, by key and seq: for each number what stands under it.
    """
    by_number: dict[str, list[tuple[str, int]]] = {}
    for key, seq in copies:
        by_number.setdefault(key[0] if key else "", []).append(("/".join(key), seq))
    said = []
    for rows in by_number.values():
        (first, of), (last, _) = rows[0], rows[-1]
        seqs = [seq for _, seq in rows]
        said.append(
            f"the row of events at {first}, which is a copy of event {of}" if len(rows) == 1 else
            f"the {len(rows)} rows of events at {first} to {last}, which are copies of events from {min(seqs)} to "
            f"{max(seqs)}"
        )  # fmt: skip
    return said


class NotProven(Divergence):
    """
    A line of a plan is not what the signed chain says; nothing was written.
    """

    code = "not_proven"


class Write(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """
    One thing that is to be written.

    `restore` puts back the event at `seq` (its `hash` and `leaf` in hexadecimal), the note of the checkpoint of `size`
    events (moved from the row of as many as `key` says; of two numbers in it the first is one that no chain has), or
    the row of `chains`; `remove` takes away a row of events that stands where none can and has the bytes of event
    `seq`, the row that stands for the checkpoint of `size` events and whose note is none of it (with a `key` the row at
    these two numbers, whose note stands in its place as well), or the rows of `chains` beside the chain's own, whose
    numbers `key` lists; `rebuild` makes `table` anew from the events, the head with the role that `key` says; `drop`
    throws away what `key` names, which nothing needs.
    """

    what: Literal["restore", "remove", "rebuild", "drop"]
    table: str
    source: str
    seq: int | None = None
    size: int | None = None
    key: tuple[str, ...] | None = None
    hash: str | None = None
    leaf: str | None = None
    columns: tuple[str, ...] = ()
    proven_by: str = ""

    @property
    def is_copy(self) -> bool:
        """
        Whether it takes a copy of an event away.
        """
        return self.what == REMOVE and self.seq is not None

    def sentence(self) -> str:
        """
        Return it as one line of text.
        """
        if self.what == RESTORE and self.seq is not None:
            columns = f" ({', '.join(self.columns)})" if self.columns else " (there is no such row)"
            return f"restore event {self.seq}{columns} from {self.source}: hash {self.hash}"
        if self.size is not None and len(self.key or ()) > 1:
            where = "/".join(self.key or ())
            return (
                f"move the note of the checkpoint of {self.size} events from {where}" if self.what == RESTORE else
                f"remove the note of the checkpoint of {self.size} events at {where}, which stands in its place"
            )  # fmt: skip
        if self.what == RESTORE and self.size is not None and self.key:
            return f"move the note of the checkpoint of {self.size} events from where {self.key[0]} are said"
        if self.what == RESTORE and self.size is not None:
            return f"restore the note of the checkpoint of {self.size} events from {self.source}"
        if self.what == RESTORE:
            columns = ", ".join(self.columns) or "there is no such row"
            return f"restore the chain's own row ({columns}) from {self.source}"
        if self.what == REMOVE and self.table == CHAINS:
            return f"remove what stands beside the chain's own row: {', '.join(self.key or ())}"
        if self.what == REMOVE and self.size is not None:
            return f"remove what stands for the checkpoint of {self.size} events and is none of it"
        if self.what == REMOVE:
            return f"remove {copies_of_events([(self.key or (), self.seq or 0)])[0]}"
        if self.what == DROP:
            return f"drop {self.table} {'/'.join(self.key or ())}"
        # A head says more than the events do: which role the region has.
        role = f", of a region that is {self.key[0]}" if self.key else ""
        return f"make {self.table} anew from the events{role}"


class Judged(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """
    What the plan makes of one finding: what mends it (numbers of `writes`, from 0), or why nothing does.
    """

    finding: Found
    writes: tuple[int, ...] = ()
    reason: str = ""

    @property
    def is_mended(self) -> bool:
        """
        Whether the plan mends it.
        """
        return bool(self.writes) and not self.reason


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is to be mended of one chain in one region.

    `checkpoint` is the signed note by which everything here is proven, `report` the digest of the report, and `seen`
    how many events there were once, as the report knows, or were there when the plan was made.
    """

    kind: Literal["trade-ledger repair plan"] = "trade-ledger repair plan"
    schema_version: Literal[1] = 1
    origin: str
    chain_id: str
    report: str
    checkpoint: str
    size: int
    root: str
    seen: int = 0
    findings: tuple[Judged, ...]
    writes: tuple[Write, ...]

    def encode(self) -> bytes:
        """
        Return the file's bytes.
        """
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    def digest(self) -> str:
        """
        Return what names the plan, whatever spaces its file has: BLAKE3 of its bytes in their one form.
        """
        return blake3(self.encode()).hexdigest()

    def sentences(self) -> list[str]:
        """
        Return what is to be written as lines of text: one a write, and one for all copies of events under one number.
        """
        copies = [write for write in self.writes if write.is_copy]
        others = [write.sentence() for write in self.writes if not write.is_copy]
        return others + [f"remove {rows}" for rows in copies_of_events([(x.key or (), x.seq or 0) for x in copies])]

    def left(self) -> list[Judged]:
        """
        Return the findings that it does not mend.
        """
        return [judged for judged in self.findings if not judged.is_mended]


def decode(data: bytes) -> Plan:
    """
    Return the plan in a file's bytes.

    Raises:
        InvalidInput: it is none.
    """
    try:
        return msgspec.json.decode(data, type=Plan)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(
            f"found no plan of a repair ({error}); make one with tradeledger repair plan REPORT.json"
        ) from error
