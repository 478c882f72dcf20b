"""
Write the proof of one event, for whoever has to be shown that it was recorded and not changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from ledger.cli import access
from ledger.cli.options import Dsn, Format, Origin, check_format
from ledger.cli.signer import read_policy
from ledger.errors import InvalidInput
from ledger.queries import Books
from ledger.whole_file import whole

SUFFIX: Final = ".tlog-proof"
CONTENT_SUFFIX: Final = ".json"


class _Written(msgspec.Struct, frozen=True):
    """What was written, and by which checkpoint it can be checked."""

    seq: int
    hash: str
    checkpoint_size: int
    proof: str
    payload: str | None
    schema_version: int = 1


def prove(
    seq: Annotated[int, typer.Argument(min=1, help="Which event.")],
    out: Annotated[Path, typer.Option(help=f"The proof's file, such as event-17{SUFFIX}; its content goes beside it.")],
    at: Annotated[int | None, typer.Option(min=1, help="By the checkpoint of so many events.")] = None,
    trust: Annotated[
        Path | None, typer.Option("--policy", help="By the newest checkpoint that this policy accepts.")
    ] = None,
    content: Annotated[
        bool, typer.Option("--content/--no-content", help="Write the event's content too, for those who may see it.")
    ] = True,
    dsn: Dsn = None,
    origin: Origin = None,
    format: Format = "table",
) -> None:
    """
    Write a proof that an event is in the history that was signed; `tradeledger-verify proof` checks it.

    Without --policy and --at it is by the newest checkpoint of those that most have signed lately.
    """
    check_format(format)
    beside = out.with_suffix(CONTENT_SUFFIX)
    if out.suffix != SUFFIX:
        raise typer.BadParameter(f"found --out {out}; expected a name that ends in {SUFFIX}")
    with access.access(dsn) as found, Books(found.dsn("reader"), origin) as books:
        proven = books.prove(seq, size=at, rules=None if trust is None else read_policy(trust))
    # The proof last: where it is, all that was asked for is.
    files = [*([(beside, proven.payload.encode())] if content else []), (out, proven.proof.encode())]
    for path, data in files:
        try:
            with whole(path) as file:
                file.write(data)
        except OSError as error:
            raise InvalidInput(f"{path} cannot be written: {error.strerror}; name another place") from error
    hashed = proven.hash.hex()
    said = _Written(seq, hashed, proven.checkpoint.size, str(out), str(beside) if content else None)
    if format == "json":
        print(msgspec.json.format(msgspec.json.encode(said), indent=1).decode())
        return
    print(f"event {seq}, hash {hashed}, proven by the checkpoint of {proven.checkpoint.size} events in {out}")
    if content:
        print(f"its content is in {beside}: give it to those alone who may see it")
    print(f"check it with: tradeledger-verify proof {out} --policy POLICY{f' --payload {beside}' if content else ''}")
