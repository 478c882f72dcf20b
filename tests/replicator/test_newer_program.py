"""
Check that a replica stops at what a newer program wrote, and stays as it was.
"""

from __future__ import annotations

import pytest

from ledger import Ledger
from ledger.errors import UnknownFormat
from tests.journal.test_ledger import fill
from tests.journal.test_newer_program import new_fee, newer
from tests.replicator.conftest import Regions, in_step, until


def test_a_replica_of_an_older_program_stops_before_what_it_cannot_read(regions: Regions) -> None:
    """It applies all that came before and nothing of it, says what to do, and a newer program goes on where it was."""
    publisher, applier = regions.publisher(), regions.applier()
    with Ledger.open(regions.a.dsn("writer")) as ledger:
        fill(ledger)
        in_step(publisher, applier, ledger.head().seq)
        before = regions.head(regions.b)
        with newer(), Ledger.open(regions.a.dsn("writer")) as other:
            assert other.append(new_fee("new"), key="new").seq == before.seq + 3

    def steps() -> None:
        publisher.step()
        applier.step(20)

    # The first version is one that it knows; the registration of the second is where it stops.
    with pytest.raises(UnknownFormat, match=r"FeeCharged of schema version 2 .* use the release that wrote it"):
        until(steps, lambda: False)
    assert regions.head(regions.b).seq <= before.seq + 1
    applier.close()
    with newer():
        in_step(publisher, regions.applier(), before.seq + 3)
        assert regions.head(regions.b) == regions.head(regions.a)
