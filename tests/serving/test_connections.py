"""Silent, slow and many connections end, and leave room for those that ask."""

import contextlib
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from cnn_cifar10.inference import Classifier
from cnn_cifar10.serving.app import EXAMPLES
from cnn_cifar10.serving.limits import Limits

CAT = (EXAMPLES / "cat.jpg").read_bytes()
BODY = httpx.Request("POST", "http://x", files={"images": CAT})
CONTENT, KIND = BODY.read(), BODY.headers["content-type"]
LENGTH = len(CONTENT)


@pytest.fixture(scope="module")
def classifier():
    return Classifier.open()


@pytest.fixture
def connect():
    """A function from a client to a new connection to its server."""
    with contextlib.ExitStack() as stack:

        def connect(client, send=b""):
            address = (client.base_url.host, client.base_url.port)
            connection = stack.enter_context(socket.create_connection(address, timeout=20))
            connection.sendall(send)
            return connection

        yield connect


def head(length=LENGTH, path="/predict"):
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n"
        f"Content-Type: {KIND}\r\n\r\n"
    ).encode()


def rest(connection):
    """Return what comes until the connection is closed."""
    with contextlib.suppress(ConnectionResetError):
        return b"".join(iter(lambda: connection.recv(4096), b""))
    return b""


def is_open(connection):
    connection.settimeout(0.01)
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except TimeoutError:
        return True
    except ConnectionResetError:
        return False


def ask(client):
    return client.post("/predict", content=CONTENT, headers={"Content-Type": KIND})


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /health", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: ", None],
    ids=["nothing", "line", "header", "second header"],
)
def test_a_connection_that_sends_no_request_is_closed(serving, classifier, connect, sent):
    with serving({"m": classifier}, Limits(header_seconds=0.5)) as client:
        if sent is None:
            connection = connect(client, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        else:
            connection = connect(client, sent)
        assert b"HTTP/1.1 200" not in rest(connection)
        assert ask(client).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"a" * 100_000,
        b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 20_000,
        head()[:-4] + b"\r\nX: " + b"a" * 100_000,
    ],
)
def test_a_header_without_end_is_refused(serving, classifier, connect, sent):
    with serving({"m": classifier}) as client:
        answer = rest(connect(client, sent))
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b'{"detail": "the header has more than 65536 bytes"}' in answer


def test_trailers_without_end_are_refused(serving, classifier, connect):
    start = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    with serving({"m": classifier}) as client:
        connection = connect(client, start)
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                connection.sendall(b"X: " + b"a" * 10_000 + b"\r\n")
                time.sleep(0.01)
            pytest.fail("a megabyte of trailers was taken")


def test_what_is_no_http_gets_json(serving, classifier, connect):
    with serving({"m": classifier}) as client:
        answer = rest(connect(client, b"\0\1\2\r\n\r\n"))
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.endswith(b'{"detail": "Invalid HTTP request received."}')


@pytest.mark.parametrize("limit", ["connections", "connections_per_address"])
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="silent"),
        pytest.param(head(), id="", marks=pytest.mark.slow),
        pytest.param(head() + CONTENT[:100], id="slow", marks=pytest.mark.slow),
    ],
)
def test_the_connection_that_has_waited_longest_makes_room(
    serving, classifier, connect, limit, sent
):
    with serving({"m": classifier}, Limits(**{limit: 20})) as client:
        assert ask(client).status_code == 200  # over a connection that stays
        silent = [connect(client, sent) for _ in range(10)]
        for _ in range(50):
            assert ask(client).status_code == 200
            silent.append(connect(client, sent))
        assert ask(client).status_code == 200
        assert [is_open(each) for each in silent] == [False] * 41 + [True] * 19


def test_a_service_of_few_files_stays_within_them(process, connect):
    with (
        process("--port", 0, open_files=400) as (server, address),
        httpx.Client(base_url=address) as client,
    ):
        for i in range(1100):
            connect(client)
            assert i % 100 or ask(client).status_code == 200
        assert len(os.listdir(f"/proc/{server.pid}/fd")) < 400


@pytest.mark.slow
def test_slow_bodies_take_no_place(serving, classifier, connect):
    with serving({"m": classifier}, Limits(requests=2)) as client:
        slow = [connect(client, head() + CONTENT[:-10]) for _ in range(10)]
        for _ in range(3):
            assert ask(client).status_code == 200
        slow[0].sendall(CONTENT[-10:])
        assert slow[0].recv(4096).startswith(b"HTTP/1.1 200 ")


@pytest.mark.slow
def test_the_largest_upload_makes_room(serving, classifier, connect):
    half = bytes(500_000)
    with serving({"m": classifier}, Limits(held_megabytes=1)) as client:
        large = connect(client, head(900_000) + half + half[:300_000])
        small = connect(client, head(900_000) + half[:190_000])
        while "http_requests_total" not in client.get("/metrics").text:
            time.sleep(0.01)
        assert ask(client).status_code == 200
        answer = large.recv(4096)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"too many requests at once; try again" in answer
        assert is_open(small)


@pytest.mark.slow
def test_an_answer_that_is_not_taken_is_given_up(serving, classifier):
    script = b"GET /static-offline-docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    limits = Limits(seconds=0.1, header_seconds=0.1)
    with serving({"m": classifier}, limits) as client, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((client.base_url.host, client.base_url.port))
        connection.sendall(script * 5)
        for _ in range(100):
            time.sleep(0.1)
            states = _states(client.base_url.port, connection.getsockname()[1])
            if "01" not in states:
                break
        assert "01" not in states  # established, at the server's end


def _states(port, other):
    """Return the states of a connection's end at the server, as Linux writes them."""
    with open("/proc/net/tcp") as file:
        lines = [line.split() for line in list(file)[1:]]
    wanted = f":{port:04X}", f":{other:04X}"
    return [line[3] for line in lines if (line[1][-5:], line[2][-5:]) == wanted]


def test_who_is_refused_waits_and_what_it_goes_on_sending_is_read_slowly(
    serving, classifier, connect
):
    limits = Limits(requests=0, refusal_seconds=0.3)
    with serving({"m": classifier}, limits) as client:
        began = time.perf_counter()
        assert ask(client).status_code == 503
        assert time.perf_counter() - began > 0.3
        many = [connect(client, head(10**7) + CONTENT) for _ in range(10)]
        for each in many:
            assert each.recv(4096).startswith(b"HTTP/1.1 503 ")
        began = time.perf_counter()
        with ThreadPoolExecutor(10) as threads:
            list(threads.map(lambda each: each.sendall(bytes(9_000_000)), many))
        assert time.perf_counter() - began > 0.3  # 90 MB, of which 128 MB a second are read
        assert client.get("/health").status_code == 200
