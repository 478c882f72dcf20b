"""
Run the signer of a log: its own process, with its own key and its own memory of what it signed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ledger import given_file
from ledger.chain import signatures
from ledger.errors import InvalidInput, shown
from ledger.evidence import note, policy
from ledger.evidence.note import ED25519, SigningKey, VerifierKey
from ledger.sealing import services, serving
from ledger.sealing.promises import Promises

PURPOSE = "checkpoint"
app = typer.Typer(no_args_is_help=True, help="Sign checkpoints of a chain, and never two that contradict each other.")

KeyFiles = Annotated[
    list[Path],
    typer.Option(
        "--key", help="The checkpoint key's file, which its owner alone may read; a second one while it takes over."
    ),
]
LogOrigin = Annotated[str, typer.Option("--origin", help="The chain's origin, which is the log's name.")]


def signing_key(path: Path, origin: str) -> SigningKey:
    """
    Return the key that signs checkpoints of a chain.

    Raises:
        NotPermitted, InvalidInput: others may read the file, or it is no checkpoint key, or no log can have the name.
    """
    pair = signatures.read_for(path, PURPOSE)
    note.check_name(origin)
    return SigningKey(origin, ED25519, pair.seed)


def signing_keys(paths: list[Path], origin: str) -> list[SigningKey]:
    """
    Return the keys that sign checkpoints of a chain together.

    Raises:
        NotPermitted, InvalidInput: as `signing_key`, or one is given twice.
    """
    keys = [signing_key(path, origin) for path in paths]
    for place, key in enumerate(keys):
        if key in keys[:place]:
            raise InvalidInput(f"{paths[place]} holds the key of another --key; give each key once")
    return keys


@app.command("show")
def show_key(paths: KeyFiles, origin: LogOrigin) -> None:
    """
    Print the verifier key that policies and witnesses list; of two keys, both.
    """
    for key in signing_keys(paths, origin):
        print(key.verifier.text())


@app.command()
def serve(
    paths: KeyFiles,
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
    former: Annotated[
        list[str] | None,
        typer.Option(
            "--took-over-from",
            help="Verifier key that this one took over from and that was revoked: what it signed is held to.",
        ),
    ] = None,
) -> None:
    """
    Sign checkpoints that extend what was signed before, until interrupted.

    Without --witnesses a state that was put back to an older one is not noticed. Given two keys, of which one takes
    over from the other, each checkpoint has a signature of both.
    """
    key, *also = signing_keys(paths, origin)
    needed, asked = read_policy(needs), read_policy(witnesses)
    with Promises(state) as promises:
        respond = services.signer_of(
            promises, key, needed, asked, also, lambda what: print(what, file=sys.stderr, flush=True),
            [_former(text, origin) for text in former or ()],
        )  # fmt: skip
        who = f"signer {' and '.join(one.verifier.text() for one in (key, *also))}"
        serving.run(listen, respond, who, services.remembered(promises, key, asked))


def _former(text: str, origin: str) -> VerifierKey:
    """
    Return the verifier key *text*, of a key of this log.

    Raises:
        InvalidInput: it is none.
    """
    key = note.read_key(text)
    if key.name != origin or key.algorithm != ED25519:
        raise InvalidInput(f"--took-over-from names {shown(text)}, which is no checkpoint key of {origin}")
    return key


def read_policy(path: Path | None) -> policy.Policy:
    """
    Return the policy in a file; without a file, one that asks for nobody.

    Raises:
        InvalidInput: it cannot be read, or is none.
    """
    if path is None:
        return policy.decode(b"quorum none\n")
    try:
        return policy.decode(given_file.read(path, policy.POLICY_LIMIT_BYTES))
    except OSError as error:
        raise InvalidInput(f"the policy {path} cannot be read: {error.strerror}; name another file") from error
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from error
