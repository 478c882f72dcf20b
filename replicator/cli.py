"""
The `tradeledger-replicator` command: publish from the primary, apply in a replica.
"""

from __future__ import annotations

import bisect
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from ledger import command
from ledger.chain import signatures
from ledger.errors import InvalidInput, UnknownFormat
from ledger.repairing import lines
from ledger.sandbox import home
from ledger.storage import database, upgrade
from ledger.version import Version
from replicator import segment, transport
from replicator.applier import Applier
from replicator.publisher import Publisher
from replicator.transport import check_bootstrap

_MANNER: Final = command.Manner("error", "interrupted; run it again, it goes on", lambda error: error.exit_status)
REPLICA_REGION: Final = "b"
"""The private region that `apply` fills when no address is given; `publish` reads the default one."""
app = typer.Typer(
    name="tradeledger-replicator", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Stream a ledger to other regions. publish and apply run until they are told to stop, and end at any doubt: "
    "a supervisor starts them again; events ends by itself. Exit status: 0 stopped or done, 1 a fault of the program, "
    "2 usage, 3 corruption, 5 a dependency is down, 8 refused: change what was given, 130 interrupted by Ctrl-C "
    "before it ran.",
)  # fmt: skip

Dsn = Annotated[
    str | None,
    typer.Option(help="Database address of this region; else $LEDGER_DSN; else a private one under $LEDGER_HOME."),
]
Kafka = Annotated[
    str,
    typer.Option(
        help="Kafka's bootstrap address, host:port.", envvar="LEDGER_KAFKA", callback=command.usage(check_bootstrap)
    ),
]
Key = Annotated[Path, typer.Option(help="This program's private key file.")]
StatusFile = Annotated[Path | None, typer.Option(help="Keep the status here, as JSON.")]


@app.callback()
def replicator(version: Version = False) -> None:
    """
    Stream a ledger to other regions.
    """


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
            part = path.with_name(f"{path.name}.part")
            part.write_bytes(msgspec.json.encode(status))
            part.replace(path)

    return write


@contextlib.contextmanager
def _replica(dsn: str | None) -> Iterator[str]:
    """Yield the address of the replica's database; a private one has this release's schema."""
    if given := dsn or os.environ.get("LEDGER_DSN"):
        yield given
        return
    with home.server(REPLICA_REGION) as sockets:
        upgrade.upgrade(f"postgresql://owner@/ledger?host={sockets}")
        yield f"postgresql://applier@/ledger?host={sockets}"


@app.command()
def publish(
    kafka: Kafka,
    key: Key,
    dsn: Dsn = None,
    origin: Annotated[str | None, typer.Option(help="Which chain; may be left out when there is one.")] = None,
    old_key: Annotated[
        list[Path] | None,
        typer.Option(help="Key file that the chain named before --key: signs what comes before --key is named."),
    ] = None,
    status: StatusFile = None,
    again_after: Annotated[
        int | None, typer.Option(min=0, help="Publish again what follows this event, for a topic that lost records.")
    ] = None,
) -> None:
    """
    Publish the chain of this region, and take in what replicas acknowledge.
    """
    pair, older = signatures.read(key), [signatures.read(path) for path in old_key or []]
    with home.database("publisher", dsn=dsn) as address, database.translating():
        Publisher(address, origin, kafka, pair, older=older, again_after=again_after).run(_Stop(), _told(status))


@app.command()
def apply(
    kafka: Kafka,
    key: Key,
    origin: Annotated[str, typer.Option(help="Which chain, as the primary names it.")],
    chain_id: Annotated[str, typer.Option(help="The chain's id, 32 hexadecimal digits.")],
    trust: Annotated[str, typer.Option(help="The publisher's public key, 64 hexadecimal digits.")],
    dsn: Dsn = None,
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
    pair = signatures.read(key)
    with _replica(dsn) as address, database.translating():
        Applier(address, origin, identity, kafka, trusted, pair).run(_Stop(), _told(status))


@app.command("events")
def print_events(
    kafka: Kafka,
    chain_id: Annotated[str, typer.Option(help="The chain's id, 32 hexadecimal digits.")],
) -> None:
    """
    Print what the topic has at the seqs that standard input lists, one a line, for `tradeledger repair`.

    Nothing is checked: anybody may write to a topic, so there can be several at one seq, and who asks proves them.
    """
    try:
        wanted = sorted({int(line) for line in sys.stdin})
        identity = bytes.fromhex(chain_id)
    except ValueError as error:
        raise InvalidInput(f"expected --chain-id in hexadecimal, and a seq a line: {error}") from error
    if len(identity) != 16:
        raise InvalidInput(f"found {2 * len(identity)} hexadecimal digits for --chain-id; expected 32")
    try:
        opened = transport.Receiver(kafka, transport.segments_topic(identity))
    except transport.NoTopic as error:
        raise InvalidInput(f"{error}; give the --chain-id of one that is published there") from error
    with contextlib.closing(opened) as receiver:
        for value in receiver.newest_first():
            with contextlib.suppress(UnknownFormat):
                _, _, first, last = segment.peek(value)
                here = set(wanted[bisect.bisect_left(wanted, first) : bisect.bisect_right(wanted, last)])
                for event in segment.claimed(value) if here else ():
                    if event.seq in here:
                        print(lines.encode(event).decode())


def main() -> None:
    """
    Run the command line. The process ends at once: a producer in doubt may not linger in a thread.
    """
    status = command.run(app, _MANNER)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
