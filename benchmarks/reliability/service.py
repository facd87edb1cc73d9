"""The service beside clients that do what they can."""

import contextlib
import io
import os
import re
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from clients import apart, ask, attackers, connect, form, good_client
from commands import ROOT
from PIL import Image
from table import Found

from cnn_cifar10.serving.app import EXAMPLES

sys.path.append(str(ROOT / "tests/serving"))

import costly_images

CAT = (EXAMPLES / "cat.jpg").read_bytes()
_MEGABYTES = 1000
_END_WITHIN = 10  # seconds
_ANSWER_WITHIN = 1.5


@contextlib.contextmanager
def _serving(**environment):
    """Run `cnn-cifar10 serve`; give the process and its address."""
    command = [sys.executable, "-m", "cnn_cifar10", "serve", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    with tempfile.TemporaryFile("w+") as said:
        server = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said, text=True, env=environment
        )
        try:
            yield server, re.match(r"(http://\S+) answers", server.stdout.readline()).group(1), said
        finally:
            server.kill()
            server.communicate()


def _end(server, said):
    """End a service; return the seconds that takes, and what was wrong."""
    began = time.monotonic()
    server.terminate()
    try:
        code = server.wait(60)
    except subprocess.TimeoutExpired:
        return 60.0, ["does not end"]
    seconds = time.monotonic() - began
    said.seek(0)
    wrong = ["a traceback"] if "Traceback" in said.read() else []
    wrong += [f"ended with code {code}"] if code else []
    return seconds, wrong + ([f"ended in {seconds:.1f} s"] if seconds > _END_WITHIN else [])


def _megabytes(process_id):
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
def _watching(process_id):
    """Give a list of the memory meanwhile."""
    over, seen = threading.Event(), []

    def watch():
        while not over.wait(0.2):
            seen.append(_megabytes(process_id))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def send_expensive_images(count, seed):
    """A good client beside 64 that upload expensive images."""
    count, images = count or 1000, costly_images.expensive()
    with _serving() as (server, address, said):
        apart(good_client, address, CAT, 50)
        alone, _ = apart(good_client, address, CAT, count)
        with _watching(server.pid) as memory, attackers(address, images, 64) as got:
            time.sleep(3)
            beside, statuses = apart(good_client, address, CAT, count)
            seconds, wrong = _end(server, said)
    yield from _judge(
        f"{len(images)} expensive images, by 64 clients at once, beside a good client",
        *(alone, beside, statuses, memory, seconds, wrong),
        f"attackers got {_listed(got)}",
    )


def _judge(what, alone, beside, statuses, memory, seconds, wrong, more):
    """Give the rows of a good client: how long it waits, and what else must hold."""
    before, after = (float(np.percentile(each, 99)) for each in (alone, beside))
    figures = f"p99 {before:.1f} ms alone, {after:.1f} ms beside (median {np.median(beside):.1f})"
    bar = "p99 of the good client at most doubles"
    yield Found(f"{what}: waiting", bar, int(after <= 2 * before), 1, figures, timed=True)
    bar = f"none of its requests is refused; under {_MEGABYTES} MB; SIGTERM within {_END_WITHIN} s"
    figures = [f"at most {max(memory):.0f} MB; ended in {seconds:.1f} s; {more}"]
    refused = sum(statuses.values()) - statuses[200]
    wrong += [f"the good client got {_listed(statuses)}"] if refused else []
    parts = [not refused, max(memory) < _MEGABYTES, not wrong]
    yield Found(what, bar, sum(parts), len(parts), "; ".join([*figures, *wrong]))


def _listed(counts):
    return ", ".join(f"{key}: {counts[key]:,}" for key in sorted(counts, key=str)) or "nothing"


def open_slow_connections(count, seed):
    """A good client beside connections that send nothing, or slowly."""
    count = count or 2000
    _allow_files(count)
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
    head += b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b"
    kinds = {"silent": b"", "in their header": b"GET / HTTP/1.1\r\nX: ", "in their body": head}
    for kind, sent in kinds.items():
        with contextlib.ExitStack() as stack, _serving() as (server, address, said):
            apart(good_client, address, CAT, 50)
            alone, _ = apart(good_client, address, CAT, 300)
            memory = stack.enter_context(_watching(server.pid))
            over = threading.Event()
            thread = threading.Thread(target=_hold, args=(address, sent, count, over))
            thread.start()
            beside, statuses = apart(good_client, address, CAT, 300)
            over.set()
            thread.join()
            seconds, wrong = _end(server, said)
        yield from _judge(
            f"{count:,} connections at once that are {kind}, beside a good client",
            *(alone, beside, statuses, memory, seconds, wrong),
            "closed ones are opened again",
        )


def _hold(address, sent, count, over):
    """Keep so many connections open, each a byte a second further."""
    url, connections = urlsplit(address), []
    while not over.wait(0.01):
        connections = [each for each in connections if each.fileno() >= 0]
        for _ in range(min(50, count - len(connections))):
            with contextlib.suppress(OSError):
                connections.append(socket.create_connection((url.hostname, url.port)))
                connections[-1].sendall(sent)
        for each in list(connections)[:: max(1, len(connections) // 20)]:
            try:
                each.sendall(b"a" if sent else b"")
                each.setblocking(False)
                if not each.recv(1):
                    each.close()
            except BlockingIOError:
                pass
            except OSError:
                each.close()
    for each in connections:
        each.close()


def _allow_files(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * count + 500)), hard))


def watch_memory(count, seed):
    """Requests, sessions of the page, and uploads that are cut off."""
    count = count or 100_000
    sessions = max(1, count // 10)
    noise = io.BytesIO()
    # Goes to the disk while it is read.
    Image.effect_noise((1500, 1500), 100).save(noise, "PNG")
    with (
        tempfile.TemporaryDirectory() as place,
        _serving(TMPDIR=place) as (server, address, said),
    ):
        started_with = set(os.listdir(place))  # ONNX Runtime leaves a file when it is imported
        work = address, noise.getvalue()
        apart(_use, *work, 1500, 150)  # what is taken once is taken now
        before = _megabytes(server.pid)
        statuses = apart(_use, *work, count, sessions)
        after = _megabytes(server.pid)
        left = set(os.listdir(place)) - started_with
        _seconds, wrong = _end(server, said)
        left |= set(os.listdir(place)) - started_with
    refused = sum(statuses.values()) - statuses[200]
    wrong += [f"left {', '.join(left)}"] if left else []
    parts = [after <= 1.05 * before, not left, not refused, not wrong]
    yield Found(
        f"{count:,} requests, {sessions:,} sessions of the page, {sessions:,} uploads cut off",
        "memory grows by 5% at most, no file is left",
        *(sum(parts), len(parts)),
        "; ".join([f"{before:.0f} MB, then {after:.0f} MB", f"got {_listed(statuses)}", *wrong]),
    )


def _use(address, large, requests, sessions):
    """Ask so often, as programs, browsers and clients that break off do."""
    from collections import Counter

    url, statuses, body, map_form = urlsplit(address), Counter(), form(CAT), form(CAT, "image")
    pages = ("/", "/page.js", "/page.css", "/icon.svg", "/models", "/examples/cat.jpg")
    cut = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n"
    cut += b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    cut += b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    cut += bytes(1_500_000)
    every = max(1, requests // sessions)
    with contextlib.closing(connect(address)) as connection:
        for i in range(requests):
            statuses[ask(connection, "/predict", body)] += 1
            if i % every == 0:
                with contextlib.closing(connect(address)) as browser:
                    for page in pages:
                        statuses[ask(browser, page)] += 1
                    statuses[ask(browser, "/explain", map_form)] += 1
                with socket.create_connection((url.hostname, url.port)) as broken:
                    broken.sendall(cut)
            if i % (100 * every) == 0:
                statuses[ask(connection, "/predict", form(large))] += 1
    return statuses


def use_page(count, seed):
    """The tests of the page, in Chromium, by mouse and by keyboard."""
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "tests/serving/test_page.py"]
        subprocess.run([*command, f"--junitxml={report}"], cwd=ROOT, capture_output=True)
        suite = next(xml.etree.ElementTree.parse(report).iter("testsuite"))
    total, *bad = (int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped"))
    what, bar = "the page in Chromium, by mouse and by keyboard", "all of its tests pass"
    figures = f"{bad[0] + bad[1]} fail, {bad[2]} are skipped"
    skipped = bad[2] == total
    yield Found(what, bar, None if skipped else total - bad[0] - bad[1], total - bad[2], figures)


def start(count, seed):
    """Seconds from the start of the command to the first answer."""
    count, seconds = count or 10, []
    for _ in range(count):
        began = time.monotonic()
        with _serving() as (_, address, _), contextlib.closing(connect(address)) as connection:
            if ask(connection, "/predict", form(CAT)) == 200:
                seconds.append(time.monotonic() - began)
    held = sum(each < _ANSWER_WITHIN for each in seconds)
    figures = f"median {np.median(seconds):.2f} s, at most {max(seconds):.2f} s"
    bar = f"the first image is classified within {_ANSWER_WITHIN} s"
    yield Found("starts of the service", bar, held, count, figures, timed=True)
