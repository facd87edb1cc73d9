"""Requests that come at once share runs of the model, and each gets its own answer."""

import asyncio
import contextlib
import threading

import numpy as np
import pytest

from cnn_cifar10.serving.batching import Batcher


def images(*values):
    return np.array(values, "float32").reshape(-1, 1, 1, 1)


class Model:
    """Doubles its images, and can be held while it does."""

    def __init__(self):
        self.sizes, self.free = [], threading.Event()
        self.free.set()

    def run(self, images):
        self.free.wait(10)
        if (images < 0).any():
            raise ValueError("an image is negative")
        return 2 * images.reshape(-1, 1)


@contextlib.asynccontextmanager
async def working(model, batch_size=4):
    batcher = Batcher(model.run, batch_size, observe=model.sizes.append)
    task = asyncio.create_task(batcher.work())
    try:
        yield batcher
    finally:
        model.free.set()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def hold(model, batcher):
    """Let the model begin a run of one image that does not end yet."""
    model.free.clear()
    first = asyncio.create_task(batcher.submit(images(1)))
    while not model.sizes:
        await asyncio.sleep(0.001)
    return first


def test_what_waits_for_the_model_is_run_together_and_answered_in_order():
    async def scenario():
        model = Model()
        async with working(model) as batcher:
            first = await hold(model, batcher)
            others = [asyncio.create_task(batcher.submit(images(i, i + 10))) for i in range(3)]
            await asyncio.sleep(0.01)
            assert batcher.waiting() == 6
            model.free.set()
            answers = [np.ravel(await other).tolist() for other in others]
            assert np.ravel(await first).tolist() == [2]
            assert batcher.waiting() == 0
        return model.sizes, answers

    sizes, answers = asyncio.run(scenario())
    assert sizes == [1, 4, 2]  # never more than four
    assert answers == [[0, 20], [2, 22], [4, 24]]


def test_an_image_does_not_wait_for_others_while_the_model_is_idle():
    async def scenario():
        model = Model()
        async with working(model) as batcher:
            for value in range(3):
                assert await batcher.submit(images(value)) == [2 * value]
        return model.sizes

    assert asyncio.run(scenario()) == [1, 1, 1]


def test_a_run_that_fails_fails_its_own_requests_alone():
    async def scenario():
        model = Model()
        async with working(model) as batcher:
            with pytest.raises(ValueError, match="an image is negative"):
                await batcher.submit(images(-1, 2))
            assert await batcher.submit(images(3)) == [6]

    asyncio.run(scenario())


def test_images_that_nobody_waits_for_are_not_run():
    async def scenario():
        model = Model()
        async with working(model) as batcher:
            first = await hold(model, batcher)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await batcher.submit(images(5, 6))
            first.cancel()  # and its run ends with no one to tell
            kept = asyncio.create_task(batcher.submit(images(7)))
            await asyncio.sleep(0.01)
            model.free.set()
            assert await kept == [14]
        return model.sizes

    assert asyncio.run(scenario()) == [1, 1]
