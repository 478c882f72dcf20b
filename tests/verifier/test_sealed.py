"""
Edit every column of the tree's tiles and of the checkpoints, rewrite the history behind them, and see it named.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ledger.domain.rows import ChainKey
from ledger.evidence import checkpoint, note, policy, tree
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.note import ED25519, SigningKey
from ledger.evidence.policy import Policy
from ledger.sandbox.postgres import Server
from ledger.storage import chains
from ledger.storage import database as db
from ledger.storage import events as stored
from tests.conftest import ORIGIN, Database, copy_database
from tests.sealing.logs import WITNESSES
from tests.sealing.regions import LOG_KEY, append, make_chain, members, sealing, signer, witness
from tests.tamper.forging import relink
from tests.verifier.intruder import Intruder, changed, columns, copied, real
from verifier.forms.sentences import verdict
from verifier.full import verify
from verifier.reader import Reader
from verifier.report import Finding, Report
from verifier.signed import Signed
from verifier.stored import CheckpointRow, Unreadable

MOVED = {"level": "level + 5", "number": "number + 70", "size": "size + 1", "sealed_at": "1"}
"""How a column is edited that another edit would move to where another row is, or by less than can be told."""
KEYS = {"tiles": ("level", "number"), "checkpoints": ("size",)}
WITNESSED: Policy = policy.decode(
    f"log {LOG_KEY.verifier.text()}\nwitness w {WITNESSES[0].verifier.text()}\nquorum w\n".encode()
)


@pytest.fixture(scope="module")
def made(pg_server: Server, migrated: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A chain with three checkpoints, the newest some events before the head."""
    folder = tmp_path_factory.mktemp("keys")
    database = Database(pg_server, "sealed_for_the_verifier")
    copy_database(pg_server, database.name, migrated)
    make_chain(database)
    with (
        signer(folder) as place,
        witness(folder, WITNESSES[0]) as url,
        sealing(database, place, witnesses=members("w", [WITNESSES[0]], [url], 1)) as sealer,
    ):
        for count in (3, 300, 300):
            append(database, count)
            assert sealer.seal() is not None
    append(database, 5)
    yield database
    pg_server.sql(f"DROP DATABASE {database.name} WITH (FORCE)")


@pytest.fixture(scope="module")
def region(made: Database) -> Iterator[Database]:
    with copied(made) as copy:
        yield copy


def report_on(database: Database, trust: Policy | None = None, expected: list[Checkpoint] | None = None) -> Report:
    with Reader(database.dsn("auditor"), ORIGIN) as reader:
        return verify(reader, trust=trust, expected=expected or [])


def stands(found: list[Finding]) -> list[tuple[str, str | None, tuple[str, ...] | None, str | None]]:
    return [(x.kind, x.table, x.key, x.column) for x in found]


def newest(database: Database) -> tuple[int, bytes]:
    size, text = database.sql("SELECT size, replace(note, E'\\n', '|') FROM ledger.checkpoints "
                              "ORDER BY size DESC LIMIT 1").split("|", 1)  # fmt: skip
    return int(size), text.replace("|", "\n").encode()


def test_what_is_sealed_is_good_before_it_is_edited(made: Database) -> None:
    """With and without a policy; the report says who has seen what."""
    assert report_on(made).findings == []
    report = report_on(made, WITNESSED, [checkpoint.decode_note(newest(made)[1])[0]])
    assert (report.verdict, report.findings) == ("verified", [])
    (seen,) = report.checkpoints
    assert (seen.size, seen.accepted, [one.name for one in seen.cosigned]) == (newest(made)[0], True, ["w"])
    assert "witness w, whose key" in " ".join(report.trusted)


@pytest.mark.parametrize("table", KEYS)
def test_every_column_of_tiles_and_checkpoints_is_held_against_the_events(region: Database, table: str) -> None:
    """One column of each row at a time; a key that moved shows as a row that is missing and one too many."""
    with Intruder(region) as intruder:
        shown = " || '/' || ".join(f"{name}::text" for name in KEYS[table])
        for key in region.sql(f"SELECT {shown} FROM ledger.{table} ORDER BY 1").splitlines():
            for column, kind in columns(region, table).items():
                with intruder.undone(table):
                    if column in MOVED:
                        intruder.edit(
                            table, f"UPDATE ledger.{table} SET {column} = {MOVED[column]} WHERE {shown} = '{key}'"
                        )
                    else:
                        assert changed(intruder, table, column, kind, f"{shown} = '{key}'"), column
                    found = real(report_on(region))
                    assert found, (table, key, column)
                    assert {x.table for x in found} == {table}, (key, column)
                    if column not in ("chain", *KEYS[table]):
                        assert {x.key for x in found} == {tuple(key.split("/"))}, (key, column)


def test_tiles_that_are_missing_cut_or_too_many_are_named(region: Database) -> None:
    edits = {
        "DELETE FROM ledger.tiles WHERE level = 0 AND number = 1": ("tiles", ("0", "1")),
        "DELETE FROM ledger.tiles WHERE level = 1": ("tiles", ("1", "0")),
        "UPDATE ledger.tiles SET hashes = substr(hashes, 1, 8160) WHERE number = 0 AND level = 0":
            ("tiles", ("0", "0")),
        "UPDATE ledger.tiles SET hashes = hashes || substr(hashes, 1, 32) WHERE level = 1": ("tiles", ("1", "0")),
        "INSERT INTO ledger.tiles SELECT chain, 2, 0, substr(hashes, 1, 32) FROM ledger.tiles WHERE level = 1":
            ("tiles", ("2", "0")),
        "DELETE FROM ledger.tiles WHERE level = 0": ("tiles", ("0", "0")),
    }  # fmt: skip
    for edit, (table, key) in edits.items():
        with Intruder(region) as intruder, intruder.undone("tiles"):
            intruder.edit("tiles", edit)
            found = real(report_on(region))
            assert ("TREE_MISMATCH", table, key) in [(x.kind, x.table, x.key) for x in found], edit


def test_the_tiles_that_a_checkpoint_needs_are_missed_also_at_the_end(region: Database) -> None:
    """As many as its row and its note say; of one that is no note, nobody knows what it needs."""
    all_tiles = {tuple(line.split("/")) for line in
                 region.sql("SELECT level || '/' || number FROM ledger.tiles").splitlines()}  # fmt: skip
    last = max(all_tiles, key=lambda key: (-int(key[0]), int(key[1])))
    for edit, gone in {
        f"DELETE FROM ledger.tiles WHERE level = 0 AND number = {last[1]}": {last},
        "DELETE FROM ledger.tiles": all_tiles,
    }.items():
        with Intruder(region) as intruder, intruder.undone("tiles"):
            intruder.edit("tiles", edit)
            found = real(report_on(region, WITNESSED))
            assert {(x.kind, x.key, x.actual) for x in found} == {("TREE_MISMATCH", key, "no such row") for key in gone}
            assert len(found) == len(gone)
    with copied(region) as copy, Intruder(copy) as intruder:
        intruder.edit("tiles", "DELETE FROM ledger.tiles")
        intruder.edit("checkpoints", "UPDATE ledger.checkpoints SET note = 'x'")
        assert {x.kind for x in real(report_on(copy))} == {"CHECKPOINT_SIG"}


def test_a_checkpoint_that_nobody_signed_accuses_no_tile(region: Database) -> None:
    """Its row is wrong, and it alone: tiles of which the log has signed nothing may be on their way."""
    size, _ = newest(region)
    text = Checkpoint(ORIGIN, size, bytes(32)).text()
    stranger = SigningKey(ORIGIN, LOG_KEY.algorithm, bytes([77]) * 32)
    forged = note.with_signatures(text, (stranger.sign(text),)).encode().decode()
    with copied(region) as copy, Intruder(copy) as intruder:
        intruder.edit("tiles", "DELETE FROM ledger.tiles")
        intruder.edit("checkpoints", "DELETE FROM ledger.checkpoints")
        intruder.edit("checkpoints", "INSERT INTO ledger.checkpoints VALUES (1, %s, decode(repeat('00', 32), 'hex'), "
                      "%s, (SELECT max(recorded_at) FROM ledger.events))", size, forged, least=1)  # fmt: skip
        found = real(report_on(copy))
        assert {(x.kind, x.table, x.column) for x in found} == {
            ("TREE_MISMATCH", "checkpoints", "root"), ("CHECKPOINT_SIG", "checkpoints", "note"),
        }  # fmt: skip


def test_what_a_revoked_key_signed_of_larger_trees_does_not_count(made: Database) -> None:
    """As the chain says, whatever the policy does: neither the log's own key nor that of a replica as a witness."""
    size, signed = newest(made)
    row = CheckpointRow(size, checkpoint.decode_note(signed)[0].root, signed, 1)
    good = ChainKey(key_id="k", purpose="checkpoint", name="signer", public_key=LOG_KEY.verifier.public_key.hex(),
                    valid_from_seq=1, valid_to_seq=None, revoked=False)  # fmt: skip
    ended = msgspec.structs.replace(good, valid_to_seq=size - 1, revoked=True)
    witness_ended = msgspec.structs.replace(
        ended, key_id="w", purpose="replica", public_key=WITNESSES[0].verifier.public_key.hex()
    )
    kept = Signed(ORIGIN, [good], WITNESSED)
    assert (kept.check(row), kept.end(), kept.newest is not None) == ([], [], True)
    for keys, kinds in (([ended], ["CHECKPOINT_SIG", "QUORUM_UNMET"]), ([good, witness_ended], ["QUORUM_UNMET"])):
        judge = Signed(ORIGIN, keys, WITNESSED)
        assert [x.kind for x in [*judge.check(row), *judge.end()]] == kinds
    until = Signed(ORIGIN, [msgspec.structs.replace(ended, valid_to_seq=size)], WITNESSED)
    assert (until.check(row), until.end()) == ([], [])


def test_a_leaf_of_another_event_is_named_by_its_seq(region: Database) -> None:
    """The tile and the event disagree at one index: BLAKE3 and SHA-256 are over the same bytes."""
    with Intruder(region) as intruder, intruder.undone("tiles"):
        intruder.edit("tiles", "UPDATE ledger.tiles SET hashes = overlay(hashes placing sha256('x') from 32 * 7 + 1) "
                      "WHERE level = 0 AND number = 1")  # fmt: skip
        (found,) = real(report_on(region))
    assert (found.kind, found.seq, found.key, found.column) == ("TREE_MISMATCH", 264, ("0", "1"), "hashes[7]")


def test_a_tail_that_was_cut_behind_a_checkpoint_is_named(made: Database, tmp_path: Path) -> None:
    """Events, head and all that follows from them are put back as they were; only what was signed knows of more."""
    size, signed = newest(made)
    with copied(made) as old, Intruder(old) as intruder:
        intruder.edit("checkpoints", "DELETE FROM ledger.checkpoints")
        for level in (0, 1):
            intruder.edit("tiles", f"DELETE FROM ledger.tiles WHERE level = {level}")
        stated, _ = checkpoint.decode_note(signed)
        assert real(report_on(old, expected=[stated])) == []
        # Another region of the same chain, restored from before the checkpoint.
        beyond = Checkpoint(ORIGIN, size + 1000, bytes(32))
        (found,) = real(report_on(old, expected=[beyond]))
        assert (found.kind, found.seq) == ("TRUNCATED", int(old.sql("SELECT seq + 1 FROM ledger.chain_heads")))
        forged = Checkpoint(ORIGIN, size, bytes(32))
        # What a witness shows of a log at first, of no events, does not keep the others from being compared.
        for of_nothing in ([], [Checkpoint(ORIGIN, 0, tree.EMPTY_ROOT)]):
            (found,) = real(report_on(old, expected=[*of_nothing, forged]))
            assert (found.kind, found.seq) == ("INCONSISTENT", size)
        (found,) = real(report_on(old, expected=[Checkpoint(ORIGIN, 0, bytes(32))]))
        assert (found.kind, found.seq) == ("INCONSISTENT", 0)


def test_a_replica_that_is_behind_what_was_signed_is_not_called_broken(made: Database) -> None:
    """What it lacks may be on its way: that is no verification, and no finding; beside a finding it is said."""
    text = Checkpoint(ORIGIN, 10_000, bytes(32)).text()
    later = note.with_signatures(text, (LOG_KEY.sign(text), WITNESSES[0].sign(text, 1_700_000_000))).encode()
    stated, _ = checkpoint.decode_note(later)
    with copied(made) as replica, Intruder(replica) as intruder:
        intruder.edit("checkpoints", "DELETE FROM ledger.checkpoints")
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET mode = 'replica'")
        intruder.edit("replica_state", "INSERT INTO ledger.replica_state SELECT 1, 'ledger.' || "
                      "replace(chain_id::text, '-', '') || '.segments.v1', 'x', 5 FROM ledger.chains")  # fmt: skip
        last = int(replica.sql("SELECT seq FROM ledger.chain_heads"))
        lacks = f"events {last + 1} to 10000, of the 10000 that a checkpoint covers"
        for trust in (None, WITNESSED):
            with Reader(replica.dsn("auditor"), ORIGIN) as reader, pytest.raises(Unreadable, match=lacks):
                verify(reader, trust=trust, expected=[stated], notes=[later])
        intruder.edit("events", "UPDATE ledger.events SET actor = 'mallory' WHERE seq = 9")
        with Reader(replica.dsn("auditor"), ORIGIN) as reader:
            report = verify(reader, trust=WITNESSED, expected=[stated], notes=[later])
        assert {(finding.kind, finding.seq) for finding in report.findings} == {("BYTES_MODIFIED", 9)}
        assert any(line.startswith(lacks) for line in report.not_covered)


def test_a_signature_that_is_false_foreign_or_not_enough_is_named(made: Database) -> None:
    """By the chain's own key always, by the policy's where there is one."""
    size, signed = newest(made)
    whole = note.decode(signed)
    stranger = SigningKey(ORIGIN, ED25519, bytes([7]) * 32)
    forgeries = {
        "a signature by another key": note.with_signatures(whole.text, (stranger.sign(whole.text),)),
        "the witness alone": note.with_signatures(whole.text, whole.signatures[1:]),
        "of other text": note.with_signatures(whole.text.replace(ORIGIN, "other.example"), whole.signatures),
    }
    for what, forged in forgeries.items():
        with copied(made) as copy, Intruder(copy) as intruder:
            intruder.edit("checkpoints", "UPDATE ledger.checkpoints SET note = %s WHERE size = %s",
                          forged.encode().decode(), size)  # fmt: skip
            kinds = {(x.kind, x.key) for x in real(report_on(copy))}
            assert kinds == {("CHECKPOINT_SIG", (str(size),))}, what
    with copied(made) as copy, Intruder(copy) as intruder:
        text = "split_part(note, E'\\n\\n', 1) || E'\\n\\n'"
        by_log = "split_part(split_part(note, E'\\n\\n', 2), E'\\n', 1) || E'\\n'"
        intruder.edit("checkpoints", f"UPDATE ledger.checkpoints SET note = {text} || {by_log}")
        assert real(report_on(copy)) == []
        (found,) = real(report_on(copy, WITNESSED))
        assert found.kind == "QUORUM_UNMET"
        intruder.edit("checkpoints", "DELETE FROM ledger.checkpoints")
        (found,) = real(report_on(copy, WITNESSED))
        assert (found.kind, found.actual) == ("QUORUM_UNMET", "no checkpoint at all")


def test_an_event_whose_content_is_not_known_taints_no_tile_and_no_request(region: Database) -> None:
    """The leaf that is stored is the best word there is of the event: what stands above it is right, and said so."""
    seq = 299
    with copied(region) as copy, Intruder(copy) as intruder:
        intruder.edit("events", "UPDATE ledger.events SET payload = '{\"derived\": {}, \"given\": {\"x\": [[]]}}' "
                      f"WHERE seq = {seq}")  # fmt: skip
        found = real(report_on(copy, WITNESSED, [checkpoint.decode_note(newest(copy)[1])[0]]))
        assert [(x.kind, x.seq) for x in found if x.after is None] == [("BYTES_MODIFIED", seq)]
        assert not {x.kind for x in found} & {"TREE_MISMATCH", "INCONSISTENT"}
        assert {x.after for x in found if x.kind == "REQUEST_MISMATCH"} == {seq}
        # With another leaf stored, too, that one is all there is: what it makes of the tree follows from it.
        intruder.edit("tiles", f"UPDATE ledger.tiles SET hashes = set_byte(hashes, 32 * {(seq - 1) % 256}, 1) "
                      f"WHERE level = 0 AND number = {(seq - 1) // 256}")  # fmt: skip
        found = real(report_on(copy))
        assert [(x.kind, x.seq) for x in found if x.after is None] == [("BYTES_MODIFIED", seq)]
        assert ("TREE_MISMATCH", seq) in {(x.kind, x.after) for x in found}


def test_of_a_history_that_was_rewritten_nothing_is_said_to_be_as_it_was_recorded(made: Database) -> None:
    """The region kept no checkpoint; the one that was brought is of another history, or of more events than these."""
    size, signed = newest(made)
    stated, _ = checkpoint.decode_note(signed)
    with copied(made) as other, Intruder(other) as intruder:
        with db.connect(other.dsn("reader"), "test") as connection:
            chain = chains.find(connection, None)
            history = list(stored.read(connection, chain.chain, chain.chain_id))
        relink(intruder, history, size - 50, lambda event: msgspec.structs.replace(event, actor="mallory"))
        for table in ("tiles", "checkpoints"):
            intruder.edit(table, f"DELETE FROM ledger.{table}")
        for cut, kind in ((0, "INCONSISTENT"), (10, "TRUNCATED")):
            if cut:
                intruder.edit("events", f"DELETE FROM ledger.events WHERE seq > {size - cut}")
            with Reader(other.dsn("auditor"), ORIGIN) as reader:
                report = verify(reader, trust=WITNESSED, expected=[stated], notes=[signed])
            assert kind in {finding.kind for finding in report.findings if finding.table is None}
            assert [(seen.size, seen.accepted) for seen in report.checkpoints] == [(size, False)]
            assert "as they were recorded" not in verdict(report)
            assert cut or report.last_good_seq == 0


@pytest.mark.parametrize("is_brought", [False, True])
def test_behind_an_event_that_is_missing_no_checkpoint_vouches_for_a_rewritten_history(
    made: Database, is_brought: bool
) -> None:
    """No root can be held against its own: the largest one before the gap is what others are known to have seen."""
    size, signed = newest(made)
    stated, _ = checkpoint.decode_note(signed)
    older = int(made.sql(f"SELECT max(size) FROM ledger.checkpoints WHERE size < {size}"))
    with db.connect(made.dsn("reader"), "test") as connection:
        chain = chains.find(connection, None)
        history = list(stored.read(connection, chain.chain, chain.chain_id))
    for seq, vouched in ((size - 50, True), (older - 50, False)):
        with copied(made) as other, Intruder(other) as intruder:
            relink(intruder, history, seq, lambda event: msgspec.structs.replace(event, actor="mallory"))
            intruder.edit("events", f"DELETE FROM ledger.events WHERE seq = {size - 10}")
            intruder.edit("tiles", "DELETE FROM ledger.tiles")
            with Reader(other.dsn("auditor"), ORIGIN) as reader:
                brought = ([stated], [signed]) if is_brought else ([], [])
                report = verify(reader, trust=WITNESSED, expected=brought[0], notes=brought[1])
        assert [(seen.size, seen.accepted) for seen in report.checkpoints] == [(older, vouched)]
        assert (f"The first {older} events are as they were recorded" in verdict(report)) is vouched
        assert f"The first {size - 11} events" not in verdict(report)
        assert any(f"whether events 1 to {size - 11} are those" in line for line in report.not_covered)
