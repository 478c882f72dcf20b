"""
Do what nothing here can notice, and see that nothing does: five kinds, each with what helps from outside.

Where a kind is more than one edit, each is done by itself, and all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ledger import Ledger
from ledger.chain.entry import RecordedEvent
from ledger.domain.events.orders import OrderPlaced
from tests.conftest import Database
from tests.tamper.forging import checkpoints_of, grown, installed, remade
from tests.tamper.scene import Scene
from tests.tamper.way import Edit, way
from tests.tamper.ways.archives import archived, cosigned_by_all
from tests.tamper.ways.consistent import changed
from tests.verifier.intruder import Intruder

_EVERYTHING: Final = ("open", "full --expect", "incremental", "diff")


@way("an order that the engine sent is never appended, or is appended as another", "outside the ledger", (1, 22), None,
     "engine: of two orders one is kept back", blind=(*_EVERYTHING, "receipts"),
     cannot="a ledger knows what it is told: reconcile with the venue's drop copies and FIX sequence numbers "
     "(`tradeledger reconcile`)")  # fmt: skip
def an_event_never_appended(scene: Scene) -> None:
    with Ledger.open(scene.region.dsn("writer")) as ledger:
        ledger.append(
            OrderPlaced(order_id="sent-1", cl_ord_id="c-sent-1", account="A", instrument="BTCUSDT", side="buy",
                        qty="0.02", ord_type="limit", price="99"), key="sent-1",
        )  # fmt: skip


def _region(scene: Scene, number: int, history: Sequence[RecordedEvent]) -> Database:
    """Build region A (0) or B (1) anew of another history, with the checkpoints of before."""
    made = installed(scene.empty(number), history, scene.firm.ends())
    if number:
        with Intruder(made) as intruder:
            intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET mode = 'replica'")
    return checkpoints_of(scene.firm.a, grown(made))


@way("the events since the newest checkpoint are cut off in both regions; no receipt was kept",
     "every table of both regions", (12,), None, "operator of everything, within a second",
     blind=_EVERYTHING,
     cannot="nobody outside had seen them: keep receipts, which show it (`an unsealed tail cut`); the window is what "
     "came since the newest checkpoint, about a second. A publisher stops where its topic still has them")  # fmt: skip
def a_tail_cut_everywhere(scene: Scene) -> None:
    history = scene.firm.events()[: scene.firm.sizes[-1]]
    for word, region in (("other", 1), ("dsn", 0)):
        made = _region(scene, region, history)
        scene.words[word] = made.dsn("auditor")


@way("the events since the newest checkpoint are rewritten in both regions; no receipt was kept",
     "every table of both regions", (7, 10), None, "operator of everything, within a second",
     blind=_EVERYTHING,
     cannot="as above: what nobody outside has seen can be another; receipts show it, see `rehashed tail`")  # fmt: skip
def a_tail_rewritten_everywhere(scene: Scene) -> None:
    last = next(x.idempotency_key for x in reversed(scene.firm.events()) if x.event_type == "FeeCharged")
    history = remade(changed(lambda x: x.idempotency_key == last, b'"0.5"', b'"0.1"')(scene.firm.events()))
    for word, region in (("other", 1), ("dsn", 0)):
        made = _region(scene, region, history)
        scene.words[word] = made.dsn("auditor")


@way("the log's key signs a whole other history and every witness of the policy cosigns it; who kept an earlier "
     "checkpoint, an archive or a receipt keeps silent", "everything", (8, 14), None,
     "operator and all witnesses together", blind=("open", "full --policy", "archive", "script"),
     cannot="choose witnesses who do not know each other, so that a quorum of them cannot be had; keep one checkpoint: "
     "`--expect` shows it at once")  # fmt: skip
def everybody_colludes(scene: Scene) -> None:
    urls = cosigned_by_all(scene)
    archived(scene, scene.region)
    policy = scene.folder / "colluding.policy"
    policy.write_text(scene.firm.policy_text(urls))
    scene.words["policy"] = str(policy)


def _by(table: str, sql: str) -> Callable[[Scene], object]:
    """Return what edits a table; what changes nothing goes unnoticed without being undetectable."""
    return lambda scene: scene.intruder().edit(table, sql, least=1)


def _an_older_checkpoint_forgotten(scene: Scene) -> None:
    oldest = f"DELETE FROM ledger.checkpoints WHERE size = {scene.firm.sizes[0]}"
    scene.intruder().edit("checkpoints", oldest, least=1)


def _two_transactions_made_one(scene: Scene) -> None:
    intruder = scene.intruder()
    before, after = intruder.connection.execute(
        "SELECT first_seq, last_seq FROM ledger.commits ORDER BY last_seq OFFSET 3 LIMIT 2"
    ).fetchall()
    intruder.edit("commits", f"DELETE FROM ledger.commits WHERE last_seq = {before[1]}", least=1)
    merged = f"UPDATE ledger.commits SET first_seq = {before[0]} WHERE last_seq = {after[1]}"
    intruder.edit("commits", merged, least=1)


def _somebody_more_with_the_owners_role(scene: Scene) -> None:
    role = f"mallory_of_{scene.region.name}"
    scene.intruder().connection.execute(f"CREATE ROLE {role} LOGIN IN ROLE ledger_owner".encode())
    scene.stack.callback(scene.region.server.sql, f"DROP ROLE {role}")


def _the_past_forgotten(scene: Scene) -> None:
    intruder = scene.intruder()
    for table in ("balance_history", "position_history", "read_model_watermarks"):
        intruder.edit(table, f"DELETE FROM ledger.{table}", least=1)


def _a_primary_called_a_replica(scene: Scene) -> None:
    intruder = scene.intruder()
    intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET mode = 'replica'", least=1)
    # Either without the other is noticed.
    intruder.edit(
        "replica_state", "INSERT INTO ledger.replica_state SELECT 1, 'ledger.' || replace(chain_id::text, '-', '')"
        " || '.segments.v1', 'x', 0 FROM ledger.chains", least=1,
    )  # fmt: skip


VOUCHED: Final = (
    Edit("another login may write for a source", "source_logins",
         _by("source_logins", "UPDATE ledger.source_logins SET login = login || '-2'")),
    Edit("a repair is recorded that was none", "history_changes", _by(
        "history_changes", "INSERT INTO ledger.history_changes VALUES (900, 1, 'somebody', 'tidying', 'null')")),
    Edit("each checkpoint was sealed a moment earlier", "checkpoints.sealed_at",
         _by("checkpoints", "UPDATE ledger.checkpoints SET sealed_at = sealed_at - 1")),
    Edit("an older checkpoint is forgotten", "checkpoints", _an_older_checkpoint_forgotten),
    Edit("each snapshot was made a moment earlier", "snapshots.made_at",
         _by("snapshots", "UPDATE ledger.snapshots SET made_at = made_at - 1")),
    Edit("the snapshots are forgotten", "snapshots", _by("snapshots", "DELETE FROM ledger.snapshots")),
    Edit("each acknowledgement arrived a moment earlier", "acknowledgements.received_at",
         _by("acknowledgements", "UPDATE ledger.acknowledgements SET received_at = received_at - 1")),
    Edit("what is kept of the past is forgotten, with how far it goes",
         "balance_history, position_history, read_model_watermarks", _the_past_forgotten),
    Edit("two transactions become one", "commits", _two_transactions_made_one),
    Edit("somebody more has the owner's role", "roles", _somebody_more_with_the_owners_role),
    Edit("the region calls itself a replica, at some place in some topic", "chain_heads.mode, replica_state",
         _a_primary_called_a_replica),
)  # fmt: skip
"""What no event and no signature is about, one edit after the other."""


@way("what only the region itself vouches for is changed: which login writes for which source, "
     "what was repaired, when a checkpoint or snapshot was made, when an acknowledgement arrived; a snapshot, what is "
     "kept of the past or an older checkpoint is forgotten, two transactions become one, somebody more has the owner's "
     "role, and the region calls itself a replica, at some place in some topic",
     "roles, source_logins, history_changes, checkpoints, snapshots, acknowledgements, balance_history, "
     "position_history, read_model_watermarks, commits, replica_state, chain_heads.mode",
     (6, 10), None, "superuser: triggers off, UPDATE and DELETE", blind=(*_EVERYTHING, "full --policy"),
     cannot="no signature and no event is about these rows, and none of them changes a balance: a report lists what "
     "they say, or names what of them it did not check, for the auditor to judge", edits=VOUCHED)  # fmt: skip
def what_only_the_region_vouches_for(scene: Scene) -> None:
    for edit in VOUCHED:
        edit.do(scene)
