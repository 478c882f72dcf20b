"""
Run the operator's sandbox from the command line, and say how to use it: every address, and every command ready to copy.

The sandbox itself (`ledger.sandbox.regions`) knows neither schema nor chain; here both are made, so that what is
printed works as it stands.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import typer

from ledger.cli import creation
from ledger.cli.access import Access
from ledger.cli.identity import Identity, identities
from ledger.errors import SetupNeeded
from ledger.sandbox import regions
from ledger.storage import upgrade

_LOGINS: Final = ("writer", "publisher", "applier", "sealer", "auditor", "reader", "owner")
app = typer.Typer(no_args_is_help=True, help="Two private regions and a Kafka broker to play with.")


def _program(name: str) -> str:
    """Return how this machine's shell finds the program: it may lie in an environment that is not on the PATH."""
    beside = Path(sys.executable).with_name(name)
    return name if shutil.which(name) or not beside.exists() else str(beside)


def _key(chain: Identity, side: str) -> tuple[str, bool]:
    """Return the key file of *side*, and True; where it is not there, a word to put it for, and False."""
    path = chain.keys_folder() / f"{side}.json"
    return (str(path), True) if path.exists() else (f"{side.upper()}-KEY", False)


def _walk(found: regions.Running, chain: Identity) -> Iterator[str]:
    """Yield the command lines that carry *chain* to region b and compare the regions; lines with # say when."""
    replicator, ledger = _program("tradeledger-replicator"), _program("tradeledger")
    here, keys = ("--origin", chain.origin), {side: _key(chain, side) for side in ("publisher", "replica")}
    if unknown := [shown for shown, is_there in keys.values() if not is_there]:
        yield f"# put the chain's key files for {' and '.join(unknown)}: {chain.keys_folder()} does not hold them"
    yield "# carry it to region b; each in a terminal of its own, until Ctrl-C:"
    yield shlex.join((replicator, "publish", "--kafka", found.kafka, "--dsn", found.dsn("a", "publisher"),
                      "--key", keys["publisher"][0], *here))  # fmt: skip
    yield shlex.join((replicator, "apply", "--kafka", found.kafka, "--dsn", found.dsn("b", "applier"),
                      "--key", keys["replica"][0], *chain.for_replicas()))  # fmt: skip
    yield "# append to region a, then see both regions at one head:"
    yield shlex.join((ledger, "import", "nautilus", "EVENTS", "--instruments", "FILE",
                      "--dsn", found.dsn("a", "writer"), *here))  # fmt: skip
    for region in regions.REGIONS:
        yield shlex.join((ledger, "head", "--dsn", found.dsn(region, "reader"), *here))


def _show(found: regions.Running) -> None:
    print(f"kafka {found.kafka}")
    for region in regions.REGIONS:
        for login in _LOGINS:
            print(f"region {region} {login} {found.dsn(region, login)}")
    for chain in identities(found.dsn("a", "reader")):
        print(f"\nchain {chain.origin} {chain.chain_id}")
        print(*_walk(found, chain), sep="\n")


@app.command("up")
def up() -> None:
    """
    Start two regions and a broker, with schema and a chain made; they run until `sandbox down`.
    """
    found = regions.up()
    for region in regions.REGIONS:
        upgrade.upgrade(found.dsn(region, "owner"))
    creation.prepared(Access(None, found.sockets["a"]))
    _show(found)


@app.command("down")
def down() -> None:
    """
    Stop them; their data stay under $LEDGER_HOME. A region that another command uses runs until that ends.
    """
    if not regions.down():
        print("no sandbox was running here")
    elif left := regions.lingering():
        print(f"stopped, but for what another command still uses: {' and '.join(left)}")
    else:
        print("stopped")


@app.command("status")
def status() -> None:
    """
    Print where they are and how to use them; exit 5, naming what is down, when not all of them run.
    """
    found = regions.status()
    if found is None:
        raise SetupNeeded("no sandbox is running here; start one with `tradeledger sandbox up`")
    if missing := regions.missing(found):
        raise SetupNeeded(f"{' and '.join(missing)}: down; `tradeledger sandbox up` starts the sandbox anew, data kept")
    _show(found)
