"""
Start a region as it was left, as an old backup of it, as another history; and with nobody outside to ask.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import msgspec
import pytest

from ledger.evidence import checkpoint, note, policy, tree, witness
from ledger.evidence.checkpoint import Checkpoint
from ledger.evidence.policy import Policy
from ledger.sandbox.postgres import Server
from ledger.sealing import asking
from ledger.sealing.places import Place
from ledger.sealing.serving import Reply
from tests.conftest import Database, copy_database
from tests.sealing.logs import WITNESSES, served
from tests.sealing.regions import LOG_KEY, append, make_chain, members, sealing, signer
from tests.sealing.regions import witness as serving
from tests.tiled.sealed import Sealed, stands
from tests.verifier.intruder import Intruder, copied
from verifier.stored import Unreadable
from verifier.tiled import opening, outside
from verifier.tiled.opening import Opened

NOBODY = "http://127.0.0.1:9"
"""Where nobody listens."""


def opened(
    sealed: Sealed, trust: Policy | None = None, signer: str | None = None, max_age: int | None = None, now: int = 0
) -> Opened:
    found = trust or sealed.policy()
    with sealed.region() as region:
        return opening.verify(
            region, found, lambda kept: outside.ask(found, region.origin, signer, kept), max_age,
            (lambda: now * 10**9) if now else time.time_ns,
        )  # fmt: skip


def found(sealed: Sealed, **more: object) -> list[str]:
    return [x.kind for x in opened(sealed, **more).report.findings]  # type: ignore[arg-type]


def test_a_region_as_it_was_left_may_start(made: Sealed) -> None:
    report = opened(made, signer=made.signer).report
    assert (report.verdict, report.findings, report.events) == ("verified", [], 1305)
    assert "witness w shows a checkpoint of 1300 events" in report.covered
    assert "the signer shows a checkpoint of 1300 events" in report.covered
    assert "events 1301 to 1305, which no accepted checkpoint covers yet" in " ".join(report.not_covered)


@pytest.mark.parametrize("asked", ["witness", "signer"])
def test_an_old_backup_that_was_put_back_is_a_rollback(
    pg_server: Server, migrated: str, tmp_path: Path, asked: str
) -> None:
    """A copy of the whole database from before the last checkpoint: everything in it fits, and it is too short."""
    database = Database(pg_server, f"backed_up_{asked}")
    copy_database(pg_server, database.name, migrated)
    make_chain(database)
    with signer(tmp_path) as place, serving(tmp_path, WITNESSES[0]) as url:
        witnesses = members("w", [WITNESSES[0]], [url], 1)
        now = Sealed(database, place.address, url)
        with sealing(database, place, witnesses=witnesses) as sealer:
            append(database, 9)
            sealer.seal()
        with copied(database) as backup:
            with sealing(database, place, witnesses=witnesses) as sealer:
                append(database, 5)
                sealer.seal()
            before = Sealed(backup, place.address, url)
            trust = now.policy() if asked == "witness" else policy.decode(now.policy_text(NOBODY, "none").encode())
            outside_of = None if asked == "witness" else place.address
            assert found(now, trust=trust, signer=outside_of) == []
            (finding,) = opened(before, trust, outside_of).report.findings
            assert (finding.kind, finding.seq, finding.actual) == ("ROLLBACK", 11, "10 events")
            assert "15 events, which" in finding.expected
            # What was signed goes with the finding, for whoever doubts it.
            signed = finding.expected.partition("seen signed: ")[2].encode()
            assert checkpoint.decode_note(signed)[0].size == 15
            with Intruder(backup) as intruder, intruder.undone("chain_heads"):
                intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET mode = 'replica'")
                # A replica may simply be behind; what else is wrong with it is told all the same.
                with pytest.raises(Unreadable, match=r"lacks events 11 to 15, of the 15 that .* has seen signed"):
                    opened(before, trust, outside_of)
                intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET hash = sha256('x')")
                report = opened(before, trust, outside_of).report
                assert [x.kind for x in report.findings] == ["HEAD_MISMATCH"]
                assert any("has not got to this replica yet" in line for line in report.not_covered)
            # The restored region goes on by itself, past what was seen: another history of the same length.
            append(backup, 7)
            fork = opened(before, trust, outside_of)
            assert [x.kind for x in fork.report.findings] == ["INCONSISTENT"]
            assert [(x.seq, x.actual.startswith("root ")) for x in fork.report.findings] == [(15, True)]
    pg_server.sql(f"DROP DATABASE {database.name} WITH (FORCE)")


def test_who_has_no_way_to_show_what_is_kept_is_asked_about_the_one_here(
    pg_server: Server, migrated: str, tmp_path: Path
) -> None:
    """A witness without a reading path says 404, and so does a server at whose address nothing is."""
    database = Database(pg_server, "not_shown")
    copy_database(pg_server, database.name, migrated)
    make_chain(database)
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(signer(tmp_path))
        url = stack.enter_context(serving(tmp_path, WITNESSES[0]))

        def unseen(method: str, path: str, body: bytes) -> Reply:
            if method == "GET":
                return Reply(404, b"404 page not found\n")
            status, kind, said = Place(url).ask(method, path, body)
            return Reply(status, said, kind)

        silent = stack.enter_context(served(unseen))
        nobody = stack.enter_context(served(lambda method, path, body: Reply(404, b"<html>nothing</html>")))
        witnesses = members("w", [WITNESSES[0]], [url], 1)
        with sealing(database, place, witnesses=witnesses) as sealer:
            append(database, 9)
            sealer.seal()
        report = opened(Sealed(database, place, silent)).report
        assert (report.verdict, report.findings) == ("verified", [])
        assert "witness w shows none, and answers that it keeps one of 10 events" in report.covered
        with pytest.raises(Unreadable, match="answers with status 404: '<html>nothing</html>'"):
            opened(Sealed(database, place, nobody))
        with copied(database) as backup:
            with sealing(database, place, witnesses=witnesses) as sealer:
                append(database, 5)
                sealer.seal()
            with pytest.raises(Unreadable, match="keeps a checkpoint of 15 events, more than the 10 of the one here"):
                opened(Sealed(backup, place, silent))
            # A signer that has signed nothing has lost its state, or is another's.
            alone = policy.decode(f"log {LOG_KEY.verifier.text()}\nquorum none\n".encode())
            with pytest.raises(Unreadable, match="it has signed nothing, and a checkpoint of 10 events is kept here"):
                opened(Sealed(backup, place, url), alone, nobody)
    pg_server.sql(f"DROP DATABASE {database.name} WITH (FORCE)")


def test_what_only_a_revoked_key_signed_beyond_its_end_accuses_nobody(made: Sealed) -> None:
    """A thief's checkpoint that one witness shows is no answer; up to the key's end it is one."""
    text = Checkpoint(LOG_KEY.name, 10**9, bytes(32)).text()
    stolen = note.with_signatures(text, (LOG_KEY.sign(text), WITNESSES[1].sign(text, 1_700_000_000))).encode()
    with served(lambda method, path, body: Reply(200, stolen)) as url:
        for size, kinds in ((10**9, ["ROLLBACK"]), (2_000, [])):
            liar = f"witness liar {WITNESSES[1].verifier.text()} {url}\nquorum w\n"
            rules = made.policy_text().replace("quorum w\n", liar) + f"revoked {LOG_KEY.verifier.text()} {size}\n"
            done = opened(made, policy.decode(rules.encode()))
            assert [x.kind for x in done.report.findings] == kinds
    assert "that only a key signed which was revoked before" in " ".join(done.report.not_covered)


def test_a_log_that_signed_two_histories_leaves_evidence(copy: Sealed) -> None:
    """The region keeps a checkpoint of another root, signed by the same stolen key: both notes convict it."""
    stated, _ = checkpoint.decode_note(newest(copy))
    text = msgspec.structs.replace(stated, root=bytes(32)).text()
    forged = note.with_signatures(text, (LOG_KEY.sign(text), WITNESSES[0].sign(text, 1_700_000_000))).encode()
    with Intruder(copy.database) as intruder:
        intruder.edit("checkpoints", "UPDATE ledger.checkpoints SET note = %s, root = %s WHERE size = 1300",
                      forged.decode(), bytes(32))  # fmt: skip
        intruder.edit("tiles", "UPDATE ledger.tiles SET hashes = overlay(hashes placing sha256('x') from 1) "
                      "WHERE level = 0 AND number = 5")  # fmt: skip
    done = opened(copy)
    assert {x.kind for x in done.report.findings} == {"TREE_MISMATCH", "INCONSISTENT"}
    (evidence,) = done.evidence
    assert witness.convicts(evidence, [LOG_KEY.verifier]) == checkpoint.decode_note(forged)[0]


def newest(sealed: Sealed) -> bytes:
    with sealed.region() as region:
        return next(region.newest_checkpoints()).note


def test_what_stands_at_the_head_is_held_against_itself(copy: Sealed) -> None:
    edits = {
        "UPDATE ledger.chain_heads SET seq = seq + 1": ("chain_heads", "TRUNCATED"),
        "UPDATE ledger.chain_heads SET seq = seq - 1": ("chain_heads", "HEAD_MISMATCH"),
        "UPDATE ledger.chain_heads SET hash = sha256('x')": ("chain_heads", "HEAD_MISMATCH"),
        "UPDATE ledger.chain_heads SET epoch = epoch + 1": ("chain_heads", "HEAD_MISMATCH"),
        "UPDATE ledger.chain_heads SET recorded_at = recorded_at + 86400000000000": ("chain_heads", "CLOCK"),
        "DELETE FROM ledger.chain_heads": ("chain_heads", "HEAD_MISMATCH"),
        "UPDATE ledger.chain_heads SET mode = NULL": ("chain_heads", "HEAD_MISMATCH"),
        "UPDATE ledger.events SET actor = 'nobody' WHERE seq = 1305": ("events", "BYTES_MODIFIED"),
        "DELETE FROM ledger.events WHERE seq > 1200": ("events", "TRUNCATED"),
        "UPDATE ledger.tiles SET hashes = overlay(hashes placing sha256('x') from 1) WHERE level = 1":
            ("tiles", "TREE_MISMATCH"),
        "DELETE FROM ledger.tiles WHERE level = 1": ("tiles", "TREE_MISMATCH"),
        "UPDATE ledger.checkpoints SET note = 'x' WHERE size = 700": ("checkpoints", "CHECKPOINT_SIG"),
        "UPDATE ledger.checkpoints SET root = sha256('x') WHERE size = 1300": ("checkpoints", "TREE_MISMATCH"),
    }  # fmt: skip
    with Intruder(copy.database) as intruder:
        intruder.connection.execute("ALTER TABLE ledger.chain_heads ALTER mode DROP NOT NULL")
        for edit, (table, kind) in edits.items():
            with intruder.undone(table):
                intruder.edit(table, edit)
                assert kind in found(copy), edit


def test_settings_that_could_lose_a_commit_are_named(copy: Sealed) -> None:
    name = copy.database.name
    with Intruder(copy.database) as intruder:
        intruder.connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        intruder.connection.execute(f"ALTER DATABASE {name} SET session_replication_role = replica")
    (first, second) = opened(copy).report.findings
    assert stands([first, second]) == [
        ("GUARD_CHANGED", None, "settings", ("synchronous_commit",), None),
        ("GUARD_CHANGED", None, "settings", ("session_replication_role",), None),
    ]


def test_an_old_cosignature_is_stale_and_a_clock_that_is_off_is_named(made: Sealed) -> None:
    """The witness cosigned a moment ago; nobody asks for less than a century, then for what was before it."""
    assert found(made, max_age=10**10) == []
    (finding,) = opened(made, max_age=-1).report.findings
    assert (finding.kind, finding.key) == ("STALE", ("1300",))
    assert "the newest is of " in finding.actual
    assert found(made, now=1_700_000_000) == ["CLOCK"]


def test_where_nobody_answers_nothing_is_verified(made: Sealed) -> None:
    """Nor where too few do, nor where the policy has nobody to ask; what is wrong is told all the same."""
    with pytest.raises(Unreadable, match="too few of those answer"):
        opened(made, made.policy(NOBODY))
    lone = policy.decode(made.policy_text(quorum="none").replace(f" {made.witness}", "").encode())
    with pytest.raises(Unreadable, match="the policy says no address"):
        opened(made, lone)
    bare = policy.decode(f"log {LOG_KEY.verifier.text()}\nquorum none\n".encode())
    with pytest.raises(Unreadable, match="the policy lists no witness and no --signer is given"):
        opened(made, bare)
    assert found(made, trust=bare, signer=made.signer) == []
    two = made.policy_text(quorum="both").replace(
        "quorum", f"witness v {WITNESSES[1].verifier.text()} {NOBODY}\ngroup both all w v\nquorum"
    )
    with pytest.raises(Unreadable, match="witness v: "):
        opened(made, policy.decode(two.encode()))
    with copied(made.database) as database, Intruder(database) as intruder:
        intruder.edit("chain_heads", "UPDATE ledger.chain_heads SET hash = sha256('x')")
        assert found(Sealed(database, made.signer, NOBODY)) == ["HEAD_MISMATCH"]


def test_who_answers_without_a_signature_of_the_log_has_not_answered(made: Sealed, tmp_path: Path) -> None:
    """Another witness at the address of the one that was meant, who cosigned under its own key."""
    other = policy.decode(made.policy_text().replace(
        WITNESSES[0].verifier.text(), WITNESSES[2].verifier.text()).encode())  # fmt: skip
    with pytest.raises(Unreadable, match="did not cosign"):
        opened(made, other)


def test_a_chain_that_was_never_sealed_is_not_verified(copy: Sealed, tmp_path: Path) -> None:
    with Intruder(copy.database) as intruder:
        intruder.edit("checkpoints", "DELETE FROM ledger.checkpoints")
        with (
            serving(tmp_path, WITNESSES[0]) as url,
            pytest.raises(Unreadable, match="nobody who answered has seen one"),
        ):
            opened(copy, copy.policy(url))
        # Of no events, as the signer has it cosigned before it signs anything: that is no word for what is here.
        text = checkpoint.Checkpoint(LOG_KEY.name, 0, tree.EMPTY_ROOT).text()
        signed = note.with_signatures(text, (LOG_KEY.sign(text),)).encode()
        with serving(tmp_path, WITNESSES[0]) as url:
            asking.cosign(Place(url), WITNESSES[0].verifier, signed, 0, lambda old: [])
            with pytest.raises(Unreadable, match="nobody who answered has seen one"):
                opened(copy, copy.policy(url))
        # Where a witness has seen one, its word is enough.
        report = opened(copy).report
        assert (report.verdict, report.rows) == ("verified", {"checkpoints": 0})
        # Those that are kept and that nobody cosigned do not count.
    with copied(copy.database) as database, pytest.raises(Unreadable, match="is for other logs"):
        opened(Sealed(database, "", ""), policy.decode(b"quorum none\n"))


def test_a_region_without_tiles_is_held_against_what_was_seen_by_its_events(copy: Sealed) -> None:
    """As a replica that cosigns nothing is."""
    with Intruder(copy.database) as intruder:
        intruder.edit("tiles", "DELETE FROM ledger.tiles")
        assert found(copy) == []
        intruder.edit("events", "UPDATE ledger.events SET actor = 'nobody' WHERE seq = 9")
        # Its bytes make another leaf; which event it is, a full verification names.
        assert found(copy) == ["TREE_MISMATCH", "TREE_MISMATCH"]


def test_a_checkpoint_that_is_shown_and_not_kept_is_told(copy: Sealed) -> None:
    """Its row may be on its way, so that nobody is accused; or it was deleted."""
    with Intruder(copy.database) as intruder:
        intruder.edit("checkpoints", "DELETE FROM ledger.checkpoints WHERE size = 1300")
    report = opened(copy).report
    assert report.findings == []
    assert "witness w shows a checkpoint of 1300 events, which is not kept here" in report.covered


def test_a_tile_that_rotted_is_named_where_nothing_signed_is_kept(copy: Sealed) -> None:
    """What the witness shows is of this history, whose tiles lead elsewhere by one hash: no fork, and no evidence."""
    with Intruder(copy.database) as intruder:
        intruder.edit("checkpoints", "DELETE FROM ledger.checkpoints")
        for level, number, place in ((1, 0, 3), (0, 5, 3)):
            with intruder.undone("tiles"):
                intruder.edit("tiles", "UPDATE ledger.tiles SET hashes = overlay(hashes placing sha256('x') from 97) "
                              f"WHERE level = {level} AND number = {number}")  # fmt: skip
                done = opened(copy)
                assert {(x.kind, x.key, x.column) for x in done.report.findings} == {
                    ("TREE_MISMATCH", (str(level), str(number)), f"hashes[{place}]")
                }
                assert done.evidence == []
                assert any("whether these are the 1300 events" in line for line in done.report.not_covered)
