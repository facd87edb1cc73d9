"""Decoding of images from strangers, within limits of pixels, scans, memory and seconds.

An image whose header shows that it is cheap is decoded by a thread. Any other is decoded by
a process, which is ended when it takes too much.
"""

import asyncio
import multiprocessing
import os
import queue
import signal
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from cnn_cifar10.datasets import ImageError
from cnn_cifar10.serving.limits import CHEAP_BYTES, Limits
from cnn_cifar10.utils import usable_cores

_CHEAP_WORK = 1_000_000  # pixels times scans: about 10 ms
_CHEAP_PARTS = 300  # segments of a JPEG, chunks of a PNG: Pillow reads them in Python
_CHEAP_HEADER = 200_000  # bytes
_MOST_WORK = 1_000_000_000
_MOST_PROCESSES = 4
_NICENESS = 10  # cheap images come first where cores are scarce
_START_OF_SCAN = b"\xff\xda"


class Busy(Exception):
    """More images wait for a process than the limits allow."""


class Decoder:
    """Runs functions that decode an image, within limits.

    Args:
        limits: The limits.

    Example:
        >>> with Decoder(Limits()) as decoder:
        ...     pixels = await decoder.run(decode_image, data, "photo.jpg")
    """

    def __init__(self, limits: Limits):
        cores = usable_cores()
        count = min(max(1, cores // 2), _MOST_PROCESSES)
        self._limits, self._waiting, self._held = limits, 0, 0
        self._threads = ThreadPoolExecutor(cores, thread_name_prefix="decode")
        self._keepers = ThreadPoolExecutor(count, thread_name_prefix="process")
        self._processes = [_Process(limits) for _ in range(count)]
        self._idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
        for process in self._processes:
            self._idle.put(process)

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(self, *error: object) -> None:
        for pool in (self._threads, self._keepers):
            pool.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.end()  # so that the thread that waits for it ends too
        for pool in (self._threads, self._keepers):
            pool.shutdown()

    async def run(self, function: Callable[[bytes], Any], data: bytes, name: str) -> Any:
        """Return what the function makes of an image.

        Args:
            function: Decodes an image; a process must be able to import it.
            data: What an image file holds.
            name: What an error calls the image.

        Raises:
            ImageError: If the image cannot be read, or not within the limits.
            Busy: If too many images wait for a process.
        """
        loop = asyncio.get_running_loop()
        if is_cheap(data):
            return await loop.run_in_executor(self._threads, function, data)
        # Half of the memory for bodies stays free for images that need no process.
        most = self._limits.held_megabytes * 10**6 / 2
        if self._waiting >= self._limits.decoding_waits or self._held + len(data) > most:
            raise Busy
        self._waiting += 1
        self._held += len(data)
        try:
            return await loop.run_in_executor(self._keepers, self._run, function, data, name)
        finally:
            self._waiting -= 1
            self._held -= len(data)

    async def run_in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function that takes little time returns."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _run(self, function, data, name):
        process = self._idle.get()
        try:
            return process.run(function, data, name)
        finally:
            self._idle.put(process)


class _Process:
    """A process that decodes one image at a time, and is replaced when it was ended."""

    def __init__(self, limits):
        self._limits = limits
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None

    def run(self, function, data, name):
        limits = self._limits
        try:
            if self._process is None or not self._process.is_alive():  # the system may end one
                self.end()
                self._start()
            self._pipe.send((function, data, name))
            if not self._pipe.poll(limits.decoding_seconds):
                self.end()
                slow = f"takes more than {limits.decoding_seconds:g} s to decode; "
                raise ImageError(name, slow + "scale it down, or save it again as JPEG or PNG")
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            self.end()
            fault = "cannot be read (the decoder broke off); replace or remove it"
            raise ImageError(name, fault) from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _start(self):
        context = multiprocessing.get_context("spawn")  # a fork would copy the model's threads
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_decode_images, args=(theirs, self._limits), daemon=True
        )
        self._process.start()
        theirs.close()
        self._pipe.recv()  # once it is ready

    def end(self):
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.join()


def _decode_images(pipe, limits):
    """Decode what comes through a pipe until it is closed."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the service ends this process
        signal.signal(number, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    _limit_memory(limits.decoding_megabytes)
    pipe.send("ready")
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        # The alarm ends this process, should the service itself have been killed.
        _set_alarm(2 * limits.decoding_seconds)
        answer = _decode(*job, limits.decoding_megabytes)
        _set_alarm(0)
        del job
        pipe.send(answer)


def _decode(function, data, name, megabytes):
    try:
        _check_work(data, name)
        return function(data)
    except ImageError as error:
        if not isinstance(error.__cause__, MemoryError):
            return error
    except MemoryError:
        pass
    return ImageError(name, f"takes more than {megabytes:g} MB of memory to decode; scale it down")


def _set_alarm(seconds):
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit_memory(megabytes):
    """Let this process take so much memory beyond what it has; only Linux keeps to it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[5])  # those that can be written
    except FileNotFoundError:
        return
    import resource

    most = pages * resource.getpagesize() + int(megabytes * 10**6)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def is_cheap(data: bytes) -> bool:
    """Return whether an image takes little time and memory, by its header alone.

    So does a small JPEG or PNG, of the usual kinds. The others are not looked into.
    """
    if len(data) > CHEAP_BYTES:
        return False
    try:
        if data.startswith(b"\xff\xd8"):
            return _jpeg_pixels(data) * data.count(_START_OF_SCAN) <= _CHEAP_WORK
        return data.startswith(b"\x89PNG\r\n\x1a\n") and _png_pixels(data) <= _CHEAP_WORK
    except (_Unusual, struct.error):
        return False


class _Unusual(Exception):
    """An image that is not of the usual kinds."""


def _jpeg_pixels(data):
    """Return how many pixels a JPEG has, that is a sequential or progressive one."""
    place, pixels = 2, None
    for _ in range(_CHEAP_PARTS):
        start, marker, length = struct.unpack_from(">BBH", data, place)
        if (
            start != 0xFF
            or not (marker == 0xFE or 0xC0 <= marker <= 0xEF)
            or 0xD0 <= marker <= 0xD9
        ):
            break
        if marker == 0xDA:
            if pixels is None or place > _CHEAP_HEADER:
                break
            return pixels
        if marker in (0xC0, 0xC1, 0xC2):
            if pixels is not None:
                break
            height, width = struct.unpack_from(">HH", data, place + 5)
            pixels = height * width
        place += 2 + length
    raise _Unusual


def _png_pixels(data):
    """Return how many pixels a PNG has, that is a still one without interlacing."""
    place, pixels = 8, None
    for _ in range(_CHEAP_PARTS):
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"IHDR" and place == 8:
            width, height, depth, _, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
            if depth > 8 or interlaced:
                break
            pixels = height * width
        elif pixels is None or kind == b"acTL":
            break
        elif kind == b"IEND":
            return pixels
        place += 12 + length
    raise _Unusual


def _check_work(data, name):
    """Refuse a JPEG that has many scans, each of which goes over all pixels."""
    try:
        pixels = _jpeg_pixels(data) if data.startswith(b"\xff\xd8") else 0
    except (_Unusual, struct.error):
        return  # what it takes shows in time and memory
    scans = data.count(_START_OF_SCAN)
    if pixels * scans > _MOST_WORK:
        numbers = f"{pixels:,} pixels in {scans:,} scans"
        raise ImageError(name, f"has {numbers}, too much to decode; save it again without them")
