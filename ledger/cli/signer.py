"""
Run the signer of a log: its own process, with its own key and its own memory of what it signed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ledger.chain import signatures
from ledger.errors import InvalidInput
from ledger.evidence import note, policy
from ledger.evidence.note import ED25519, SigningKey
from ledger.sealing import services, serving
from ledger.sealing.promises import Promises

PURPOSE = "checkpoint"
app = typer.Typer(no_args_is_help=True, help="Sign checkpoints of a chain, and never two that contradict each other.")

KeyFile = Annotated[Path, typer.Option("--key", help="The checkpoint key's file, which its owner alone may read.")]
LogOrigin = Annotated[str, typer.Option("--origin", help="The chain's origin, which is the log's name.")]


def signing_key(path: Path, origin: str) -> SigningKey:
    """
    Return the key that signs checkpoints of a chain.

    Raises:
        NotPermitted, InvalidInput: others may read the file, or it is no checkpoint key, or no log can have the name.
    """
    pair = signatures.read(path)
    if pair.purpose != PURPOSE:
        raise InvalidInput(f"{path} is the key of a {pair.purpose}; expected that of a {PURPOSE}")
    note.check_name(origin)
    return SigningKey(origin, ED25519, pair.seed)


@app.command("show")
def show_key(path: KeyFile, origin: LogOrigin) -> None:
    """
    Print the verifier key that policies and witnesses list.
    """
    print(signing_key(path, origin).verifier.text())


@app.command()
def serve(
    path: KeyFile,
    origin: LogOrigin,
    state: Annotated[Path, typer.Option(help="File of what was signed; made if it is not there. Back it up.")],
    listen: Annotated[str, typer.Option(help="The path of a socket, or host:port.")],
    needs: Annotated[
        Path | None, typer.Option(help="Policy of the replicas that must have cosigned before anything is signed.")
    ] = None,
    witnesses: Annotated[
        Path | None,
        typer.Option(help="Policy of the witnesses to ask, with their addresses, before the first signature."),
    ] = None,
) -> None:
    """
    Sign checkpoints that extend what was signed before, until interrupted.

    Without --witnesses a state that was put back to an older one is not noticed.
    """
    key = signing_key(path, origin)
    needed, asked = read_policy(needs), read_policy(witnesses)
    with Promises(state) as promises:
        serving.run(listen, services.signer_of(promises, key, needed, asked), f"signer {key.verifier.text()}")


def read_policy(path: Path | None) -> policy.Policy:
    """
    Return the policy in a file; without a file, one that asks for nobody.

    Raises:
        InvalidInput: it cannot be read, or is none.
    """
    if path is None:
        return policy.decode(b"quorum none\n")
    try:
        return policy.decode(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"the policy {path} cannot be read: {error.strerror}") from error
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from error
