"""Downloads of published files: several hosts in turn, resumed, known by their SHA-256.

Neither Keras's `get_file` nor pooch leaves a slow host, goes on with a part, or knows more
than one host of a file. Files are kept where `get_file` keeps them, so that either finds them.
"""

import collections
import contextlib
import functools
import hashlib
import http.client
import logging
import os
import queue
import re
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cnn_cifar10.datasets.dataset import DatasetError
from cnn_cifar10.utils import printable

logger = logging.getLogger(__name__)

SECONDS = 10
"""How long a host may be slow or silent before the next is tried."""

ENOUGH = 300_000
"""Bytes a second below which a host is slow: other hosts are tried first."""

LEAST = 10_000
"""Bytes a second below which a host is of no use, even if every other one is slow too."""

MIRROR = "CNN_CIFAR10_MIRROR"
"""The variable that names a host to try first: a URL or path, of the archive or its folder."""


@dataclass(frozen=True)
class Download:
    """A gzip file that several hosts have, byte for byte.

    Args:
        title: What messages call it.
        name: Its name at the hosts.
        cached: Its name in Keras's cache.
        size: Its size in bytes.
        sha256: Hexadecimal SHA-256 of its content: nothing else is trusted.
        urls: Where it is, in the order in which hosts are tried.
    """

    title: str
    name: str
    cached: str
    size: int
    sha256: str
    urls: tuple[str, ...]


class _HostError(Exception):
    """A host that is left; the message says why."""


def fetch(download: Download) -> Path:
    """Return the path of a file in Keras's cache, after downloading what is missing of it.

    A host that answers otherwise, breaks off, or sends less than `ENOUGH` in `SECONDS` is left
    for the next, which goes on where it ended. If all that answer are slow, the fastest goes
    on. A download that is interrupted leaves a part, and the next one goes on from there.
    Processes that begin together wait for one of them.

    Raises:
        DatasetError: If no host has the file, or it cannot be kept.
    """
    folder = keras_datasets()
    target = folder / download.cached
    try:
        if found := _find(folder, download):
            return found
        folder.mkdir(parents=True, exist_ok=True)
        with alone(target, download.title):
            if found := _find(folder, download):  # which another process has downloaded
                return found
            part = target.with_name(f"{target.name}.part")
            _try_hosts(download, part)
            os.replace(part, target)
    except OSError as error:
        raise DatasetError(
            f"{folder}: {download.title} cannot be kept there ({error}); make room, or set "
            "KERAS_HOME to a folder with room"
        ) from error
    return target


def alone(target: Path, title: str) -> contextlib.AbstractContextManager:
    """Return a lock that only one process holds, once no other does."""
    from filelock import FileLock, Timeout

    lock = FileLock(f"{target}.lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        _say(f"{title}: waits for another process that downloads it")
        return lock.acquire()


def keras_datasets() -> Path:
    """Return the folder of Keras's cache of data sets, which is found without loading Keras."""
    home = os.environ.get("KERAS_HOME")
    if not home:
        user = os.path.expanduser("~")
        home = os.path.join(user if os.access(user, os.W_OK) else "/tmp", ".keras")
    return Path(home).expanduser() / "datasets"


def _find(folder: Path, download: Download) -> Path | None:
    """Return the whole file, under whatever name another version of Keras has given it."""
    if not folder.is_dir():
        return None
    files = [path for path in folder.iterdir() if path.is_file() and path.suffix != ".part"]
    same = [path for path in files if path.stat().st_size == download.size]
    return next((path for path in same if _is_whole(path, download)), None)


def _is_whole(path: Path, download: Download) -> bool:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == download.sha256


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # standard output may be a JSON document


def _try_hosts(download: Download, part: Path) -> None:
    """Download a file to `part`, or raise an error that says what each host did."""
    hosts, faults, rate = [*_mirrors(download), *download.urls], {}, ENOUGH
    while hosts:
        sent = {}
        for url in hosts:
            before = _size(part)
            try:
                return _complete(url, download, part, rate)
            except _HostError as error:
                faults[url], sent[url] = error, _size(part) - before
                logger.warning("%s: %s %s", download.title, _shown(url), error)
        # Hosts that sent something were slow or broke off: better than none.
        useful = [url for url in hosts if sent[url] >= LEAST * SECONDS]
        hosts, rate = sorted(useful, key=sent.__getitem__, reverse=True), LEAST
    tried = "; ".join(f"{_shown(url)} {error}" for url, error in faults.items())
    kept = f"; {_size(part) / 1e6:.1f} MB are kept, and the next start goes on from there"
    raise DatasetError(
        f"{download.title} was not downloaded: {tried}{kept if _size(part) else ''}. Check the "
        f"network, or name a copy of {download.name}: its path by data_dir, or its URL by {MIRROR}"
    )


def _mirrors(download: Download) -> list[str]:
    """Return the URL of the file at the host that the user names, if any."""
    if not (place := os.environ.get(MIRROR)):
        return []
    if "://" not in place:
        path = Path(place).expanduser().resolve()
        return [(path / download.name if path.is_dir() else path).as_uri()]
    parts = urllib.parse.urlsplit(place)
    if parts.scheme not in ("http", "https", "file") or "@" in parts.netloc:
        raise DatasetError(
            f"{MIRROR}: {_shown(place)} is no path, nor URL of http, https or file without a "
            "password"
        )
    if not parts.path.endswith((".gz", ".tgz")):
        parts = parts._replace(path=f"{parts.path.rstrip('/')}/{download.name}")
    return [urllib.parse.urlunsplit(parts)]


def _shown(url: str) -> str:
    """Return a host, or the path of a file, without a password."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "file":
        return urllib.request.url2pathname(parts.path)
    return parts.netloc.rpartition("@")[2] or url


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _complete(url: str, download: Download, part: Path, rate: float) -> None:
    """Complete a part from one host; a part that was damaged before is downloaded again."""
    if _size(part) > download.size:
        part.unlink()
    start = _size(part)
    if start < download.size:
        _receive(url, download, part, rate)
    if _is_whole(part, download):
        return
    part.unlink()
    if not start:
        raise _HostError("sent other bytes than those published")
    _complete(url, download, part, rate)


def _receive(url: str, download: Download, part: Path, rate: float) -> None:
    """Append to a part what one host sends, as long as it sends enough and all is gzip.

    Another thread talks to the host, so that nothing that a host does holds up this one.
    """
    from tqdm import tqdm

    start, size = _size(part), download.size
    items: queue.SimpleQueue = queue.SimpleQueue()
    left = threading.Event()
    threading.Thread(target=_send, args=(url, start, size, items.put, left), daemon=True).start()
    _say(f"{download.title}: {(size - start) / 1e6:.1f} MB from {_shown(url)}")
    shown = {"unit": "B", "unit_scale": True, "initial": start, "disable": None}
    try:
        with open(part, "ab+") as file, tqdm(total=size, **shown) as bar:
            file.seek(0)
            gzip = _Gzip()
            is_sound = all(map(gzip.takes, iter(functools.partial(file.read, 2**20), b"")))
            skip, watch = 0, _Watch(rate)
            while is_sound and file.tell() < size:
                item = _next(items, watch.pause)
                watch.count(len(item) if isinstance(item, bytes) else 0)
                if isinstance(item, int):
                    skip = item
                elif isinstance(item, Exception):
                    raise _HostError(_reason(item)) from item
                elif item is None:
                    raise _HostError(f"broke off after {file.tell() / 1e6:.1f} MB")
                else:
                    fresh = item[skip:][: size - file.tell()]
                    skip = max(0, skip - len(item))
                    is_sound = gzip.takes(fresh)
                    bar.update(file.write(fresh))
    finally:
        left.set()


class _Gzip:
    """Unpacks what hosts send and forgets it: other bytes show long before their SHA-256 does."""

    def __init__(self):
        self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def takes(self, data: bytes) -> bool:
        """Return whether a gzip file may go on with these bytes."""
        while data and not self._stream.eof:
            try:
                self._stream.decompress(data, 2**20)
            except zlib.error:
                return False
            data = self._stream.unconsumed_tail
        return True


def _next(items: queue.SimpleQueue, seconds: float) -> bytes | int | Exception | None:
    try:
        return items.get(timeout=seconds)
    except queue.Empty:
        return b""


class _Watch:
    """Counts what a host sends, and raises where that was too little for `SECONDS`."""

    def __init__(self, rate: float):
        self.pause, self._least, self._total = SECONDS / 10, rate * SECONDS, 0
        self._marks = collections.deque([0], maxlen=11)
        self._due = time.monotonic() + self.pause

    def count(self, received: int) -> None:
        self._total += received
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self.pause
        self._marks.append(self._total)
        recent = self._total - self._marks[0]
        if len(self._marks) == self._marks.maxlen and recent < self._least:
            speed = f"{recent / 1000 / SECONDS:.0f} kB/s" if recent else "nothing"
            raise _HostError(f"sent {speed} for {SECONDS:g} s")


def _send(url: str, start: int, size: int, put: Callable, left: threading.Event) -> None:
    """Put how many bytes to skip, the bytes, and `None` at the end; or an error."""
    headers = {"User-Agent": "cnn-cifar10"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            put(_skip(response, start, size))
            while not left.is_set() and (chunk := response.read1(2**16)):
                put(chunk)
        put(None)
    except Exception as error:  # which the other thread raises
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        put(error)


def _skip(response, start: int, size: int) -> int:
    """Return how many bytes of an answer are known: all of a part where a host has no ranges."""
    first, total = 0, response.headers.get("Content-Length", str(size))
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers["Content-Range"] or "")
        if not found or int(found[1]) > start:
            raise http.client.HTTPException("answers with another range than asked for")
        first, total = int(found[1]), found[2].replace("*", str(size))
    if total != str(size):
        raise http.client.HTTPException(f"has {total} bytes, not {size:,}")
    return start - first


def _reason(error: Exception) -> str:
    """Return what a host did, in words that follow its name: one line, whatever the host says."""
    if not isinstance(error, (OSError, ValueError, http.client.HTTPException)):
        raise error
    if isinstance(error, urllib.error.HTTPError):
        said = f"answers {error.code} {error.reason}"
    elif isinstance(error, http.client.HTTPException):
        said = str(error) or type(error).__name__
    else:
        inner = getattr(error, "reason", error)
        said = f"fails ({getattr(inner, 'strerror', None) or inner})"
    return printable(said.splitlines()[0][:200])
