"""
Have a repair write what is false: by a copy that lies, by one that lies to some questions, by a tail sealed before.

What a plan would write is put into the plan by hand where the planner leaves it, so that applying it is tried as well:
the refusal is that of `repair apply`, and nothing is written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from blake3 import blake3

from ledger.chain import entry
from ledger.chain.entry import RecordedEvent, split_payload
from ledger.evidence import policy, tree
from ledger.evidence.policy import Policy
from ledger.repairing import sources
from ledger.repairing.plan import RESTORE, Plan, Write
from ledger.repairing.sources import Source
from ledger.repairing.wanted import EVENTS
from tests.conftest import ORIGIN, Database
from tests.repairing.mending import applied, planned
from tests.sealing.logs import WITNESSES
from tests.sealing.regions import NOBODY, sealing, signer
from tests.tamper.firm import members_of
from tests.tamper.firm import witness as serving
from tests.tamper.forging import given, relink
from tests.tamper.scene import Scene
from tests.tamper.way import Caught, Unexpected, refused, way
from tests.tamper.ways.events import trade

_EDITED: Final = "superuser of region A: UPDATE; superuser of region B, which is named with --replica"
_ALL: Final = "position('unnest' in current_query()) > 0"
"""What tells, inside the copy's database, a question for single events from one for all of them."""


def _rules(scene: Scene) -> Policy:
    return policy.decode(Path(scene.words["policy"]).read_bytes())


def _false(history: Sequence[RecordedEvent], seq: int) -> RecordedEvent:
    """Return the event with another actor, and the hash of that."""
    made = msgspec.structs.replace(history[seq - 1], actor="nobody")
    return msgspec.structs.replace(made, hash=blake3(entry.encode(made)).digest())


def _mended(scene: Scene, copy: Database, false: RecordedEvent) -> Caught:
    """Return why the event, which was changed here, is not restored from a copy that has the *false* one."""
    with contextlib.ExitStack() as stack:
        found: list[Source] = [stack.enter_context(sources.database_at(sources.REPLICA, copy.dsn("auditor"), ORIGIN))]
        plan = planned(scene.region, _rules(scene), found)
        if any(write.seq == false.seq for write in plan.writes):
            raise Unexpected(f"the plan restores {plan.writes}")
        leaf = tree.leaf_hash(entry.encode(false)).hex()
        write = Write(what=RESTORE, table=EVENTS, source=sources.REPLICA, seq=false.seq, hash=false.hash.hex(),
                      leaf=leaf, columns=("actor",))  # fmt: skip
        caught = _refused(scene, msgspec.structs.replace(plan, writes=(write,)), found)
    return msgspec.structs.replace(caught, seq=false.seq)


def _refused(scene: Scene, plan: Plan, found: Sequence[Source]) -> Caught:
    """Return the refusal of a plan, which has to leave everything as it is."""
    before = _kept(scene.region)
    caught = refused(lambda: applied(scene.region, _rules(scene), plan, found))
    if _kept(scene.region) != before:
        raise Unexpected("something was written")
    return caught


def _kept(region: Database) -> object:
    return region.sql("SELECT count(*) FROM ledger.history_changes")


@way("a repair is fed an event by a copy that has another in its place, every hash after it made anew", "events.actor",
     (10,), "repair", _EDITED)  # fmt: skip
def a_copy_that_lies_to_a_repair(scene: Scene) -> Caught:
    seq, history = trade(scene), scene.firm.events()
    scene.intruder().edit("events", f"UPDATE ledger.events SET actor = 'mallory' WHERE seq = {seq}")
    copy = scene.copy(scene.firm.b)
    relink(scene.intruder(copy), history, seq, lambda x: msgspec.structs.replace(x, actor="nobody"))
    return _mended(scene, copy, _false(history, seq))


@way("a repair is fed an event by a copy that says a false one to whoever asks for it, and the true one to whoever "
     "asks for all; tiles are nowhere", "events.actor", (10,), "repair", _EDITED)  # fmt: skip
def a_copy_that_lies_to_some_questions(scene: Scene) -> Caught:
    seq, history = trade(scene), scene.firm.events()
    false = _false(history, seq)
    intruder = scene.intruder()
    intruder.edit("events", f"UPDATE ledger.events SET actor = 'mallory' WHERE seq = {seq}")
    intruder.edit("tiles", "DELETE FROM ledger.tiles")
    copy = scene.copy(scene.firm.b)
    liar = scene.intruder(copy)
    liar.edit("tiles", "DELETE FROM ledger.tiles")
    for statement in (
        "ALTER TABLE ledger.events RENAME TO events_true",
        f"CREATE TABLE ledger.events_false AS SELECT * FROM ledger.events_true WHERE seq = {seq}",
        f"UPDATE ledger.events_false SET actor = 'nobody', hash = '\\x{false.hash.hex()}'",
        f"CREATE VIEW ledger.events AS SELECT * FROM ledger.events_true WHERE NOT (seq = {seq} AND {_ALL})"
        f" UNION ALL SELECT * FROM ledger.events_false WHERE {_ALL}",
        "GRANT SELECT ON ledger.events TO PUBLIC",
    ):
        liar.connection.execute(statement.encode())
    return _mended(scene, copy, false)


@way("an event behind the newest checkpoint is forged with good hashes and then sealed, so that honest books would be "
     "made to fit it", "events.payload", (6, 7), "repair",
     "superuser: triggers off; the event, and every hash from it to the head, made anew; then `tradeledger seal`, and "
     "a repair of what `full` finds")  # fmt: skip
def books_to_fit_a_sealed_tail(scene: Scene) -> Caught:
    history, region = scene.firm.events(), scene.region
    seq = next(x.seq for x in reversed(history) if x.event_type == "FeeCharged" and x.seq > scene.firm.sizes[-1])

    def forged(event: RecordedEvent) -> RecordedEvent:
        made = given(event, b'"kind":"k"', b'"kind":"j"')
        asked = [(made.event_type, made.schema_version, made.occurred_at, split_payload(made.payload)[1])]
        return msgspec.structs.replace(made, request_hash=entry.request_hash(made.salt, asked))

    relink(scene.intruder(), history, seq, forged)
    folder = scene.folder / "sealed"
    folder.mkdir()
    urls = tuple(scene.stack.enter_context(serving(folder, key)) for key in WITNESSES)
    with signer(folder) as place, sealing(region, place, NOBODY, members_of(urls)) as sealer:
        outcome = sealer.seal()
    if outcome is None or outcome.sealed.size < seq:
        raise Unexpected("the forged tail was not sealed")
    plan = planned(region, _rules(scene), ())
    if plan.writes:
        raise Unexpected(f"the plan makes {plan.writes} fit")
    # Of somebody who said that the events were held against receipts, and applied by one who does not say so.
    return _refused(scene, planned(region, _rules(scene), (), despite_record=True), ())
