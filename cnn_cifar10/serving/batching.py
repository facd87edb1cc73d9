"""Requests that come at once share one run of the model."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np


class Batcher:
    """Collects pictures while the model is busy, and gives it all of them at once.

    A picture that finds the model idle is run at once: nothing waits for others
    to come. The model runs in a thread of its own, so the event loop stays free.

    Args:
        run: Function from an array of pictures `(n, height, width, 3)` to one of
            rows `(n, classes)`, such as `Classifier.probabilities`.
        batch_size: The most pictures in a run.
        observe: Function that is told the number of pictures of every run.

    Example:
        >>> batcher = Batcher(classifier.probabilities)
        >>> working = asyncio.create_task(batcher.work())
        >>> rows = await batcher.submit(images)
    """

    def __init__(self, run, batch_size=32, observe=lambda count: None):
        self._run, self._batch_size, self._observe = run, batch_size, observe
        self._queue = asyncio.Queue()

    @property
    def waiting(self):
        """How many pictures wait for the model."""
        return self._queue.qsize()

    async def submit(self, images):
        """Return the model's row for each of these pictures.

        Raises:
            Exception: Whatever the run of the model raised.
        """
        loop = asyncio.get_running_loop()
        answers = [loop.create_future() for _ in images]
        for pair in zip(images, answers, strict=True):
            self._queue.put_nowait(pair)
        return await asyncio.gather(*answers)

    async def work(self):
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
