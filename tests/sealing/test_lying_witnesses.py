"""
Check that a signer starts although one witness lies, and that what its own key signed counts whoever shows it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.evidence import note, witness
from ledger.evidence.note import SigningKey
from ledger.sealing.asking import Refused
from ledger.sealing.places import NotAnswering
from ledger.sealing.serving import Reply, Respond
from tests.sealing.logs import KEY, WITNESSES, served
from tests.sealing.test_services import FORK, LOG, sign, signing, trust, witnessing


def lying(*, says: Reply, shows: Reply) -> Respond:
    return lambda method, path, body: says if method == "POST" else shows


MORE = Reply(409, b"50\n", witness.SIZE_TYPE)
STRANGER = SigningKey(KEY.name, note.ED25519, bytes(32))
FOREIGN = note.with_signatures(LOG.text(50), (STRANGER.sign(LOG.text(50)),)).encode()
LIES = {
    "more, and garbage": (lying(says=MORE, shows=Reply(200, b"garbage\n")), "shows what is no checkpoint"),
    "more, and nothing": (lying(says=MORE, shows=Reply(404, b"no\n")), "put back to an older one"),
    "more, and less": (lying(says=MORE, shows=Reply(200, LOG.signed(30))), "put back to an older one"),
    "more, by a stranger": (lying(says=MORE, shows=Reply(200, FOREIGN)), "no key given here has signed"),
    "a fork, and nothing": (lying(says=Reply(422, b"a fork\n"), shows=Reply(404, b"no\n")), "a fork"),
    "a fork, by a stranger": (lying(says=Reply(422, b"a fork\n"), shows=Reply(200, FOREIGN)), "no key given here"),
}


@pytest.mark.parametrize("lie", LIES)
def test_one_lying_witness_does_not_stop_a_signer(tmp_path: Path, lie: str) -> None:
    """Where the others make the quorum, what it shows no signature of is told and not believed; else it is refused."""
    respond, says = LIES[lie]
    told: list[str] = []
    with witnessing(tmp_path, WITNESSES[0]) as good, served(respond) as bad:
        for needed, is_signed in ((1, True), (2, False)):
            rules = trust(WITNESSES[:2], needed, [good, bad])
            with signing(tmp_path / str(needed), witnesses=rules, tell=told.append) as place:
                if is_signed:
                    assert note.verify(note.decode(sign(place, LOG, 20)), [KEY.verifier])
                else:
                    with pytest.raises((Refused, NotAnswering), match=says):
                        sign(place, LOG, 20)
    assert len(told) == ("garbage" not in lie)


def test_what_the_key_signed_counts_whoever_shows_it(tmp_path: Path) -> None:
    """One of two, with a quorum of one: a larger checkpoint is taken over, another root of the same size ends it."""
    with witnessing(tmp_path, WITNESSES[0]) as good:
        shows = lying(says=MORE, shows=Reply(200, LOG.signed(50)))
        with served(shows) as other:
            rules = trust(WITNESSES[:2], 1, [good, other])
            with signing(tmp_path / "a", witnesses=rules) as place, pytest.raises(Refused, match="went back"):
                sign(place, LOG, 20)
        shows = lying(says=Reply(422, b"a fork\n"), shows=Reply(200, FORK.signed(20)))
        with served(shows) as other:
            with signing(tmp_path / "b") as place:
                sign(place, LOG, 20)
            rules = trust(WITNESSES[:2], 1, [good, other])
            with signing(tmp_path / "b", witnesses=rules) as place, pytest.raises(Refused, match="revoke it"):
                sign(place, LOG, 30)
