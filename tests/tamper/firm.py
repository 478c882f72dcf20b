"""
Make the good world that every way breaks a copy of: two regions, a topic between them, and who keeps evidence.

The history has at least one row in every read model, and enough trading to fill several tiles. It is sealed twice, each
time cosigned by the other region and by two of three witnesses at least, and archived; some events come after the
newest checkpoint, as they always do. What an auditor and an engine keep for themselves is beside it: checkpoints,
states of earlier verifications, receipts, a proof. Backups of the first moment are what is put back later.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from ledger import Group, Ledger, Receipt
from ledger.archiving.stores import Folder
from ledger.archiving.writer import Archive
from ledger.chain import entry
from ledger.chain.entry import RecordedEvent
from ledger.chain.signatures import KeyPair
from ledger.cli.creation import named
from ledger.domain.events.cash import CashMoved, FeeCharged
from ledger.domain.events.executions import TradeExecuted
from ledger.domain.events.orders import OrderAccepted, OrderCanceled, OrderPlaced
from ledger.evidence import tree
from ledger.evidence.note import SigningKey
from ledger.evidence.payload_file import PayloadFile
from ledger.evidence.policy import Policy
from ledger.evidence.proof_file import ProofFile
from ledger.journal.chain_creation import create_chain
from ledger.reading import snapshots
from ledger.reading.follower import Follower
from ledger.sandbox.kafka import Broker
from ledger.sandbox.postgres import Server
from ledger.sealing import services
from ledger.sealing.promises import Promises
from ledger.storage import chains, events, evidence
from ledger.storage import database as db
from replicator.applier import Applier
from replicator.publisher import Publisher
from tests import programs
from tests.conftest import ORIGIN, Database, copy_database
from tests.domain.books import DAY
from tests.sealing.logs import WITNESSES, served
from tests.sealing.regions import CHECKPOINT, LOG_KEY, REPLICA, REPLICA_KEY, members, replica, sealing, signer
from tests.verifier.two_regions import two_of_each

ROOT: Final = Path(__file__).parents[2]
PUBLISHER: Final = KeyPair("publisher", "region-a", bytes(31) + b"\x21")
RECOVERY: Final = KeyPair("recovery", "safe", bytes(31) + b"\x22")
QUORUM: Final = 2
"""How many of the three witnesses have to agree: any two quorums then share one."""
TAIL: Final = 9
"""How many orders come after the newest checkpoint."""
_PATIENCE_S: Final = 120


class Firm(msgspec.Struct):
    """
    The good world: databases, files and addresses. Nothing in it is broken; ways break copies.

    `sizes` are of the two checkpoints; `then` are the backups of region A and of the signer's state at the first.
    """

    folder: Path
    servers: tuple[Server, Server]
    migrated: tuple[str, str]
    kafka: Broker
    a: Database
    b: Database
    chain_id: bytes = b""
    then: Database | None = None
    sizes: tuple[int, ...] = ()
    head: int = 0
    witnesses: tuple[str, ...] = ()
    signer: str = ""
    still: dict[str, str] = {}
    """For each region a copy that nobody ever connects to, from which others are made."""

    @property
    def fsck(self) -> Path | None:
        """Tessera's program, where somebody built it."""
        return programs.path_of("fsck")

    def policy_text(self, urls: tuple[str, ...] | None = None) -> str:
        """Return the auditor's policy; *urls* are other addresses of the witnesses."""
        lines = [f"log {LOG_KEY.verifier.text()}"]
        for number, (key, url) in enumerate(zip(WITNESSES, urls or self.witnesses, strict=True)):
            lines.append(f"witness w{number} {key.verifier.text()} {url}")
        return "\n".join([*lines, f"group outside {QUORUM} w0 w1 w2", "quorum outside", ""])

    def ends(self) -> set[int]:
        """Return the last seq of every transaction of region A."""
        with db.connect(self.a.dsn("auditor"), "tamper") as connection:
            found = connection.execute("SELECT last_seq FROM ledger.commits").fetchall()
        return {int(row[0]) for row in found}

    def events(self, region: Database | None = None) -> list[RecordedEvent]:
        """Return every event of region A, or of another."""
        with db.connect((region or self.a).dsn("auditor"), "tamper") as connection:
            chain = chains.find(connection, ORIGIN)
            return list(events.read(connection, chain.chain, chain.chain_id))


@contextlib.contextmanager
def witness(folder: Path, key: SigningKey) -> Iterator[str]:
    """Serve a witness of our log, on the true time."""
    folder.mkdir(parents=True, exist_ok=True)
    name = key.name.rpartition("/")[2]
    with Promises(folder / f"{name}.json") as state:
        logs = {ORIGIN: [LOG_KEY.verifier]}
        respond = services.witness_of(state, logs, key, lambda: int(time.time()), folder / f"{name}.evidence")
        with served(respond) as address:
            yield address


def members_of(urls: tuple[str, ...]) -> Policy:
    """Return the witnesses and their quorum, as the sealer and the signer have them."""
    return members("w", WITNESSES, list(urls), QUORUM)


def trading(start: int, count: int) -> Iterator[Group]:
    """Yield the requests of so many orders: some fill, some are cancelled, and a fee or a deposit comes between."""
    for n in range(start, start + count):
        name, price = f"t{n}", str(90 + n % 20)
        buys = n % 2 == 0
        order = OrderPlaced(order_id=name, cl_ord_id=f"c-{name}", account="A", instrument="BTCUSDT",
                            side="buy" if buys else "sell", qty="0.02", ord_type="limit", price=price)  # fmt: skip
        yield Group((order,), f"{name}-placed", "trader-7")
        accepted = OrderAccepted(order_id=name, venue="V", venue_order_id=f"v-{name}")
        if n % 3 == 2:
            yield Group((accepted,), f"{name}-accepted", "gateway")
            yield Group((OrderCanceled(order_id=name),), f"{name}-cancelled", "trader-7")
        else:
            trade = TradeExecuted(exec_id=f"x-{name}", venue="V", order_id=name, account="A", instrument="BTCUSDT",
                                  side=order.side, qty="0.02", price=price, trade_date=DAY)  # fmt: skip
            yield Group((accepted, trade), f"{name}-filled", "gateway")
        if n % 5 == 0:
            moved: Any = CashMoved(movement_id=f"m-{name}", account="A", asset="USDT", amount="25", kind="deposit",
                                   value_date=DAY)  # fmt: skip
            yield Group((moved,), f"{name}-moved", "treasury")
        if n % 7 == 0:
            fee = FeeCharged(fee_id=f"f-{name}", account="A", kind="k", asset="USDT", amount="0.5")
            yield Group((fee,), f"{name}-fee", "treasury")


def append(region: Database, groups: Iterator[Group], receipts: Path | None = None) -> int:
    """Append *groups*, keep their receipts as the engine does, and return the seq of the head."""
    with Ledger.open(region.dsn("writer")) as ledger:
        lines = []
        for outcome in ledger.append_many(groups):
            if not isinstance(outcome, Receipt):
                raise outcome
            lines.append(msgspec.json.encode(outcome) + b"\n")
        if receipts is not None:
            with receipts.open("ab") as file:
                file.writelines(lines)
        return ledger.head().seq


def in_step(firm: Firm) -> None:
    """Carry all that region A has to region B, through the topic."""
    publisher = Publisher(firm.a.dsn("publisher"), ORIGIN, firm.kafka.bootstrap, PUBLISHER)
    with contextlib.closing(publisher):
        applier = Applier(
            firm.b.dsn("applier"), ORIGIN, firm.chain_id, firm.kafka.bootstrap, PUBLISHER.public_key, REPLICA
        )
        with contextlib.closing(applier):
            deadline = time.monotonic() + _PATIENCE_S
            while publisher.status.acknowledged_seq < firm.head:
                publisher.step()
                applier.step(20)
                if time.monotonic() > deadline:
                    raise TimeoutError("region B did not catch up")


def _archive(firm: Firm) -> None:
    """Archive what the newest checkpoint covers."""
    with db.connect(firm.a.dsn("reader"), "tamper") as connection:
        row = evidence.newest(connection, 1)
        assert row is not None
        stored = events.read(connection, 1, firm.chain_id, 0, row.size)
        read = list(stored)
    Archive(Folder(firm.folder / "archive"), firm.chain_id, ORIGIN).extend(
        row.note, lambda after: (event for event in read if event.seq > after), firm.policy_text().encode(),
        lambda what, count: None,
    )  # fmt: skip
    (firm.folder / f"kept.{row.size}.checkpoint").write_bytes(row.note)


def _prove(firm: Firm) -> None:
    """Make the proof of one trade, with its content beside it."""
    proven = next(x for x in firm.events() if x.event_type == "TradeExecuted" and x.seq > firm.sizes[0] // 2)
    with db.connect(firm.a.dsn("reader"), "tamper") as connection:
        row = evidence.newest(connection, 1)
        assert row is not None
        read = evidence.nodes(connection, 1, row.size)
        hashes = tree.prove_inclusion(read, proven.seq - 1, row.size)
    laid_out = entry.encode(proven)
    proof = ProofFile(proven.seq - 1, tuple(hashes), row.note, laid_out)
    (firm.folder / "event.tlog-proof").write_bytes(proof.encode())
    (firm.folder / "event.json").write_bytes(PayloadFile(laid_out, proven.salt, proven.payload).encode())


def verifier(*words: str) -> subprocess.CompletedProcess[bytes]:
    """Run the verifier as an auditor does."""
    command = [sys.executable, "-m", "verifier", *words, "--format", "json"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=_PATIENCE_S)


def _remember(firm: Firm) -> None:
    """Verify region A as it is, and keep the states that later verifications go on from."""
    for mode, state in (("incremental", "books"), ("scrub", "round.json")):
        more = ("--share", "1") if mode == "scrub" else ()
        done = verifier(mode, "--state", str(firm.folder / state), "--dsn", firm.a.dsn("auditor"), *more)
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


@contextlib.contextmanager
def working(
    folder: Path, servers: tuple[Server, Server], migrated: tuple[str, str], kafka: Broker,
    orders: int = 400, tell: Callable[[str], None] = lambda what: None,
) -> Iterator[Firm]:  # fmt: skip
    """
    Yield the world, whose witnesses and signer answer until the block ends; *migrated* names a template on each server.
    """
    folder.mkdir(parents=True, exist_ok=True)
    a, b = (Database(server, f"tamper_{name}") for server, name in zip(servers, "ab", strict=True))
    firm = Firm(folder, servers, migrated, kafka, a, b)
    for region, template in zip((a, b), migrated, strict=True):
        copy_database(region.server, region.name, template)
    keys = named([CHECKPOINT, PUBLISHER, REPLICA, RECOVERY])
    firm.chain_id = create_chain(a.dsn("owner"), ORIGIN, keys, [("writer", "engine")])[0].chain_id
    tell("recording a history with a row in every read model")
    with Ledger.open(a.dsn("writer")) as ledger:
        two_of_each(ledger)
    receipts = folder / "receipts.jsonl"
    with contextlib.ExitStack() as stack:
        firm.witnesses = tuple(stack.enter_context(witness(folder / "witnesses", key)) for key in WITNESSES)
        # It is connected to region B, which can be copied only when nobody is.
        copying = stack.enter_context(contextlib.ExitStack())
        url = copying.enter_context(replica(folder, b))
        needed = members("r", [REPLICA_KEY], [url], 1)
        place = stack.enter_context(signer(folder, needed))
        firm.signer = place.address
        done = 0
        for share in (orders // 2, orders - orders // 2):
            firm.head = append(a, trading(done, share), receipts)
            done += share
            tell(f"replicating, sealing and archiving {firm.head:,} events")
            in_step(firm)
            with sealing(a, place, needed, members_of(firm.witnesses)) as sealer:
                sealed = sealer.seal()
            assert sealed is not None
            assert sealed.is_witnessed
            firm.sizes = (*firm.sizes, sealed.sealed.size)
            _archive(firm)
            if firm.then is None:
                with Follower(a.dsn("writer")) as keeper:
                    keeper.step()
                snapshots.make(a.dsn("writer"), None, None)
                firm.then = Database(a.server, f"{a.name}_then")
                copy_database(a.server, firm.then.name, a.name)
                shutil.copy(folder / "signer.json", folder / "signer.then.json")
        _prove(firm)
        # As an auditor has it who came by a moment ago: the newest events are new to them.
        _remember(firm)
        shutil.copy(receipts, folder / "receipts.archived.jsonl")
        firm.head = append(a, trading(done, TAIL), receipts)
        in_step(firm)
        (folder / "policy").write_text(firm.policy_text())
        (folder / "log.vkey").write_text(LOG_KEY.verifier.text() + "\n")
        copying.close()
        for region in (a, b):
            firm.still[region.name] = still = f"{region.name}_still"
            copy_database(region.server, still, region.name)
            for name in (region.name, still):
                stack.callback(region.server.sql, f"DROP DATABASE {name} WITH (FORCE)")
        stack.callback(a.server.sql, f"DROP DATABASE {a.name}_then WITH (FORCE)")
        yield firm
