"""
Take no checkpoint away while it is in doubt which keys the chain named for them.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from ledger import Ledger
from ledger.chain.signatures import KeyPair
from ledger.cli.creation import named
from ledger.evidence import policy
from ledger.evidence.note import ED25519, SigningKey
from ledger.journal.chain_creation import create_chain
from ledger.keyring import changes
from ledger.repairing.plan import NotProven, Write
from ledger.sandbox.postgres import Server
from tests.conftest import ORIGIN, Database, copy_database
from tests.repairing.mending import applied, planned, report_file
from tests.sealing.regions import CHECKPOINT, REPLICA, append, sealing, signer
from tests.verifier.intruder import Intruder, report_on

FRESH = KeyPair("checkpoint", "signer", bytes(31) + b"\x21")
KEY = SigningKey(ORIGIN, ED25519, FRESH.seed)


@pytest.mark.parametrize("edit", [
    "DELETE FROM ledger.chain_keys WHERE key_id = %s",
    "UPDATE ledger.chain_keys SET public_key = repeat('ab', 32) WHERE key_id = %s",
], ids=["gone", "another"])  # fmt: skip
def test_what_an_earlier_key_signed_is_not_taken_away(
    pg_server: Server, migrated: str, tmp_path: Path, edit: str
) -> None:
    """The policy lists the new key alone; the row that names the old one, and a root that it signed, are edited."""
    database = Database(pg_server, f"named_keys_{edit[:6].lower()}")
    copy_database(pg_server, database.name, migrated)
    create_chain(database.dsn("owner"), ORIGIN, named([CHECKPOINT, REPLICA]), [("writer", "engine")])
    with signer(tmp_path) as place, sealing(database, place) as sealer:
        append(database, 69)
        assert sealer.seal() is not None
    with Ledger.open(database.dsn("writer")) as ledger:
        ledger.append(changes.rotation(CHECKPOINT, FRESH), key="rotation")
    (tmp_path / "new").mkdir()
    with signer(tmp_path / "new", key=KEY) as place, sealing(database, place) as sealer:
        assert sealer.seal() is not None
    rules = policy.decode(f"log {KEY.verifier.text()}\nquorum none\n".encode())
    with Intruder(database) as intruder:
        intruder.unguard("chain_keys")
        intruder.edit("chain_keys", edit, CHECKPOINT.key_id)
        intruder.edit("checkpoints", "UPDATE ledger.checkpoints SET root = sha256('x') WHERE size = 70")
    # Whatever the report says of the rows that name keys, and whether it says anything of them.
    whole = report_file(database)
    named_alone = json.loads(whole)
    named_alone["findings"] = [x for x in named_alone["findings"] if x.get("table") == "checkpoints"]
    for data in (json.dumps(named_alone).encode(), whole):
        plan = planned(database, rules, [], data)
        assert not any(write.what == "remove" for write in plan.writes)
        assert "no copy has a checkpoint of 70 events" in " ".join(one.reason for one in plan.left())
    removed = Write(what="remove", table="checkpoints", source="replay", size=70)
    with pytest.raises(NotProven, match="which a log has signed"):
        applied(database, rules, msgspec.structs.replace(plan, writes=(removed,)), [])
    applied(database, rules, plan, [])
    assert database.sql("SELECT count(*) FROM ledger.checkpoints WHERE size = 70") == "1"
    left = {(one.table, one.key) for one in report_on(database).findings if one.kind != "GUARD_CHANGED"}
    assert left == {("checkpoints", ("70",))}
    # By the keys that are whole again it is one that a log has signed.
    assert not any(write.what == "remove" for write in planned(database, rules, []).writes)
    pg_server.sql(f"DROP DATABASE {database.name} WITH (FORCE)")
