"""
Set times back or forward: without hashing again, with it, and by the clock of the machine that appends.
"""

from __future__ import annotations

import time
from typing import Final

import msgspec

from ledger import Ledger
from ledger.chain import event_id
from ledger.chain.entry import RecordedEvent
from ledger.chain.link import ChainHead
from tests.journal.test_ledger import fee
from tests.sealing.logs import WITNESSES
from tests.sealing.regions import NOBODY, sealing, signer
from tests.tamper.firm import members_of, witness
from tests.tamper.forging import grown, linked, relink
from tests.tamper.modes import MAX_AGE_S
from tests.tamper.scene import Scene
from tests.tamper.way import Caught, Expected, Unexpected, refused, way
from tests.verifier.intruder import Intruder

_DAY_NS: Final = 86_400 * 10**9
_HOW: Final = "superuser: the time, and every hash behind it, made anew"


def moved(event: RecordedEvent, by_ns: int) -> RecordedEvent:
    """Return the event as if it had been recorded at another time, with an id of that time."""
    now = event.recorded_at + by_ns
    random = event.event_id[-7:]
    return msgspec.structs.replace(event, recorded_at=now, event_id=event_id.make(now, random))


@way("an event is backdated by a day, and the chain hashed again", "events.recorded_at", (17,), "chain", _HOW,
     also=("full",))  # fmt: skip
def an_event_backdated(scene: Scene) -> Expected:
    seq = scene.firm.sizes[0] // 2
    relink(scene.intruder(), scene.firm.events(), seq, lambda x: moved(x, -_DAY_NS))
    return Expected(kind="CLOCK", seq=seq, column="recorded_at")


@way("the id of an event tells another time than the event", "events.event_id", (17,), "chain", _HOW)
def an_id_of_another_time(scene: Scene) -> Expected:
    seq = scene.firm.sizes[0] // 2
    made = scene.firm.events()
    relink(scene.intruder(), made, seq,
           lambda x: msgspec.structs.replace(x, event_id=moved(x, -_DAY_NS).event_id))  # fmt: skip
    return Expected(kind="CLOCK", seq=seq, column="event_id")


@way("the whole history is moved back by a day: all times, ids, links, tiles", "events.recorded_at", (7, 17), "open",
     "superuser: every event and the tree made anew; checkpoints deleted",
     also=("full --expect", "incremental"),
     otherwise={"incremental": Expected(kind="CHECKPOINT_INCONSISTENT")})  # fmt: skip
def a_history_moved_back(scene: Scene) -> Expected:
    old = scene.firm.events()
    new = linked((moved(x, -_DAY_NS) for x in old), ChainHead(0, old[0].prev_hash))
    intruder = scene.intruder()
    with intruder.connection.cursor() as cursor:
        cursor.execute("ALTER TABLE ledger.events DISABLE TRIGGER ALL")
        cursor.executemany(
            "UPDATE ledger.events SET prev_hash = %s, hash = %s, recorded_at = %s, event_id = %s WHERE seq = %s",
            [(x.prev_hash, x.hash, x.recorded_at, x.event_id.hex(), x.seq) for x in new],
        )
    intruder.edit("events", "SELECT 1")
    intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET hash = %s, recorded_at = %s", new[-1].hash,
                  new[-1].recorded_at)  # fmt: skip
    intruder.edit("checkpoints", "DELETE FROM ledger.checkpoints")
    grown(scene.region)
    return Expected(kind="INCONSISTENT")


@way("the head is moved into the future, so that every later event would be, too", "chain_heads.recorded_at", (17,),
     "append", "superuser: UPDATE of the head; then the engine appends", also=("open",),
     otherwise={"open": Expected(kind="CLOCK", table="chain_heads", column="recorded_at")})  # fmt: skip
def a_head_in_the_future(scene: Scene) -> Caught:
    with Intruder(scene.region) as intruder:
        ahead = time.time_ns() + _DAY_NS
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET recorded_at = %s", ahead)

    def appended() -> None:
        with Ledger.open(scene.region.dsn("writer")) as ledger:
            ledger.append(fee("late"), key="late")

    return refused(appended)


@way("a checkpoint is cosigned no more: somebody keeps the world at yesterday", "checkpoints", (10, 17),
     "open --max-age", "operator: nothing is sealed any more")  # fmt: skip
def nothing_sealed_any_more(scene: Scene) -> Expected:
    folder = scene.folder / "sealing"
    folder.mkdir()
    urls = tuple(scene.stack.enter_context(witness(folder, key)) for key in WITNESSES)
    place = scene.stack.enter_context(signer(folder))
    policy = scene.folder / "its.policy"
    policy.write_text(scene.firm.policy_text(urls))
    scene.words["policy"] = str(policy)
    with sealing(scene.region, place, NOBODY, members_of(urls)) as sealer:
        sealer.seal()
    answer = scene.ask("open --max-age")
    if answer.status:
        raise Unexpected(f"what was sealed a moment ago is called old: {answer.said}")
    time.sleep(MAX_AGE_S + 1)
    return Expected(kind="STALE")
