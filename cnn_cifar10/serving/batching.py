"""Dynamic batching: requests that come at once share one run of the model."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np


class Batcher:
    """Collects images while the model is busy, then runs it on all of them at once.

    If the model is idle, an image is run at once: it does not wait for others.
    The model runs in a thread of its own, so the event loop stays free.

    Args:
        run: Function from an array of images `(n, height, width, 3)` to an array
            `(n, classes)`, such as `Classifier.probabilities`.
        batch_size: The most images in a run.
        observe: Function that receives the number of images of every run.

    Example:
        >>> batcher = Batcher(classifier.probabilities)
        >>> working = asyncio.create_task(batcher.work())
        >>> rows = await batcher.submit(images)
    """

    def __init__(
        self,
        run: Callable[[np.ndarray], np.ndarray],
        batch_size: int = 32,
        observe: Callable[[int], None] = lambda count: None,
    ):
        self._run, self._batch_size, self._observe = run, batch_size, observe
        self._queue: asyncio.Queue[tuple[np.ndarray, asyncio.Future]] = asyncio.Queue()

    def waiting(self) -> int:
        """Return how many images wait for the model."""
        return self._queue.qsize()

    async def submit(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the model's row for each of these images.

        Raises:
            Exception: Whatever the run of the model raised.
        """
        loop = asyncio.get_running_loop()
        answers = [loop.create_future() for _ in images]
        for pair in zip(images, answers, strict=True):
            self._queue.put_nowait(pair)
        return await asyncio.gather(*answers)

    async def work(self) -> None:
        """Run the model on what is submitted, until this task is cancelled."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="model") as thread:
            while True:
                batch = [await self._queue.get()]
                while len(batch) < self._batch_size and not self._queue.empty():
                    batch.append(self._queue.get_nowait())
                batch = [pair for pair in batch if not pair[1].done()]  # some gave up waiting
                if not batch:
                    continue
                images, answers = zip(*batch, strict=True)
                self._observe(len(images))
                try:
                    rows = await loop.run_in_executor(thread, self._run, np.stack(images))
                except Exception as error:
                    for answer in answers:
                        if not answer.done():
                            answer.set_exception(error)
                else:
                    for answer, row in zip(answers, rows, strict=True):
                        if not answer.done():
                            answer.set_result(row)
