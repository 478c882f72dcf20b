"""
Check signer and witnesses over real sockets: what they sign, what they refuse, and what an old state does.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.errors import InvalidInput, SignatureInvalid
from ledger.evidence import checkpoint, note, policy, signer, witness
from ledger.evidence.note import SigningKey
from ledger.evidence.policy import Policy
from ledger.evidence.witness import NOTHING, Evidence
from ledger.sealing import asking, places, services, serving
from ledger.sealing.asking import Refused
from ledger.sealing.places import NotAnswering, Place
from ledger.sealing.promises import Promises
from ledger.sealing.serving import Reply
from tests.sealing.logs import KEY, WITNESSES, Log, served

LOG, FORK = Log(), Log(fork=10)
LOGS = {KEY.name: [KEY.verifier]}
NOBODY = policy.decode(b"quorum none\n")


def trust(members: list[SigningKey], needed: int, urls: list[str] | None = None) -> Policy:
    lines = [f"witness w{place} {key.verifier.text()}" for place, key in enumerate(members)]
    if urls is not None:
        lines = [f"{line} {url}" for line, url in zip(lines, urls, strict=True)]
    names = " ".join(f"w{place}" for place in range(len(members)))
    return policy.decode("\n".join([*lines, f"group q {needed} {names}", "quorum q", ""]).encode())


@contextlib.contextmanager
def witnessing(folder: Path, key: SigningKey) -> Iterator[str]:
    seconds = itertools.count(1_700_000_000)
    name = key.name.rpartition("/")[2]
    with Promises(folder / name / "state.json") as state:
        respond = services.witness_of(state, LOGS, key, lambda: next(seconds), folder / name / "evidence")
        with served(respond) as address:
            yield address


@contextlib.contextmanager
def signing(
    folder: Path,
    needed: Policy = NOBODY,
    witnesses: Policy = NOBODY,
    tell: Callable[[str], None] = lambda what: None,
) -> Iterator[Place]:
    with (
        Promises(folder / "state.json") as state,
        served(services.signer_of(state, KEY, needed, witnesses, tell=tell), folder / "socket") as address,
    ):
        yield Place(address)


def sign(place: Place, log: Log, size: int, known: int = 0, proposed: bytes | None = None) -> bytes:
    unsigned = log.unsigned(size) if proposed is None else proposed
    (signature,) = asking.submit(place, signer.SIGN_CHECKPOINT, unsigned, size, log.prove(size), known)
    found = note.decode(unsigned, least=0)
    return note.with_signatures(found.text, (signature, *found.signatures)).encode()


def test_a_signer_signs_what_follows_and_nothing_else(tmp_path: Path) -> None:
    """A larger tree with its proof, the same again; a smaller one, a fork and another log are refused."""
    with signing(tmp_path) as place:
        for size in (5, 20, 20, 33):
            found = note.decode(sign(place, LOG, size))
            assert note.verify(found, [KEY.verifier])
        with pytest.raises(Refused, match="went back"):
            sign(place, LOG, 32)
        with pytest.raises(Refused, match="fork"):
            sign(place, FORK, 33)
        with pytest.raises(Refused, match="fork"):
            sign(place, FORK, 40)
        other = checkpoint.Checkpoint("another.example/log", 40, bytes(32)).text() + "\n"
        with pytest.raises(Refused, match="this key signs for"):
            sign(place, LOG, 40, proposed=other.encode())
        extended = LOG.text(40) + "extension\n\n"
        with pytest.raises(Refused, match="extension"):
            sign(place, LOG, 40, known=33, proposed=extended.encode())
    with signing(tmp_path) as place:
        with pytest.raises(Refused, match="went back"):
            sign(place, LOG, 32)
        sign(place, LOG, 60)


def test_a_signer_waits_for_replicas(tmp_path: Path) -> None:
    """Without the cosignatures that are needed, or with false ones, nothing is signed and nothing is kept."""
    with signing(tmp_path, needed=trust(WITNESSES[:2], 2)) as place:
        text = LOG.text(20)
        one, two, stranger = (key.sign(text, 5) for key in WITNESSES)
        false = WITNESSES[1].sign(LOG.text(21), 5)
        for signatures, says in (
            ((), "nobody"),
            ((one,), "witness.example/w0"),
            ((stranger,), "none by a known key"),
            ((one, stranger), "witness.example/w0"),
            ((one, false), "not by its key"),
        ):
            with pytest.raises(Refused, match=says):
                sign(place, LOG, 20, proposed=note.with_signatures(text, signatures).encode())
        signed = sign(place, LOG, 20, proposed=note.with_signatures(text, (one, two)).encode())
        assert len(note.decode(signed).signatures) == 3
        assert place.ask("GET", witness.checkpoint_path(KEY.name))[2] == signed


def test_a_signer_with_an_old_state_signs_nothing_that_contradicts_what_witnesses_saw(tmp_path: Path) -> None:
    """Its state is put back; it asks, learns of its own newest checkpoint, and refuses the second history."""
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(witnessing(tmp_path, key)) for key in WITNESSES]
        trusted = trust(WITNESSES, 2, urls)
        folder = tmp_path / "signer"
        with signing(folder, witnesses=trusted) as place:
            sign(place, LOG, 10)
            shutil.copy(folder / "state.json", folder / "old.json")
            signed = sign(place, LOG, 30, 10)
        for url, key in zip(urls, WITNESSES, strict=True):
            asking.cosign(Place(url), key.verifier, signed, 30, LOG.prove(30))
        shutil.copy(folder / "old.json", folder / "state.json")
        with signing(folder, witnesses=trusted) as place:
            with pytest.raises(Refused, match="fork"):
                sign(place, FORK, 40, known=10)
            sign(place, LOG, 40)
        shutil.copy(folder / "old.json", folder / "state.json")
        nowhere = trust(WITNESSES, 2, [urls[0], "http://127.0.0.1:1", "/nowhere"])
        with signing(folder, witnesses=nowhere) as place, pytest.raises(NotAnswering, match="too few witnesses"):
            sign(place, LOG, 50)
        no_address = trust(WITNESSES, 1)
        with signing(folder, witnesses=no_address) as place, pytest.raises(NotAnswering, match="says no address"):
            sign(place, LOG, 50)


def test_a_signer_whose_key_signed_elsewhere_signs_no_more(tmp_path: Path) -> None:
    """A witness shows another root of the same size under the signer's own key: the key was stolen or copied."""
    with witnessing(tmp_path, WITNESSES[0]) as url:
        asking.cosign(Place(url), WITNESSES[0].verifier, FORK.signed(20), 20, FORK.prove(20))
        folder = tmp_path / "signer"
        with signing(folder) as place:
            sign(place, LOG, 20)
        with (
            signing(folder, witnesses=trust(WITNESSES[:1], 1, [url])) as place,
            pytest.raises(Refused, match="two roots of 20 leaves"),
        ):
            sign(place, LOG, 30)


def test_two_roots_of_one_size_under_one_key_are_a_contradiction() -> None:
    """Of what others show, the newest is taken; another root of a size that is kept ends all signing."""
    kept = signer.newest(NOTHING, [LOG.signed(5), LOG.signed(20)], KEY)
    assert (kept.size, signer.newest(kept, [LOG.signed(7)], KEY)) == (20, kept)
    with pytest.raises(signer.Contradiction, match="revoke it"):
        signer.newest(kept, [FORK.signed(20)], KEY)
    with pytest.raises(SignatureInvalid):
        signer.newest(kept, [LOG.signed(30)], SigningKey(KEY.name, note.ED25519, bytes(32)))


def test_a_signer_that_knows_nothing_and_asks_nobody_says_so(tmp_path: Path) -> None:
    """So it is at a first start, and where a state was named by another name; once something was signed it is known."""
    path = tmp_path / "state.json"
    with Promises(path) as state:
        (sentence,) = services.remembered(state, KEY, NOBODY)
        assert sentence.startswith("the state is new")
        assert KEY.name in sentence
        assert services.remembered(state, KEY, trust(WITNESSES, 2)) == []
    with signing(tmp_path) as place:
        sign(place, LOG, 3)
    with Promises(path) as state:
        assert services.remembered(state, KEY, NOBODY) == []


def test_a_witness_cosigns_and_leaves_evidence_of_a_fork(tmp_path: Path) -> None:
    """Roll-back, fork and split view are refused; the two notes and the failed proof are left in a file."""
    with witnessing(tmp_path, WITNESSES[0]) as url:
        place, key = Place(url), WITNESSES[0].verifier
        with pytest.raises(NotAnswering, match="404"):
            asking.cosign(place, key, FORK.signed(20).replace(b"ledger.example", b"legder.example"), 20, LOG.prove(20))
        assert asking.seen(place, KEY.name) is None
        assert asking.cosign(place, key, LOG.signed(20), 20, LOG.prove(20)).claims(key)
        with pytest.raises(NotAnswering, match="without a signature by"):
            asking.cosign(place, WITNESSES[1].verifier, LOG.signed(20), 20, LOG.prove(20), 20)
        seen = asking.seen(place, KEY.name)
        assert seen is not None
        assert len(note.verify(note.decode(seen), [key, KEY.verifier])) == 2
        for _ in range(2):
            with pytest.raises(Refused, match="fork"):
                asking.cosign(place, key, FORK.signed(20), 20, FORK.prove(20), 20)
        with pytest.raises(Refused, match="went back"):
            asking.cosign(place, key, LOG.signed(12), 12, LOG.prove(12))
        (left,) = (tmp_path / "w0" / "evidence").iterdir()
        told = json.loads(left.read_bytes())
        evidence = Evidence(told["older"].encode(), told["newer"].encode(), tuple(told["proof"]))
        assert witness.convicts(evidence, [KEY.verifier])


@contextlib.contextmanager
def sending(*parts: bytes, every: float = 0.0) -> Iterator[str]:
    """Serve one connection, to which the parts are sent one by one, and return the address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def send() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(100_000)
                    for part in parts:
                        connection.sendall(part)
                        time.sleep(every)

        thread = threading.Thread(target=send)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    thread.join()


@pytest.mark.parametrize("part", ["head", "body"])
def test_who_answers_byte_by_byte_is_not_waited_for(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline is of the whole answer, however it comes."""
    monkeypatch.setattr(places, "DEADLINE_SECONDS", 0.5)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    parts = [bytes([byte]) for byte in head * 3] if part == "head" else [head, *[b"x"] * 100]
    began = time.monotonic()
    with sending(*parts, every=0.03) as url, pytest.raises(NotAnswering, match="timed out"):
        Place(url).ask("GET", "/")
    assert time.monotonic() - began < 5


def test_an_answer_that_is_cut_short_is_none() -> None:
    """It ends before what it says is its length."""
    with (
        sending(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x" * 14) as url,
        pytest.raises(NotAnswering, match="986 bytes less"),
    ):
        Place(url).ask("GET", "/")


def test_a_signer_does_not_wait_for_the_witnesses_one_by_one(tmp_path: Path) -> None:
    """Who is silent, does not know the log, or comes late costs the others nothing but their own time."""

    def unknown(method: str, path: str, body: bytes) -> Reply:
        return Reply(404, b"unknown log\n")

    with (
        witnessing(tmp_path, WITNESSES[0]) as good, served(unknown) as other,
        signing(tmp_path, NOBODY, trust(WITNESSES[:3], 1, [other, "http://127.0.0.1:1", good])) as place,
    ):  # fmt: skip
        assert note.verify(note.decode(sign(place, LOG, 20)), [KEY.verifier])


def test_many_who_ask_at_once_never_take_a_witness_back(tmp_path: Path) -> None:
    """Each answer that was given is of a size not below any that was given before it."""
    with Promises(tmp_path / "state.json") as state:
        sizes: list[int] = []
        inner = services.witness_of(state, LOGS, WITNESSES[0], lambda: 1, tmp_path / "evidence")

        def respond(method: str, path: str, body: bytes) -> Reply:
            reply = inner(method, path, body)
            if reply.status == 200:
                sizes.append(state.kept[KEY.name].size)
            return reply

        with served(respond) as url:

            def ask(start: int) -> None:
                for size in range(start, 60, 4):
                    with contextlib.suppress(Refused, NotAnswering):
                        asking.cosign(Place(url), WITNESSES[0].verifier, LOG.signed(size), size, LOG.prove(size))

            threads = [threading.Thread(target=ask, args=(start,)) for start in range(1, 5)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert sizes == sorted(sizes)
    assert sizes[-1] >= 56


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(200, b"thanks\n"), "no signature"),
        (Reply(200, note.SigningKey("x", note.COSIGNATURE, bytes(32)).sign("x\n", 1).line().encode()), "without a"),
        (Reply(200, WITNESSES[0].sign("another text\n", 1).line().encode()), "false signature"),
        (Reply(409, b"5\n"), "content type"),
        (Reply(409, b"five\n", witness.SIZE_TYPE), "without saying its size"),
        (Reply(409, b"\xff\n", witness.SIZE_TYPE), "without saying its size"),
        (Reply(409, b"3\n", witness.SIZE_TYPE), "another size each time"),
        (Reply(500, b"oh no\n"), "status 500"),
        (Reply(200, b"x" * 1_000_001), "more than"),
    ],
)
def test_what_is_no_answer_of_a_witness_counts_as_none(reply: Reply, says: str) -> None:
    """Whatever a false or broken witness says, it is never taken for a signature."""
    with served(lambda method, path, body: reply) as url, pytest.raises(NotAnswering, match=says):
        asking.cosign(Place(url), WITNESSES[0].verifier, LOG.signed(20), 20, LOG.prove(20))


def test_where_nobody_answers_is_said() -> None:
    """A closed port, a name that is none, a scheme that is not spoken."""
    for address, error in (
        ("http://127.0.0.1:1", NotAnswering),
        ("/nowhere/at/all", NotAnswering),
        ("ftp://witness.example", InvalidInput),
        ("http://[", InvalidInput),
        ("witness.example", InvalidInput),
    ):
        with pytest.raises(error, match=r"127\.0\.0\.1:1|nowhere|expected"):
            asking.seen(Place(address), KEY.name)


def test_a_server_says_no_to_what_is_too_long_or_for_somebody_else(tmp_path: Path) -> None:
    """Paths that are not its own, bodies without end, and places that cannot be served."""
    with signing(tmp_path) as place:
        assert place.ask("POST", "/elsewhere", b"")[0] == 404
        assert place.ask("GET", "/checkpoint")[0] == 404
        assert (tmp_path / "socket").stat().st_mode & 0o077 == 0
        # Zeros in front, and more digits than a number may be written with, are no way around the limit.
        for length in (b"9" * 20, b"0" * 12 + b"9" * 10, b"9" * 5000, b"-1", b"\xd9\xa3"):
            with socket.socket(socket.AF_UNIX) as raw:
                raw.settimeout(5)
                raw.connect(str(tmp_path / "socket"))
                raw.sendall(b"POST /sign-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n")
                assert b" 413 " in raw.recv(1000)
        with pytest.raises(InvalidInput, match="nothing can be served"):
            serving.serve(str(tmp_path / "socket"), lambda *_: Reply(200, b""), print)
    with pytest.raises(InvalidInput, match="nothing can be served"):
        serving.serve("127.0.0.1:99999", lambda *_: Reply(200, b""), print)


def test_what_fails_inside_is_said_to_be_the_servers_fault() -> None:
    """The caller hears that nothing was signed, the server's log hears why."""
    complaints: list[str] = []

    def fail(method: str, path: str, body: bytes) -> Reply:
        raise OSError("no room on the disk")

    server = serving.serve("127.0.0.1:0", fail, complaints.append)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        status, _, body = Place(f"http://127.0.0.1:{server.server_address[1]!s}").ask("POST", "/x", b"y")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert (status, body) == (500, b"nothing was signed; see the log of this server\n")
    assert complaints == ["POST /x: OSError: no room on the disk"]


@pytest.mark.parametrize("where", ["9464", "nonsense", ""])
def test_a_bare_word_is_nowhere_to_listen(where: str) -> None:
    """It would have been a socket's file of this name, and whoever left out the host found nothing at the port."""
    with pytest.raises(InvalidInput, match=r"expected host:port, such as .*, or the path of a socket"):
        serving.serve(where, lambda request: None, print)  # type: ignore[arg-type, return-value]
