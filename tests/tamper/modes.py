"""
Name the checks that may notice, with the command an auditor gives and when it notices at the latest.

A mode is either a command that is run on the broken scene, or a part of the ledger that refuses while the break is
being made: then there is nothing to run, and the way itself says what was refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from tests.tamper.scene import Scene

MAX_AGE_S: Final = 10
"""How old the newest cosignature may be where that is asked for."""
VERIFIER: Final = (sys.executable, "-m", "verifier")


class Mode(msgspec.Struct, frozen=True):
    """
    One check: the command as an auditor writes it, how soon it notices, and the arguments for a scene.

    `arguments` is None for a part that refuses by itself.
    """

    command: str
    soon: str
    arguments: Callable[[Scene], list[str]] | None = None


def _on(mode: str, *more: str) -> Callable[[Scene], list[str]]:
    """Return what makes the arguments of a mode of the verifier that reads a database; words in braces are filled."""

    def made(scene: Scene) -> list[str]:
        origin = ("--origin", "{origin}") if "origin" in scene.words else ()
        filled = [scene.fill(word) for word in (mode, "--dsn", "{dsn}", *origin, *more)]
        return [*VERIFIER, *filled, "--format", "json"]

    return made


def _of(*words: str) -> Callable[[Scene], list[str]]:
    return lambda scene: [*VERIFIER, *(scene.fill(word) for word in words), "--format", "json"]


_POLICY: Final = ("--policy", "{policy}")
_RUN: Final = "when it is run"
_NIGHT: Final = "within a round of nights"
_ROUND: Final = "seconds: at its next round"
_START: Final = "at the next start"
_ONCE: Final = "at once: refused"
_SECOND: Final = "a second: at the next checkpoint"

MODES: Final[dict[str, Mode]] = {
    "append": Mode("the ledger, when it appends", _ONCE),
    "database": Mode("PostgreSQL: grants, triggers and keys", _ONCE),
    "applier": Mode("`tradeledger-replicator apply`", "at once: not applied"),
    "publisher": Mode("`tradeledger-replicator publish`", "at once: not counted"),
    "signer": Mode("`tradeledger signer serve`", _SECOND),
    "witness": Mode("`tradeledger-verify witness serve`, or anybody's", _SECOND),
    "cosign": Mode("`tradeledger cosign`, in the other region", _SECOND),
    "seal": Mode("`tradeledger seal`", _SECOND),
    "repair": Mode("`tradeledger repair apply`", "at once: not mended"),
    "archiver": Mode("`tradeledger archive`", "at the next archiving"),
    "open": Mode("`open --policy P --signer S`", _START, _on("open", *_POLICY, "--signer", "{signer}")),
    "open --max-age": Mode(
        f"`open --policy P --max-age {MAX_AGE_S}`", _START, _on("open", *_POLICY, "--max-age", str(MAX_AGE_S))
    ),
    "full": Mode("`full`", _RUN, _on("full")),
    "full --state": Mode("`full --state books`", _RUN, _on("full", "--state", "{books}")),
    "full --policy": Mode("`full --policy P`", _RUN, _on("full", *_POLICY)),
    "full --expect": Mode(
        "`full --policy P --expect kept.checkpoint`", _RUN, _on("full", *_POLICY, "--expect", "{kept}")
    ),
    "chain": Mode("`chain`", _RUN, _on("chain")),
    "state": Mode("`state`", _RUN, _on("state")),
    "incremental": Mode("`incremental --state books`", _ROUND, _on("incremental", "--state", "{books}")),
    "watch": Mode("`watch --state books`", _ROUND, _on("watch", "--state", "{books}", "--rounds", "1")),
    "scrub": Mode("`scrub --state round.json`", _NIGHT, _on("scrub", "--state", "{round}", "--share", "1")),
    "sample": Mode("`sample --policy P`", "by chance, as it says", _on("sample", *_POLICY, "-k", "1000")),
    "stream": Mode("`stream NAME --policy P`", _RUN, _on("stream", "{stream}", *_POLICY)),
    "stream --complete": Mode(
        "`stream NAME --policy P --complete`", _RUN, _on("stream", "{stream}", *_POLICY, "--complete")
    ),
    "diff": Mode("`diff A B`", _RUN, _of("diff", "{dsn}", "{other}")),
    "archive": Mode("`archive PLACE --policy P`", _RUN, _of("archive", "{archive}", *_POLICY)),
    "archive --expect": Mode(
        "`archive PLACE --policy P --expect kept.checkpoint`", _RUN,
        _of("archive", "{archive}", *_POLICY, "--expect", "{kept}"),
    ),
    "proof": Mode(
        "`proof FILE --policy P --payload FILE`", _RUN, _of("proof", "{proof}", *_POLICY, "--payload", "{payload}")
    ),
    "receipts": Mode("`receipts FILE --dsn A`", _RUN, _of("receipts", "{receipts}", "--dsn", "{dsn}")),
    "receipts --archive": Mode(
        "`receipts FILE --archive PLACE --policy P`", _RUN,
        # Those of events that are archived: of others an archive knows nothing yet.
        _of("receipts", "{receipts archived}", "--archive", "{archive}", *_POLICY),
    ),
    "script": Mode(
        "`python examples/verify_archive.py PLACE P`", _RUN,
        lambda scene: [sys.executable, *(scene.fill(word) for word in ("{script}", "{archive}", "{policy}"))],
    ),
    "fsck": Mode(
        "Tessera's `fsck`", _RUN,
        lambda scene: [scene.fill(word) for word in (
            "{fsck}", "-ui=false", "-N", "4", "-storage_url", "file://{archive}/", "-public_key", "{log key}",
        )],
    ),
    "liar": Mode("a verifier that was made to lie", _RUN, lambda scene: [
        sys.executable, "-c", scene.fill("{liar}"), "archive", *(scene.fill(word) for word in ("{archive}", *_POLICY)),
        "--format", "json",
    ]),
}  # fmt: skip
