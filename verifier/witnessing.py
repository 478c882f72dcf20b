"""
Be a witness: remember the newest checkpoint of a log, and cosign only what follows it (C2SP tlog-witness).
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Annotated

import typer

from ledger.chain import signatures
from ledger.chain.signatures import KeyPair
from ledger.errors import InvalidInput
from ledger.evidence import note, revocation
from ledger.evidence.note import COSIGNATURE, ED25519, SigningKey, VerifierKey
from ledger.sealing import services, serving
from ledger.sealing.promises import Promises

PURPOSE = "witness"
app = typer.Typer(no_args_is_help=True, help="Be a witness of other people's logs.")

KeyFile = Annotated[Path, typer.Option("--key", help="The witness's key file, which its owner alone may read.")]


def signing_key(path: Path) -> SigningKey:
    """
    Return the key that a witness cosigns with.

    Raises:
        NotPermitted, InvalidInput: others may read the file, or it is no witness's key.
    """
    pair = signatures.read(path)
    if pair.purpose != PURPOSE:
        raise InvalidInput(f"{path} is the key of a {pair.purpose}; make a witness its own")
    return SigningKey(pair.name, COSIGNATURE, pair.seed)


@app.command("key")
def make_key(
    name: Annotated[str, typer.Argument(help="The witness's name to the world, such as witness.example/w1.")],
    path: KeyFile,
) -> None:
    """
    Make a key file, and print the verifier key that policies list.
    """
    note.check_name(name)
    pair = KeyPair(PURPOSE, name, secrets.token_bytes(32))
    try:
        signatures.write(path, pair)
    except FileExistsError as error:
        raise InvalidInput(f"{path} is there already; a witness that changes its key is another witness") from error
    print(SigningKey(name, COSIGNATURE, pair.seed).verifier.text())


@app.command("show")
def show_key(path: KeyFile) -> None:
    """
    Print the verifier key that policies list.
    """
    print(signing_key(path).verifier.text())


def _logs(texts: list[str]) -> dict[str, list[VerifierKey]]:
    logs: dict[str, list[VerifierKey]] = {}
    for text in texts:
        key = note.read_key(text)
        if key.algorithm != ED25519:
            raise InvalidInput(f"the key of log {key.name} has signature type 0x{key.algorithm:02x}; a log's has 0x01")
        logs.setdefault(key.name, []).append(key)
    return logs


@app.command()
def serve(
    path: KeyFile,
    state: Annotated[Path, typer.Option(help="File of what was cosigned; made if it is not there.")],
    log: Annotated[list[str], typer.Option(help="Verifier key of a log to watch; give it again for another.")],
    listen: Annotated[str, typer.Option(help="host:port, or the path of a socket.")] = "127.0.0.1:7380",
    revoked: Annotated[
        list[str] | None,
        typer.Option(help="'KEY SIZE', as `tradeledger keys revoke` prints it: nothing larger by that key."),
    ] = None,
) -> None:
    """
    Cosign the checkpoints of logs, until interrupted. Evidence of a log that forks is left beside the state.
    """
    key, logs = signing_key(path), _logs(log)
    gone = [revocation.decode(text.split()) for text in revoked or []]
    with Promises(state) as promises:
        respond = services.witness_of(
            promises, logs, key, lambda: int(time.time()), state.with_name(state.name + ".evidence"), gone,
            serving.to_stderr,
        )  # fmt: skip
        serving.run(listen, respond, f"witness {key.verifier.text()}")
