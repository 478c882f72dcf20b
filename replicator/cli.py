"""
The `tradeledger-replicator` command: publish from the primary, apply in a replica.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from ledger.chain import signatures
from ledger.errors import InvalidInput, LedgerError
from replicator.applier import Applier
from replicator.publisher import Publisher

app = typer.Typer(
    name="tradeledger-replicator", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Stream a ledger to other regions. Both commands run until they are told to stop, and end at any doubt: "
    "a supervisor starts them again. Exit status: 0 stopped, 2 usage, 3 corruption, 5 a dependency is down.",
)  # fmt: skip

Dsn = Annotated[str, typer.Option(help="Database address of this region.", envvar="LEDGER_DSN")]
Kafka = Annotated[str, typer.Option(help="Kafka's bootstrap address.", envvar="LEDGER_KAFKA")]
Key = Annotated[Path, typer.Option(help="This program's private key file.")]
StatusFile = Annotated[Path | None, typer.Option(help="Keep the status here, as JSON.")]


class _Stop:
    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = True

    def __call__(self) -> bool:
        return self.asked


def _told(path: Path | None) -> Any:
    def write(status: msgspec.Struct) -> None:
        if path is not None:
            part = path.with_suffix(".part")
            part.write_bytes(msgspec.json.encode(status))
            part.replace(path)

    return write


@app.command()
def publish(
    dsn: Dsn,
    kafka: Kafka,
    key: Key,
    origin: Annotated[str | None, typer.Option()] = None,
    status: StatusFile = None,
    again_after: Annotated[
        int | None, typer.Option(help="Publish again what follows this event, for a topic that lost records.")
    ] = None,
) -> None:
    """
    Publish the chain of this region, and take in what replicas acknowledge.
    """
    Publisher(dsn, origin, kafka, signatures.read(key), again_after=again_after).run(_Stop(), _told(status))


@app.command()
def apply(
    dsn: Dsn,
    kafka: Kafka,
    key: Key,
    origin: Annotated[str, typer.Option(help="Which chain, as the primary names it.")],
    chain_id: Annotated[str, typer.Option(help="The chain's id, 32 hexadecimal digits.")],
    trust: Annotated[str, typer.Option(help="The publisher's public key, 64 hexadecimal digits.")],
    status: StatusFile = None,
) -> None:
    """
    Apply the chain here, and acknowledge what was applied.
    """
    try:
        identity, trusted = bytes.fromhex(chain_id), bytes.fromhex(trust)
    except ValueError as error:
        raise InvalidInput(f"--chain-id and --trust are hexadecimal: {error}") from error
    if (len(identity), len(trusted)) != (16, 32):
        raise InvalidInput("expected 32 hexadecimal digits for --chain-id and 64 for --trust")
    Applier(dsn, origin, identity, kafka, trusted, signatures.read(key)).run(_Stop(), _told(status))


def main() -> None:
    """
    Run the command line. The process ends at once: a producer in doubt may not linger in a thread.
    """
    status = 0
    try:
        app(standalone_mode=False)
    except LedgerError as error:
        print(f"error: {error}", file=sys.stderr)
        status = error.exit_status
    except (typer.Exit, typer.Abort) as ending:
        status = getattr(ending, "exit_code", 130)
    except Exception as error:
        show = getattr(error, "show", None)
        status = 2 if show is not None else 1
        if show is not None:
            show()
        else:
            traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
