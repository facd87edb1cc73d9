"""Clients of a service, good and bad, each kind in a process of its own."""

import contextlib
import http.client
import itertools
import multiprocessing
import os
import threading
import time
from collections import Counter
from urllib.parse import urlsplit

_CONTEXT = multiprocessing.get_context("spawn")
_BOUNDARY = b"boundary-of-parts"
_HEADERS = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY.decode()}"}


def form(image, field="images"):
    """Return the body of an upload of an image."""
    head = b'--%b\r\nContent-Disposition: form-data; name="%b"; filename="a"\r\n\r\n'
    return head % (_BOUNDARY, field.encode()) + image + b"\r\n--%b--\r\n" % _BOUNDARY


def connect(address, timeout=60):
    """Return a connection."""
    return http.client.HTTPConnection(urlsplit(address).netloc, timeout=timeout)


def ask(connection, path, body=None):
    """Return the status of an answer; its content is read and left."""
    connection.request("POST" if body else "GET", path, body, _HEADERS if body else {})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def good_client(address, image, count, pause=0.02):
    """Upload an image so often, over a connection each; return milliseconds and the statuses."""
    milliseconds, statuses, body = [], Counter(), form(image)
    for _ in range(count):
        began = time.perf_counter()
        with contextlib.closing(connect(address)) as connection:
            try:
                statuses[ask(connection, "/predict", body)] += 1
            except OSError as error:
                statuses[type(error).__name__] += 1
        milliseconds.append(1000 * (time.perf_counter() - began))
        time.sleep(pause)
    return milliseconds, statuses


def apart(function, *arguments):
    """Return what a function returns, called in a process of its own."""
    with _CONTEXT.Pool(1) as pool:
        return pool.apply(function, arguments)


@contextlib.contextmanager
def attackers(address, images, count):
    """Let so many clients upload these images meanwhile; give the counts of what they got.

    They have the lowest priority: they would be on other machines.
    """
    over, queue = _CONTEXT.Event(), _CONTEXT.SimpleQueue()
    process = _CONTEXT.Process(target=_attack, args=(address, images, count, over, queue))
    process.start()
    statuses = Counter()
    try:
        queue.get()  # once they begin
        yield statuses
    finally:
        over.set()
        process.join(60)
        if process.is_alive():
            process.kill()
        else:
            statuses.update(queue.get())


def _attack(address, images, count, over, queue):
    os.nice(19)
    bodies, numbers, statuses = [form(image) for image in images], itertools.count(), Counter()

    def repeat():
        while not over.is_set():
            with contextlib.closing(connect(address)) as connection:
                try:
                    statuses[ask(connection, "/predict", bodies[next(numbers) % len(bodies)])] += 1
                except (OSError, http.client.HTTPException):
                    statuses["broken"] += 1
                    over.wait(0.01)

    threads = [threading.Thread(target=repeat, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    queue.put("begun")
    over.wait()
    for thread in threads:
        thread.join(40 / count)
    queue.put(dict(statuses))
