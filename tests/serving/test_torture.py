"""A good client beside clients that do what they can; a longer form is measured elsewhere."""

import contextlib
import io
import itertools
import os
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from cnn_cifar10.serving.app import EXAMPLES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc"),
]
CAT = (EXAMPLES / "cat.jpg").read_bytes()


def ask(client, image=CAT):
    return client.post("/predict", files={"images": ("image", image)})


def megabytes(process_id):
    """Return the memory that a process and those that it has started take."""
    total, wanted = 0, {str(process_id)}
    for status in sorted(Path("/proc").glob("[0-9]*/stat"), key=lambda path: int(path.parent.name)):
        with contextlib.suppress(OSError):
            parent = status.read_text().rpartition(")")[2].split()[1]
            if status.parent.name in wanted or parent in wanted:
                wanted.add(status.parent.name)
                total += int((status.parent / "statm").read_text().split()[1])
    return total * os.sysconf("SC_PAGESIZE") / 1e6


@contextlib.contextmanager
def many(count, work):
    """Run work(i) again and again in so many threads meanwhile."""
    over = threading.Event()

    def repeat(i):
        while not over.is_set():
            with contextlib.suppress(httpx.HTTPError, OSError):
                work(i)

    with ThreadPoolExecutor(count) as threads:
        futures = [threads.submit(repeat, i) for i in range(count)]
        try:
            yield
        finally:
            over.set()
    for future in futures:
        future.result()


def expensive(make):
    """Return images that cost a decoder much."""
    blocks = np.random.default_rng(0).integers(0, 256, (50, 75, 3), "uint8")
    large = Image.fromarray(blocks).resize((6000, 4000), Image.Resampling.NEAREST)
    icon = io.BytesIO()
    large.resize((256, 256)).save(icon, "ICO")
    kinds = {
        "JPEG": {"progressive": True},
        "WEBP": {"lossless": True, "method": 0},
        "GIF": {},
        "TIFF": {"compression": "jpeg"},
        "BMP": {},
        "JPEG2000": {},
        "PPM": {},
    }
    return [
        make.many_scans((8000, 6000), 17_000),
        make.many_scans((500, 400), 17_000),
        make.many_scans((900, 900), 1000),
        make.large_png(8000, 8000),
        make.large_png(5000, 5000, 6),
        make.large_png(16_000, 16_000),
        make.large_png(900, 900, ancillary=[(b"tEXt", b"a\0b")] * 100_000),
        *(make.animated(kind, 10) for kind in ("GIF", "PNG", "WEBP")),
        *(make.encoded(large, kind, **options) for kind, options in kinds.items()),
        make.encoded(large.resize((1500, 1000)), "AVIF", speed=10),
        icon.getvalue(),
        b"\xff\xd8" + bytes(10**7) + make.encoded(large, "JPEG")[2:],
    ]


def test_a_good_client_is_answered_beside_expensive_images(make, process):
    images = expensive(make)
    assert len(images) == 20
    statuses, most = Counter(), 0

    with process("--port", 0) as (server, address), httpx.Client(base_url=address) as client:
        numbers = itertools.count()

        def attack(i):
            statuses[ask(client, images[next(numbers) % 20]).status_code] += 1

        client.timeout = 60
        with many(64, attack):
            for _ in range(40):
                with httpx.Client(base_url=address, timeout=60) as good:
                    assert ask(good).status_code == 200
                most = max(most, megabytes(server.pid))
                time.sleep(0.2)
            server.terminate()
            assert server.wait(10) == 0
        assert "Traceback" not in server.stderr.read()
    assert set(statuses) <= {200, 413, 422, 503}
    assert most < 1000


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b",
    ],
    ids=["silent", "header", "body"],
)
def test_a_good_client_is_answered_beside_slow_connections(process, sent):
    with contextlib.ExitStack() as stack, process("--port", 0) as (server, address):
        url = httpx.URL(address)
        good = stack.enter_context(httpx.Client(base_url=address, timeout=20))
        for i in range(2000):
            connection = stack.enter_context(socket.create_connection((url.host, url.port)))
            with contextlib.suppress(OSError):
                connection.sendall(sent)
            assert i % 50 or ask(good).status_code == 200
        assert megabytes(server.pid) < 1000
        server.terminate()
        assert server.wait(10) == 0
        assert "Traceback" not in server.stderr.read()


def test_memory_does_not_grow_and_no_file_is_left(process, tmp_path):
    """Requests, sessions of the page, and uploads that are cut off."""
    large = io.BytesIO()
    Image.effect_noise((1500, 1500), 100).save(large, "PNG")  # goes to the disk while it is read

    def session(client):
        for path in ("/", "/page.js", "/page.css", "/icon.svg", "/models", "/examples/cat.jpg"):
            assert client.get(path).status_code == 200
        assert ask(client).status_code == 200
        assert client.post("/explain", files={"image": CAT}).status_code == 200

    def cut_off(client):
        with socket.create_connection((client.base_url.host, client.base_url.port)) as connection:
            head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n"
            head += b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
            part = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
            connection.sendall(head + part + bytes(2_000_000))

    with (
        process("--port", 0, TMPDIR=tmp_path) as (server, address),
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        started_with = set(tmp_path.iterdir())  # ONNX Runtime leaves a file when it is imported

        def round_of_all():
            for _ in range(30):
                session(client)
                cut_off(client)
                ask(client)
            assert ask(client, large.getvalue()).status_code == 200
            return megabytes(server.pid)

        before = [round_of_all() for _ in range(4)][-1]
        after = [round_of_all() for _ in range(4)][-1]
        assert after < 1.05 * before
        assert set(tmp_path.iterdir()) == started_with
        server.terminate()
        assert server.wait(10) == 0
    assert set(tmp_path.iterdir()) == started_with
