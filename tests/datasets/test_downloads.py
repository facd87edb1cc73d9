"""Downloads: hosts that fail are passed over, only the published bytes are kept."""

import contextlib
import gzip
import hashlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from cnn_cifar10.datasets import DatasetError, downloads
from cnn_cifar10.datasets.downloads import Download, fetch

CONTENT, OTHER = (gzip.compress(np.random.default_rng(i).bytes(150_000), mtime=0) for i in (0, 1))
CHUNK = 1000
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(downloads, "SECONDS", 1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("CNN_CIFAR10_MIRROR", raising=False)
    return tmp_path / "keras" / "datasets"


class Host:
    """A real HTTP server on this machine; `requests` are the ranges that it was asked for."""

    def __init__(self, answer):
        self.requests = requests = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                requests.append(self.headers["Range"])
                with contextlib.suppress(ConnectionError):
                    answer(self)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/folder/file.tar.gz"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def host():
    """A function that starts a host which gives each request to a function."""
    with contextlib.ExitStack() as stack:

        def host(answer):
            started = Host(answer)
            stack.callback(started.close)
            return started

        yield host


def send(request, content, status=200, length=None, **headers):
    request.send_response(status)
    if length is not False:
        request.send_header("Content-Length", str(length or len(content)))
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(content)


def first_byte(request):
    found = re.fullmatch(r"bytes=(\d+)-", request.headers["Range"] or "bytes=0-")
    return int(found[1])


def good(request, content=CONTENT, upto=None):
    """Answer as hosts with ranges do."""
    first = first_byte(request)
    if not first:
        return send(request, content[:upto], length=len(content))
    range_ = f"bytes {first}-{len(content) - 1}/{len(content)}"
    return send(request, content[first:upto], 206, len(content) - first, Content_Range=range_)


def no_ranges(request):
    send(request, CONTENT)


def at_rate(rate):
    """Return an answer of so many bytes a second."""

    def answer(request):
        send(request, b"", length=len(CONTENT))
        for first in range(0, len(CONTENT), CHUNK):
            request.wfile.write(CONTENT[first : first + CHUNK])
            time.sleep(CHUNK / rate)

    return answer


def silent(request):
    time.sleep(3)


def trickles_its_header(request):
    for _ in range(60):
        request.wfile.write(b"H")
        time.sleep(0.05)


def hangs_after_the_header(request):
    send(request, b"", length=len(CONTENT))
    time.sleep(3)


def hangs_in_the_middle(request):
    send(request, CONTENT[:70_000], length=len(CONTENT))
    time.sleep(3)


def lies(request):
    good(request, CONTENT[:-1] + b"?")


def lies_and_breaks_off(request):
    good(request, OTHER, upto=70_000)


def breaks_off(request):
    good(request, upto=70_000)


def has_another_size(request):
    send(request, CONTENT + b"more")


def is_shorter_and_says_nothing(request):
    send(request, CONTENT[:-1000], length=False)


def sends_a_page(request):
    page = b"<html>Please log in to this network</html>"
    send(request, page, Content_Type="text/html")


def sends_a_page_without_length(request):
    send(request, b"<html>" + bytes(len(CONTENT)), length=False)


def sends_nothing(request):
    send(request, b"", length=False)


def answers_404(request):
    send(request, b"no such file", 404)


def answers_500(request):
    send(request, b"oh no", 500)


def leads_in_a_circle(request):
    send(request, b"", 302, Location=request.path)


def leads_to_a_file(request):
    send(request, b"", 302, Location="file:///etc/hostname")


def is_no_http(request):
    request.wfile.write(b"220 mail.example.org ESMTP\r\n" * 10)


def closes_at_once(request):
    request.connection.shutdown(socket.SHUT_RDWR)


BAD = (
    at_rate(30_000), silent, trickles_its_header, hangs_after_the_header, hangs_in_the_middle, lies,
    lies_and_breaks_off, breaks_off, has_another_size, is_shorter_and_says_nothing, sends_a_page,
    sends_a_page_without_length, sends_nothing, answers_404, answers_500, leads_in_a_circle,
    leads_to_a_file, is_no_http, closes_at_once,
)  # fmt: skip


def archive(*hosts, content=CONTENT):
    urls = [getattr(host, "url", host) for host in hosts]
    sha256 = hashlib.sha256(content).hexdigest()
    return Download("Stand-in", "file.tar.gz", "cached", len(content), sha256, tuple(urls))


def is_clean(cache):
    """Return whether only the whole file and its lock are in the cache."""
    files = {path.name for path in cache.iterdir()}
    return {"cached"} <= files <= {"cached", "cached.lock"}


@pytest.mark.parametrize("bad", BAD, ids=lambda answer: answer.__name__)
def test_a_host_that_fails_is_passed_over(host, cache, caplog, bad):
    first, second = host(bad), host(good)
    path = fetch(archive(first, second))
    assert path == cache / "cached"
    assert path.read_bytes() == CONTENT
    assert is_clean(cache)
    assert second.requests
    assert re.search(r"Stand-in: 127\.0\.0\.1:\d+ \w+", caplog.text)  # which says why


@pytest.mark.parametrize("bad", [breaks_off, lies_and_breaks_off], ids=lambda bad: bad.__name__)
def test_a_host_without_ranges_completes_what_another_began(host, cache, bad):
    assert fetch(archive(host(bad), host(no_ranges))).read_bytes() == CONTENT
    assert is_clean(cache)


DEAD = "http://127.0.0.1:1/file.tar.gz"  # where nothing listens


@pytest.mark.parametrize("dead", [DEAD, "http://no-such-host.invalid/file.tar.gz"])
def test_a_dead_host_is_passed_over(host, dead):
    assert fetch(archive(dead, host(good))).read_bytes() == CONTENT


def test_a_host_is_slow_below_300_kilobytes_a_second_in_ten_seconds(pytestconfig):
    source = Path(downloads.__file__).read_text()
    assert "\nSECONDS = 10\n" in source  # which tests shorten
    assert downloads.ENOUGH == 300_000


def test_nothing_is_asked_of_the_next_host_where_one_is_fast(host):
    first, second = host(good), host(good)
    fetch(archive(first, second))
    assert (len(first.requests), len(second.requests)) == (1, 0)


def test_a_redirection_is_followed(host):
    there = host(good)
    here = host(lambda request: send(request, b"", 302, Location=there.url))
    assert fetch(archive(here)).read_bytes() == CONTENT


def test_a_file_goes_on_at_the_next_host_from_where_one_broke_off(host):
    first, second, third = host(breaks_off), host(breaks_off), host(good)
    assert fetch(archive(first, second, third)).read_bytes() == CONTENT
    assert second.requests == third.requests == ["bytes=70000-"]


def test_a_host_that_breaks_off_again_and_again_is_enough_if_it_goes_on(host):
    only = host(lambda request: good(request, upto=first_byte(request) + 30_000))
    assert fetch(archive(only)).read_bytes() == CONTENT
    assert [each and int(each[6:-1]) for each in only.requests] == [
        None, 30_000, 60_000, 90_000, 120_000, 150_000,
    ]  # fmt: skip


@pytest.mark.slow
def test_where_all_are_slow_the_fastest_goes_on(host, caplog):
    slow, faster = host(at_rate(20_000)), host(at_rate(60_000))
    assert fetch(archive(slow, faster)).read_bytes() == CONTENT
    assert (len(slow.requests), len(faster.requests)) == (1, 2)
    assert re.search(r"sent \d+ kB/s for 1 s", caplog.text)


def test_a_wrong_range_is_not_taken_for_the_right_one(host):
    def answer(request):
        last = len(CONTENT) - 1
        send(request, CONTENT[80_000:], 206, Content_Range=f"bytes 80000-{last}/{last + 1}")

    assert fetch(archive(host(breaks_off), host(answer), host(good))).read_bytes() == CONTENT


def test_one_line_says_what_was_tried_and_what_to_do_where_everything_failed(host, cache):
    answers = (answers_404, lies, sends_a_page, leads_in_a_circle, is_no_http, breaks_off)
    hosts = [DEAD, *map(host, answers)]
    with pytest.raises(DatasetError) as caught:
        fetch(archive(*hosts))
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "answers 404 Not Found", "fails (Connection refused)", "sent other bytes than those",
        "answers 302 The HTTP server returned a redirect error", "220 mail.example.org ESMTP;",
        f"has 42 bytes, not {len(CONTENT):,}", "broke off after 0.1 MB", "0.1 MB are kept",
        "file.tar.gz: its path by data_dir", "its URL by CNN_CIFAR10_MIRROR",
    ):  # fmt: skip
        assert part in message
    assert message.count("127.0.0.1:") == 7
    assert {path.name for path in cache.iterdir()} <= {"cached.part", "cached.lock"}


@pytest.mark.parametrize("kept", [0, 70_000])
def test_what_is_no_gzip_is_left_at_once(host, cache, kept):
    sent = []

    def lies_at_length(request):
        first = first_byte(request)
        good(request, upto=first + 10)
        for _ in range((len(CONTENT) - first) // CHUNK):
            request.wfile.write(bytes(CHUNK))
            sent.append(CHUNK)
            time.sleep(0.005)

    cache.mkdir(parents=True)
    (cache / "cached.part").write_bytes(CONTENT[:kept])
    assert fetch(archive(host(lies_at_length), host(good))).read_bytes() == CONTENT
    assert sum(sent) < len(CONTENT) / 2
    assert is_clean(cache)


def test_wrong_bytes_are_not_left_in_the_cache(host, cache):
    with pytest.raises(DatasetError, match="sent other bytes than those published"):
        fetch(archive(host(lies)))
    assert {path.name for path in cache.iterdir()} <= {"cached.lock"}


@pytest.mark.parametrize(
    "part",
    [b"", CONTENT[:9], b"nonsense", CONTENT[:-1] + b"?", CONTENT, CONTENT + b"more"],
    ids=["empty", "begun", "nonsense", "damaged", "whole", "too long"],
)
def test_a_part_of_before_is_continued_or_replaced(host, cache, part):
    cache.mkdir(parents=True)
    (cache / "cached.part").write_bytes(part)
    assert fetch(archive(host(good))).read_bytes() == CONTENT
    assert is_clean(cache)


@pytest.mark.parametrize("name", ["cached", "cifar-10-python.tar.gz"])
def test_what_the_cache_has_is_not_asked_for(cache, name):
    cache.mkdir(parents=True)
    (cache / name).write_bytes(CONTENT)
    assert fetch(archive(DEAD)) == cache / name


@pytest.mark.parametrize("content", [CONTENT[:100], CONTENT[:-1] + b"?"], ids=["cut", "changed"])
def test_a_damaged_file_in_the_cache_is_replaced(host, cache, content):
    cache.mkdir(parents=True)
    (cache / "cached").write_bytes(content)
    assert fetch(archive(host(good))).read_bytes() == CONTENT


def test_keras_finds_the_file_and_downloads_nothing(host, cache):
    import keras

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as file:
        file.addfile(tarfile.TarInfo("folder/batch"))
    content = packed.getvalue()
    download = archive(host(lambda request: good(request, content)), content=content)
    fetch(Download(**{**vars(download), "cached": "batches-target_archive"}))
    folder = keras.utils.get_file(
        "batches-target",
        DEAD,
        extract=True,
        file_hash=download.sha256,
        cache_dir=cache.parent,
    )
    assert (Path(folder) / "folder" / "batch").is_file()


def test_a_cache_that_cannot_be_written_is_named(cache, host):
    cache.parent.touch()
    with pytest.raises(DatasetError, match=r"cannot be kept there .*KERAS_HOME"):
        fetch(archive(host(good)))


# Mirrors


@pytest.mark.parametrize("end", ["/folder/file.tar.gz", "/folder/file.tar.gz?key=1", "/folder"])
def test_a_mirror_is_asked_first(host, monkeypatch, end):
    asked = []

    def answer(request):
        asked.append(request.path)
        good(request)

    mirror, other = host(answer), host(good)
    monkeypatch.setenv("CNN_CIFAR10_MIRROR", mirror.url.replace("/folder/file.tar.gz", end))
    assert fetch(archive(other)).read_bytes() == CONTENT
    assert asked == [end if "file" in end else f"{end}/file.tar.gz"]
    assert not other.requests


@pytest.mark.parametrize("place", ["a folder", "a folder/file.tar.gz"])
@pytest.mark.parametrize("as_url", [False, True])
def test_a_mirror_may_be_a_path(tmp_path, monkeypatch, place, as_url):
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a folder" / "file.tar.gz").write_bytes(CONTENT)
    path = tmp_path / place
    monkeypatch.setenv("CNN_CIFAR10_MIRROR", path.as_uri() if as_url else str(path))
    assert fetch(archive()).read_bytes() == CONTENT


def test_a_mirror_that_fails_is_passed_over(host, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("CNN_CIFAR10_MIRROR", str(tmp_path / "gone"))
    assert fetch(archive(host(good))).read_bytes() == CONTENT
    assert f"{tmp_path / 'gone'} fails" in caplog.text


@pytest.mark.parametrize("place", ["ftp://host/file", "http://me:secret@host/", "s3://bucket/x"])
def test_what_is_no_mirror_is_refused(monkeypatch, host, place):
    monkeypatch.setenv("CNN_CIFAR10_MIRROR", place)
    with pytest.raises(DatasetError) as caught:
        fetch(archive(host(good)))
    assert str(caught.value).startswith("CNN_CIFAR10_MIRROR: ")
    assert "secret" not in str(caught.value)


# Processes


@pytest.fixture
def start(cache):
    """A function that starts a process which downloads from hosts."""

    def start(*hosts):
        download = archive(*hosts)
        program = Path(__file__).parent / "programs" / "fetches.py"
        return subprocess.Popen(
            [sys.executable, program, str(download.size), download.sha256, *download.urls],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def test_processes_that_begin_together_download_once(host, start, cache):
    only = host(at_rate(400_000))
    processes = [start(only) for _ in range(3)]
    printed = [process.communicate()[0] for process in processes]
    assert printed == [f"{cache / 'cached'}\n"] * 3
    assert (cache / "cached").read_bytes() == CONTENT
    assert only.requests == [None]
    assert is_clean(cache)


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_a_download_that_is_interrupted_goes_on_in_the_next_run(host, start, cache, name):
    part = cache / "cached.part"
    process = start(host(at_rate(40_000)))
    while not part.exists() or part.stat().st_size < 5000:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(getattr(signal, name))
    process.communicate()
    assert process.returncode
    kept = part.stat().st_size
    assert part.read_bytes() == CONTENT[:kept]
    assert not (cache / "cached").exists()
    following = host(good)
    assert fetch(archive(following)).read_bytes() == CONTENT
    assert following.requests == [f"bytes={kept}-"]
