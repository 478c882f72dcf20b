"""
Tell what waits for somebody: facts in quarantine, and differences to outside sources that stand.
"""

from __future__ import annotations

from ledger.chain.entry import RecordedEvent
from ledger.domain import rows
from ledger.errors import NotFound
from ledger.queries.opened import Opened
from ledger.reading.moment import At, Moment, check_integers
from ledger.storage import events, read_models


class Undecided(Opened):
    """
    What waits for a decision.
    """

    def quarantine(self, *, at: Moment | None = None) -> At[list[rows.Quarantined]]:
        """
        Return the facts that wait for a decision.
        """
        return self._about(None, at, lambda source: source.rows("quarantine", status="open"))

    def quarantined(self, seq: int) -> At[tuple[rows.Quarantined, RecordedEvent]]:
        """
        Return what became of the quarantined fact recorded at *seq*, and its event.

        Raises:
            NotFound: no such fact was recorded there.
        """
        check_integers(seq=seq)
        with self._snapshot() as (connection, at):
            found = read_models.rows(connection, self.chain.chain, "quarantine", "seq = %s", [seq])
            stored = events.read_seqs(connection, self.chain.chain, self.chain.chain_id, [seq]).get(seq)
        row = found[0] if found else None
        if not isinstance(row, rows.Quarantined) or stored is None:
            raise NotFound(f"seq {seq} is no quarantined fact; `tradeledger quarantine list --all` shows them")
        return At(at, (row, stored))

    def breaks(self, *, at: Moment | None = None) -> At[list[rows.Break]]:
        """
        Return the differences to outside sources that stand.
        """
        return self._about(None, at, lambda source: [x for x in source.rows("breaks") if x.closed_seq is None])
