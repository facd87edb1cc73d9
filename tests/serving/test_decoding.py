"""What costs much is decoded by a process, which is ended when it takes too much."""

import asyncio
import functools
import os
import signal
import time

import numpy as np
import pytest
from PIL import Image

from cnn_cifar10.datasets import ImageError, decode_image
from cnn_cifar10.serving.decoding import Busy, Decoder, is_cheap
from cnn_cifar10.serving.limits import Limits

SMALL = functools.partial(decode_image, size=(32, 32), name="a.png")
noise = np.random.default_rng(0).integers(0, 256, (100, 160, 3), "uint8")


# Jobs for a process, with data that are no image: programs.
HANG = exec, b"while True: pass"
CRASH = exec, b"import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
PROCESS = eval, b"__import__('os').getpid()"


def run(*jobs, limits=Limits()):  # noqa: B008
    """Return what becomes of jobs, each of a function and data, that are given at once."""

    async def scenario():
        with Decoder(limits) as decoder:
            tasks = (decoder.run(function, data, "a.png") for function, data in jobs)
            return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("data", "cheap"),
    [
        (lambda m: m.encoded(noise), True),
        (lambda m: m.encoded(noise, "JPEG"), True),
        (lambda m: m.encoded(noise, "JPEG", progressive=True), True),
        (lambda m: m.encoded(Image.fromarray(noise).convert("CMYK"), "JPEG"), True),
        (lambda m: m.encoded(Image.fromarray(noise).convert("P")), True),
        (lambda m: m.encoded(Image.new("RGB", (2000, 2000)), "JPEG"), False),
        (lambda m: m.large_png(2000, 2000), False),
        (lambda m: m.many_scans((160, 100), 100), False),
        (lambda m: m.large_png(10, 10, ancillary=[(b"tEXt", b"a\0b")] * 400), False),
        (lambda m: m.animated("PNG", 2), False),
        (lambda m: m.encoded(noise.astype("uint16")[..., 0]), False),
        (lambda m: m.encoded(noise, "GIF"), False),
        (lambda m: m.encoded(noise, "WEBP"), False),
        (lambda m: m.encoded(noise, "TIFF"), False),
        (lambda m: m.encoded(noise)[:100], False),
        (lambda m: b"\xff\xd8" + bytes(100) + m.encoded(noise, "JPEG")[2:], False),
        (lambda m: m.encoded(noise) + bytes(2_000_000), False),
        (lambda m: b"", False),
        (lambda m: b"\xff\xd8", False),
    ],
)
def test_only_small_images_of_the_usual_kinds_are_cheap(make, data, cheap):
    assert is_cheap(data(make)) == cheap


def test_what_is_cheap_stays_in_the_server_and_the_rest_does_not(make):
    here, there = run((lambda data: os.getpid(), make.encoded(noise)), PROCESS)
    assert here == os.getpid()
    assert there != os.getpid()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_an_image_is_the_same_wherever_it_is_decoded(make, kind):
    data = make.encoded(noise, kind)
    (pixels,) = run((SMALL, data))
    np.testing.assert_array_equal(pixels, SMALL(data))


def test_an_error_is_the_same_wherever_it_is_found(make):
    data = make.encoded(noise)[:100]
    (error,) = run((SMALL, data))
    with pytest.raises(ImageError) as expected:
        SMALL(data)
    assert str(error) == str(expected.value)


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (HANG, "a.png: takes more than 2 s to decode; scale it down, or save it again"),
        (CRASH, "a.png: cannot be read (the decoder broke off); replace or remove it"),
    ],
)
def test_a_process_that_takes_too_long_or_dies_is_replaced(make, job, message):
    image = make.encoded(noise, "GIF")
    limits = Limits(decoding_seconds=2)
    first, pixels = run(job, (SMALL, image), limits=limits)
    assert isinstance(first, ImageError)
    assert str(first).startswith(message)
    np.testing.assert_array_equal(pixels, SMALL(image))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_an_idle_process_that_the_system_ended_is_no_fault_of_the_next_image(make):
    image = make.encoded(noise, "GIF")

    async def scenario():
        with Decoder(Limits()) as decoder:
            for _ in range(2 * os.cpu_count()):
                process = await decoder.run(*PROCESS, "a.png")
                os.kill(process, signal.SIGKILL)
                time.sleep(0.2)
            return await decoder.run(SMALL, image, "a.png")

    np.testing.assert_array_equal(asyncio.run(scenario()), SMALL(image))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda m: m.large_png(8000, 8000), "takes more than 100 MB of memory to decode; scale it"),
        (lambda m: m.many_scans((1000, 1000), 1500), "has 1,000,000 pixels in 1,5"),
        (lambda m: m.large_png(9000, 9000), "has 81,000,000 pixels (9000x9000), more than"),
    ],
    ids=["memory", "scans", "pixels"],
)
def test_an_image_beyond_the_budget_is_refused(make, data, message):
    good = make.encoded(noise, "GIF")
    error, pixels = run((SMALL, data(make)), (SMALL, good), limits=Limits(decoding_megabytes=100))
    assert isinstance(error, ImageError)
    assert str(error).startswith(f"a.png: {message}")
    np.testing.assert_array_equal(pixels, SMALL(good))


def test_more_than_may_wait_are_refused_and_cheap_images_are_not(make):
    image = make.encoded(noise, "GIF")
    jobs = [HANG, (SMALL, image), (SMALL, image), (SMALL, make.encoded(noise))]
    hung, waited, refused, cheap = run(*jobs, limits=Limits(decoding_seconds=1, decoding_waits=2))
    assert isinstance(hung, ImageError)
    assert waited.shape == (32, 32, 3)
    assert isinstance(refused, Busy)
    assert cheap.shape == (32, 32, 3)


def test_the_bytes_that_wait_are_limited(make):
    image = make.encoded(noise, "GIF") + bytes(10**6)
    first, second = run((SMALL, image), (SMALL, image), limits=Limits(held_megabytes=3))
    assert first.shape == (32, 32, 3)
    assert isinstance(second, Busy)


def test_an_end_waits_for_no_process():
    async def scenario():
        with Decoder(Limits(decoding_seconds=600)) as decoder:
            tasks = [asyncio.create_task(decoder.run(*HANG, "a.png")) for _ in range(3)]
            await asyncio.sleep(1)
            for task in tasks:
                task.cancel()

    asyncio.run(scenario())
