"""
Feed the parsers, and say what came of it: python -m tests.fuzz [--seconds N] [--seed N] [--only NAME] [--report FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import secrets
import sys
import tempfile
from pathlib import Path

from tests.fuzz import feeding, folders, targets
from tests.fuzz.targets import MIB

MORE_BYTES = 256 * MIB
"""How much more memory than at the start the whole run may take: of two segments unpacked, the largest there are."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("LEDGER_FUZZ_SECONDS", "60")))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("LEDGER_FUZZ_SEED", secrets.randbits(32))))
    parser.add_argument("--only", default="", help="feed the targets whose names contain this")
    parser.add_argument("--report", type=Path, default=Path("build/fuzz/report.json"))
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    # In memory: what is measured is the verifier, not a disk.
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="tl-fuzz-", dir=shared if shared.is_dir() else None) as name:
        place = Path(name)
        all_of_them = [*targets.pure(), *folders.archives(place), *folders.states(place / "states")]
        chosen = [target for target in all_of_them if asked.only in target.name]
        if not chosen:
            print("no target has that in its name: " + ", ".join(target.name for target in all_of_them))
            return 2
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        feeding.limit_memory(MORE_BYTES)
        fed = feeding.feed(chosen, asked.seed, asked.seconds)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    report = feeding.summary(fed, asked.seed, grown, MORE_BYTES)
    asked.report.parent.mkdir(parents=True, exist_ok=True)
    asked.report.write_text(json.dumps(report, indent=1) + "\n")
    for one in report["targets"]:
        refused = ", ".join(f"{kind} {count}" for kind, count in sorted(one["refused"].items()))
        print(f"{one['name']}: {one['inputs']} inputs, {one['per_second']}/s, slowest {one['slowest_ms']} ms, "
              f"accepted {one['accepted']}; {refused}")  # fmt: skip
    failures = [failure for one in fed for failure in one.failures]
    for failure, path in zip(failures, feeding.keep(failures, asked.report.parent / "failures"), strict=True):
        print(f"FAILED {failure.target}, input {failure.number}: {failure.said} at {failure.where or 'its end'}")
        print(f"  kept as {path}")
    print(f"{report['inputs']} inputs, {report['inputs_per_second']} a second of the processor, memory grew by "
          f"{report['grown_mib']} MiB of {report['limit_mib']} allowed, {len(failures)} failures")  # fmt: skip
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
