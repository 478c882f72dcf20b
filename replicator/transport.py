"""
Speak Kafka: the only module that does.

What the client library is known to get wrong shapes this module: a commit that returns is not proof that all was
sent, so every future is checked; a commit to a broker that dies may never return, so it is waited for only so long; a
failed send may have been written, so after any doubt only reading the topic's tail decides, in a new process.
"""

from __future__ import annotations

import contextlib
import re
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import KafkaError, OffsetOutOfRangeError, TopicAlreadyExistsError

from ledger.errors import BrokerDown, InvalidInput

_RECORDS_BACK: Final = 64
"""So many are read at a time on the way back from the end: some 30 MiB, if all are segments."""
BOOTSTRAP_TIMEOUT_MS: Final = 15_000
SEND_TIMEOUT_S: Final = 15
"""How long a sender waits for the answer to a record, and to a commit."""
PROBE_S: Final = 5.0
"""After so long without a record a receiver asks whether the broker is there."""
PROBE_TIMEOUT_MS: Final = 10_000
SILENCE_S: Final = 1.5
"""A broker that answers does so sooner; after this the operator is told what is waited for."""
TOPIC_S: Final = 2.0
"""So long after a topic was made a broker may not yet know of it; one that is not there then is missing."""
_TOPIC_AGAIN_S: Final = 0.1
_CHAINS_NAMED: Final = 5
_SEGMENTS: Final = re.compile(r"ledger\.([0-9a-f]{32})\.segments\.v1")


def check_bootstrap(bootstrap: str) -> None:
    """
    Raise InvalidInput unless *bootstrap* is one host:port, or several with commas between them.

    The client would take any word for a host and look for it until its time is over.
    """
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
            raise InvalidInput(f"found {address!r}; expected host:port, such as 127.0.0.1:9092")


def segments_topic(chain_id: bytes) -> str:
    """
    Return the topic that carries a chain's segments.
    """
    return f"ledger.{chain_id.hex()}.segments.v1"


def acknowledgements_topic(chain_id: bytes) -> str:
    """
    Return the topic that carries what replicas acknowledge.
    """
    return f"ledger.{chain_id.hex()}.acks.v1"


def _told(topics: set[str]) -> str:
    """Return which chains have their segments in one of *topics*, for people; the first few by id."""
    chains = sorted(match[1] for match in map(_SEGMENTS.fullmatch, topics) if match)
    if not chains:
        return "topics of no chain"
    more = f" and {len(chains) - _CHAINS_NAMED} more" if len(chains) > _CHAINS_NAMED else ""
    return f"those of chain {', '.join(chains[:_CHAINS_NAMED])}{more}"


@contextlib.contextmanager
def _errors(bootstrap: str) -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        raise BrokerDown(f"Kafka at {bootstrap} cannot be used now: {error}") from error


@contextlib.contextmanager
def _connecting(bootstrap: str) -> Iterator[None]:
    """As `_errors`, for what first reaches the broker, which a dead one keeps waiting for most of a minute."""

    def tell() -> None:
        print(f"waiting for Kafka at {bootstrap}, which does not answer", file=sys.stderr, flush=True)

    timer = threading.Timer(SILENCE_S, tell)
    timer.daemon = True
    timer.start()
    try:
        with _errors(bootstrap):
            yield
    finally:
        timer.cancel()


def _admin(bootstrap: str) -> KafkaAdminClient:
    """Return the client that both programs begin with; it decides how long a dead broker is looked for."""
    return KafkaAdminClient(
        bootstrap_servers=bootstrap, request_timeout_ms=10_000, bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS
    )


def make_topics(bootstrap: str, chain_id: bytes) -> None:
    """
    Make the chain's topics where they are missing.
    """
    with _connecting(bootstrap):
        admin = _admin(bootstrap)
        try:
            for name, policy in ((segments_topic(chain_id), "delete"), (acknowledgements_topic(chain_id), "compact")):
                settings = {"cleanup.policy": policy, "retention.ms": "-1", "max.message.bytes": "4194304"}
                with contextlib.suppress(TopicAlreadyExistsError):
                    admin.create_topics([NewTopic(name, 1, 1, topic_configs=settings)])
        finally:
            admin.close()


def topic_id(bootstrap: str, topic: str) -> str:
    """
    Return the id that Kafka gave *topic* when it was made: one that was made anew has another.
    """
    with _connecting(bootstrap):
        admin = _admin(bootstrap)
        try:
            found = admin.describe_topics([topic])
        finally:
            admin.close()
    return str(found[0].get("topic_id") or "")


class Sender:
    """
    Write records to one topic, each once in effect.
    """

    def __init__(self, bootstrap: str, topic: str, transactional_id: str | None = None) -> None:
        self._bootstrap, self._topic, self._transactional = bootstrap, topic, transactional_id is not None
        more: dict[str, Any] = {"transactional_id": transactional_id, "transaction_timeout_ms": 10_000}
        with _connecting(bootstrap):
            self._producer = KafkaProducer(
                bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=0, batch_size=524_288,
                max_request_size=4_194_304, delivery_timeout_ms=8_000, request_timeout_ms=3_000, retry_backoff_ms=2,
                max_block_ms=5_000, reconnect_backoff_max_ms=1_000, allow_auto_create_topics=False,
                **(more if self._transactional else {}),
            )  # fmt: skip
            if self._transactional:
                # Fences every earlier publisher and resolves what it left open.
                self._producer.init_transactions()

    def send(self, records: list[tuple[bytes, bytes, list[tuple[str, bytes]]]]) -> None:
        """
        Write (key, value, headers) records, all or none.

        Raises:
            BrokerDown: any doubt; this sender must not be used again, and only the topic's tail says what is there.
        """
        with _errors(self._bootstrap):
            if self._transactional:
                self._producer.begin_transaction()
            futures = [self._producer.send(self._topic, key=k, value=v, headers=h) for k, v, h in records]
            for future in futures:
                future.get(timeout=SEND_TIMEOUT_S)
            if self._transactional:
                self._commit()

    def _commit(self) -> None:
        # What the client's own commit_transaction does, which waits without end, though: where the broker ended after
        # the last record it never returns, also once the broker is back.
        ended = self._producer._transaction_manager.begin_commit()
        self._producer._sender.wakeup()
        if not ended.wait(timeout_ms=SEND_TIMEOUT_S * 1000):
            raise BrokerDown(
                f"Kafka at {self._bootstrap} did not answer a commit within {SEND_TIMEOUT_S} s; start again, which "
                "reads from the topic's tail what was recorded"
            )

    def close(self) -> None:
        """
        End the sender.
        """
        with contextlib.suppress(KafkaError):
            self._producer.close(timeout=2)


class OffsetLost(BrokerDown):
    """
    The topic has no record at the offset: its start was deleted, or it was made anew. Find the place by seq.
    """

    code = "offset_lost"


class NoTopic(BrokerDown):
    """
    The broker has no such topic; the message names the chains that it has topics of.
    """

    code = "no_topic"


class Receiver:
    """
    Read the records of one topic from an offset on; transactions that were aborted are not seen.

    An offset that the topic has not is an error, never another offset: a reset would skip records in silence.

    Raises:
        NoTopic: there is no such topic, which the client would wait for.
    """

    def __init__(self, bootstrap: str, topic: str, offset: int | None = None) -> None:
        self._bootstrap = bootstrap
        self._partition = TopicPartition(topic, 0)
        with _connecting(bootstrap):
            self._consumer = KafkaConsumer(
                bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False, auto_offset_reset="none",
                isolation_level="read_committed", check_crcs=True, fetch_max_wait_ms=100,
                max_partition_fetch_bytes=8_388_608, allow_auto_create_topics=False,
            )  # fmt: skip
        try:
            self._look_for(topic)
        except BaseException:
            self.close()
            raise
        self._consumer.assign([self._partition])
        self.seek(self.begin() if offset is None else offset)
        self._heard = time.monotonic()

    def _look_for(self, topic: str) -> None:
        until = time.monotonic() + TOPIC_S
        while True:
            with _errors(self._bootstrap):
                there = self._consumer.topics()
            if topic in there:
                return
            if time.monotonic() > until:
                raise NoTopic(f"Kafka at {self._bootstrap} has no topic {topic}; it has {_told(there)}")
            time.sleep(_TOPIC_AGAIN_S)

    def seek(self, offset: int) -> None:
        """
        Go on from *offset*.
        """
        with _errors(self._bootstrap):
            self._consumer.seek(self._partition, offset)

    def poll(self, wait_ms: int = 100) -> list[tuple[int, bytes]]:
        """
        Return (offset, value) of the records that are there, waiting at most *wait_ms*.

        Raises:
            OffsetLost: the topic has nothing at the place where this reads.
            BrokerDown: the broker has not answered for 15 s.
        """
        try:
            with _errors(self._bootstrap):
                found = self._consumer.poll(timeout_ms=wait_ms)
        except BrokerDown as error:
            if isinstance(error.__cause__, OffsetOutOfRangeError):
                raise OffsetLost(f"the topic {self._partition.topic} has no such offset: {error.__cause__}") from error
            raise
        if found:
            self._heard = time.monotonic()
        elif time.monotonic() - self._heard > PROBE_S:
            self._probe()
        return [(record.offset, record.value or b"") for batch in found.values() for record in batch]

    def _probe(self) -> None:
        """Raise BrokerDown unless the broker answers: to the client one that is gone is a topic without news."""
        with _errors(self._bootstrap):
            self._consumer.end_offsets([self._partition], timeout_ms=PROBE_TIMEOUT_MS)
        self._heard = time.monotonic()

    def begin(self) -> int:
        """
        Return the offset of the first record that is there.
        """
        with _errors(self._bootstrap):
            return int(self._consumer.beginning_offsets([self._partition])[self._partition])

    def end(self) -> int:
        """
        Return the offset after the last record.
        """
        with _errors(self._bootstrap):
            return int(self._consumer.end_offsets([self._partition])[self._partition])

    def newest_first(self) -> Iterator[bytes]:
        """
        Yield the records that the topic has now, from the last to the first.

        However many at the end are not what the caller looks for, the ones before them come next: anybody may write to
        a topic. Offsets also count records that are no data.
        """
        begin, stop = self.begin(), self.end()
        while stop > begin:
            start = max(begin, stop - _RECORDS_BACK)
            self.seek(start)
            found: list[bytes] = []
            while self._consumer.position(self._partition) < stop:
                found += [value for offset, value in self.poll(500) if offset < stop]
            yield from reversed(found)
            stop = start

    def close(self) -> None:
        """
        End the receiver.
        """
        with contextlib.suppress(KafkaError):
            self._consumer.close()
