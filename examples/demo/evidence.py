"""
Seal the chain, archive it, and let two programs that need no database come to the same root.

Who signs and who cosigns are processes of their own with keys of their own: the signer, region B, and a witness that
has no part in the ledger.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from examples.demo.screen import bar, say
from examples.demo.tampering import ROOT
from ledger.cli.identity import identities, policy_lines
from ledger.errors import SetupNeeded
from ledger.sandbox.postgres import Server

WITNESS = "w1"


def run(*words: str) -> str:
    """Run a command to its end, and return what it printed."""
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise SetupNeeded(f"`{' '.join(words[:4])}` ended with {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


@contextlib.contextmanager
def answering(folder: Path, place: Path, *words: str) -> Iterator[None]:
    """Run a process that answers at the socket *place*."""
    with (folder / f"{place.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *words, "--listen", str(place)], cwd=ROOT, stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + 60
            while not place.is_socket():
                if process.poll() is not None or time.monotonic() > deadline:
                    said = (folder / f"{place.name}.log").read_text()[-1500:]
                    raise SetupNeeded(f"the {place.name} did not begin to answer: {said}")
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait()


def sealed(folder: Path, servers: tuple[Server, Server], origin: str) -> dict[str, Any]:
    """Seal and archive region A's chain in *folder*, and return what signed, and what two programs make of it."""
    keys = folder / "keys"
    (chain,) = identities(servers[0].dsn("reader"))
    log, region_b = sorted(policy_lines(chain.origin, chain.keys))
    name = region_b.split()[1]
    witness = run("-m", "verifier", "witness", "key", f"{WITNESS}.example", "--key", str(keys / "witness.json")).strip()
    # Paths of sockets are short.
    with (
        tempfile.TemporaryDirectory(prefix="tl-demo-") as short,
        contextlib.ExitStack() as stack,
        bar("steps", 4) as step,
    ):
        signer, cosigner, witnessing = (Path(short) / one for one in ("signer", "cosigner", "witness"))
        needed, asked, trust = (folder / f"{one}.policy" for one in ("replicas", "witnesses", "auditor"))
        needed.write_text(f"{region_b} {cosigner}\nquorum {name}\n")
        asked.write_text(f"witness {WITNESS} {witness} {witnessing}\nquorum {WITNESS}\n")
        trust.write_text(
            f"{log}\n{region_b}\nwitness {WITNESS} {witness}\ngroup both all {name} {WITNESS}\nquorum both\n"
        )
        for place, *words in (
            (signer, "ledger", "signer", "serve", "--key", str(keys / "checkpoint.json"), "--origin", origin,
             "--state", str(folder / "signer.state"), "--needs", str(needed), "--witnesses", str(asked)),
            (cosigner, "ledger", "cosign", "--key", str(keys / "replica.json"), "--state",
             str(folder / "cosigner.state"), "--dsn", servers[1].dsn("sealer")),
            (witnessing, "verifier", "witness", "serve", "--key", str(keys / "witness.json"), "--state",
             str(folder / "witness.state"), "--log", log.split()[1]),
        ):  # fmt: skip
            stack.enter_context(answering(folder, place, *words))
        step(1)
        run("-m", "ledger", "seal", "--once", "--signer", str(signer), "--replicas", str(needed), "--witnesses",
            str(asked), "--dsn", servers[0].dsn("sealer"))  # fmt: skip
        step(1)
        archive = folder / "archive"
        run("-m", "ledger", "archive", str(archive), "--policy", str(trust), "--dsn", servers[0].dsn("reader"))
        step(1)
        report = json.loads(
            run("-m", "verifier", "archive", str(archive), "--policy", str(trust), "--format", "json")
        )  # fmt: skip
        alone = run(str(ROOT / "examples" / "verify_archive.py"), str(archive), str(trust))
        step(1)
    checkpoint = report["checkpoints"][0]
    return {
        "events": checkpoint["size"],
        "root": checkpoint["root"],
        "cosigned_by": sorted(one["name"] for one in checkpoint["cosigned"]),
        "archive": report["verdict"],
        "alone": alone.splitlines()[0],
    }


def tell_sealed(found: dict[str, Any]) -> None:
    """Say who vouches for what, and what the archive's two readers say."""
    say.print(f"    {found['events']:,} events have root {found['root'][:16]}…, cosigned by "
              f"{' and '.join(found['cosigned_by'])}")  # fmt: skip
    say.print(f"    the archive: {found['archive']}; by 150 lines of Python alone: {found['alone'].partition(':')[0]}")


def good(found: dict[str, Any], events: int) -> bool:
    """Return whether all of *events* are sealed, cosigned by both, and both readers of the archive found that root."""
    return (
        found["events"] == events
        and len(found["cosigned_by"]) == 2
        and found["archive"] == "verified"
        and found["alone"].startswith(f"VERIFIED: {events} events")
        and found["alone"].endswith(found["root"])
    )
