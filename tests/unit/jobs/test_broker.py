from __future__ import annotations

import json
import socket
import threading

import pytest
from rq.queue import Queue
from rq.serializers import JSONSerializer

from ragd.domain.errors import BrokerInUse, BrokerTooOld, BrokerUnavailable, ConfigInvalid
from ragd.domain.work import ExtractBatch
from ragd.jobs.broker import Broker, masked, parse_version
from ragd.jobs.queue import Queues


def test_the_server_tells_its_version_and_size(broker: Broker) -> None:
    facts = broker.check()
    assert parse_version(facts.version) >= (6, 2)
    assert facts.memory_bytes > 0
    assert facts.keys == 0


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(BrokerUnavailable, match=r"Redis at redis://:\*\*\*@127\.0\.0\.1:1/0 cannot be used") as caught:
        Broker("redis://:secret@127.0.0.1:1/0", timeout_s=1).check()
    assert "secret" not in f"{caught.value}{caught.value.hint}"
    assert "leave the URL empty" in caught.value.hint


def test_a_url_that_makes_no_sense_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigInvalid, match="http://h cannot be understood"):
        Broker("http://h")


def test_a_server_that_is_too_old_is_refused() -> None:
    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            while heard := connection.recv(4096):
                info = b"redis_version:5.0.7\r\n" if b"INFO" in heard.upper() else b""
                commands = heard.count(b"*")
                if b"PING" in heard.upper():
                    connection.sendall(b"+PONG\r\n")
                elif info:
                    connection.sendall(b"$%d\r\n%s\r\n" % (len(info), info))
                elif b"DBSIZE" in heard.upper():
                    connection.sendall(b":0\r\n")
                elif b"HELLO" in heard.upper():
                    connection.sendall(b"-ERR unknown command 'HELLO'\r\n" * heard.upper().count(b"HELLO"))
                else:
                    connection.sendall(b"+OK\r\n" * commands)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,), daemon=True)
        thread.start()
        broker = Broker(f"redis://127.0.0.1:{listener.getsockname()[1]}/0?protocol=2", timeout_s=5)
        with pytest.raises(BrokerTooOld, match=r"is version 5\.0\.7; ragd needs 6\.2 or newer"):
            broker.check()
        broker.close()
        thread.join(5)


def test_one_database_has_one_daemon_at_a_time(broker: Broker) -> None:
    broker.claim("mine")
    broker.claim("mine")
    with pytest.raises(BrokerInUse, match=f"in use by another ragd daemon .*on {socket.gethostname()}") as caught:
        broker.claim("other")
    assert "its own database" in caught.value.hint
    broker.release("other")
    with pytest.raises(BrokerInUse):
        broker.claim("other")
    broker.release("mine")
    broker.claim("other")
    assert 0 < broker.connection.pttl("ragd:owner") <= 15_000


def test_emptying_takes_what_is_ours_and_nothing_else(broker: Broker, queues: Queues) -> None:
    client = broker.connection
    Queue("mail", connection=client, serializer=JSONSerializer).enqueue("someone.elses", job_id="theirs")
    client.set("ragd-of-another-kind", "stays")
    theirs = set(client.keys("*")) - {b"rq:queues"}
    queues.extract(ExtractBatch("bulk-1", b"/", (), False))
    queues.extract(ExtractBatch("bulk-2", b"/", (), False))
    queues.tick()
    client.lmove("rq:queue:extract", "ragd:held:someone", "LEFT", "RIGHT")
    assert broker.reset() > 0
    assert set(client.keys("*")) - {b"rq:queues"} == theirs
    assert broker.reset() == 0


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://:p@h:1/0", "redis://:***@h:1/0"),
        ("rediss://me:p%40@h/2?x=1", "rediss://me:***@h/2?x=1"),
        ("unix:///a/b.sock?db=0", "unix:///a/b.sock?db=0"),
    ],
)
def test_passwords_are_masked(url: str, shown: str) -> None:
    assert masked(url) == shown


@pytest.mark.parametrize(("text", "version"), [("6.2.14", (6, 2)), ("8", (8, 0)), ("7.x", (7, 0)), ("", (0, 0))])
def test_versions_are_read(text: str, version: tuple[int, int]) -> None:
    assert parse_version(text) == version


def test_the_owner_is_written_as_plain_json(broker: Broker) -> None:
    broker.claim("mine")
    owner = json.loads(broker.connection.get("ragd:owner") or b"")
    assert owner["state"] == "mine"
