"""What the requests share: classifiers, decoding, batches, metrics."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
from fastapi import FastAPI, HTTPException, UploadFile

from cnn_cifar10.datasets import ImageError, decode_image
from cnn_cifar10.inference import Classifier
from cnn_cifar10.serving.batching import Batcher
from cnn_cifar10.serving.decoding import Busy, Decoder
from cnn_cifar10.serving.explaining import decode_views, draw_map
from cnn_cifar10.serving.limits import Limits
from cnn_cifar10.serving.monitoring import Monitor


class Service:
    """The classifiers and what they share.

    Args:
        classifiers: Dict of names to `Classifier`.
        limits: The limits.

    Attributes:
        classifiers: Dict of names to `Classifier`.
        limits: `Limits`.
        monitor: `Monitor`.
    """

    def __init__(self, classifiers: dict[str, Classifier], limits: Limits):
        self.classifiers, self.limits, self.monitor = classifiers, limits, Monitor()
        self._decoder = Decoder(limits)
        self._batchers = {}
        for name, classifier in classifiers.items():
            observe = self.monitor.batches.labels(name).observe
            batcher = self._batchers[name] = Batcher(classifier.probabilities, observe=observe)
            self.monitor.waiting.labels(name).set_function(batcher.waiting)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI):
        """Run the models while the application runs."""
        with self._decoder:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(each.work()) for each in self._batchers.values()]
                yield
                for task in tasks:
                    task.cancel()

    async def probabilities(
        self, model: str, files: Sequence[UploadFile], names: Sequence[str]
    ) -> list[np.ndarray]:
        """Return the class probabilities of each image file.

        Args:
            model: Name of the classifier.
            files: The image files.
            names: What an error calls each.

        Raises:
            HTTPException: With status 422 if an image cannot be read, and 503 if there is too
                much to do or the answer takes too long.
        """
        async with self._in_time():
            pixels = [
                await self._decode(decode_image, model, file, f"image {i} ({name})")
                for i, (file, name) in enumerate(zip(files, names, strict=True), start=1)
            ]
            rows = await self._batchers[model].submit(pixels)
        self.monitor.images.labels(model).inc(len(rows))
        return rows

    async def explanation(
        self, model: str, file: UploadFile, name: str, class_name: str | None
    ) -> bytes:
        """Return the class activation map of an image file over the image, as a JPEG file.

        Args:
            model: Name of the classifier.
            file: The image file.
            name: What an error calls it.
            class_name: The class; `None` takes the most probable one.

        Raises:
            HTTPException: As for `probabilities`, and with status 404 if the model has no such
                map or no such class.
        """
        classifier = self.classifiers[model]
        if not classifier.explains:
            raise HTTPException(404, f"{model} has no class activation map; choose another model")
        if class_name is not None and class_name not in classifier.class_names:
            raise HTTPException(404, f"{model} has no class {class_name}; GET /models lists them")
        async with self._in_time():
            pixels, image = await self._decode(decode_views, model, file, f"image ({name})")
            return await self._decoder.run_in_thread(
                draw_map, classifier, pixels, image, class_name
            )

    async def _decode(self, function, model, file, name):
        classifier = self.classifiers[model]
        size = classifier.input_shape[:2]
        decode = functools.partial(function, size=size, name=name, fit=classifier.fit)
        return await self._decoder.run(decode, await file.read(), name)

    @contextlib.asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Turn what goes wrong into an answer."""
        try:
            async with asyncio.timeout(self.limits.seconds):
                yield
        except ImageError as error:
            raise HTTPException(422, str(error)) from error
        except Busy as error:
            busy = "too many large or unusual images at once; try again"
            raise HTTPException(503, busy, {"Retry-After": "1"}) from error
        except TimeoutError as error:
            limit = f"{self.limits.seconds:g} s"
            slow = f"no answer within {limit}; try again with fewer or smaller images"
            raise HTTPException(503, slow, {"Retry-After": "1"}) from error

    async def models(self) -> list[dict[str, Any]]:
        """List the models."""
        keys = ("class_names", "input_shape", "fit", "metrics", "explains")
        return [
            {"name": name, **{key: getattr(classifier, key) for key in keys}}
            for name, classifier in self.classifiers.items()
        ]

    async def metrics(self) -> bytes:
        """Return counts and times for Prometheus."""
        return self.monitor.exposition()
