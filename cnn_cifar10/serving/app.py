"""Web application: `POST /predict`, `GET /models`, `/health`, `/metrics`, and the page."""

import asyncio
import contextlib
import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, FastAPI, File, HTTPException, Query, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline

from cnn_cifar10 import __version__
from cnn_cifar10.datasets import ImageError, decode_image
from cnn_cifar10.inference import Classifier, Prediction
from cnn_cifar10.serving import schemas
from cnn_cifar10.serving.batching import Batcher
from cnn_cifar10.serving.monitoring import MeasuredRequests, Monitor
from cnn_cifar10.serving.page import UPLOAD_PATHS, mount_page
from cnn_cifar10.serving.protection import LimitedRequests, Limits, SecurityHeaders, TokenRequired
from cnn_cifar10.utils import usable_cores


def create_app(
    classifiers: dict[str, Classifier], *, token: str | None = None, limits: Limits | None = None
) -> FastAPI:
    """Return the ASGI application.

    Args:
        classifiers: Dict of names to `Classifier`; the first is the default.
        token: What a request other than `GET /health` must show; `None` asks
            for nothing.
        limits: `Limits`; its defaults where omitted.

    Example:
        >>> app = create_app({"custom_cnn": Classifier.open("models/custom_cnn")})
    """
    service = Service(classifiers, limits or Limits())
    app = FastAPIOffline(
        title="cnn-cifar10",
        description=schemas.DESCRIPTION,
        version=__version__,
        redoc_url=None,
        lifespan=service.lifespan,
    )
    app.add_exception_handler(RequestValidationError, _explain)
    app.add_api_route("/health", health)
    guarded = APIRouter(
        dependencies=[Depends(HTTPBearer(auto_error=False))] if token else [],  # for the API page
        responses={401: schemas.UNAUTHORIZED} if token else {},
    )
    _add_predict(guarded, service)
    described = list[schemas.ModelDescription]
    guarded.add_api_route("/models", service.models, response_model=described)
    guarded.add_api_route("/metrics", service.metrics, response_class=PlainTextResponse)
    app.include_router(guarded)
    paths = set(app.openapi()["paths"])
    mount_page(app, classifiers, service.limits)
    app.add_middleware(
        LimitedRequests,
        limits=service.limits,
        paths={"/predict"} | UPLOAD_PATHS,
        in_progress=service.monitor.in_progress,
    )
    if token:
        # Browsers ask for the manifest, which names the page, without what they know.
        open_paths = {"/health", "/manifest.json"}
        app.add_middleware(TokenRequired, token=token, open_paths=open_paths)
    app.add_middleware(MeasuredRequests, monitor=service.monitor, paths=paths)
    app.add_middleware(SecurityHeaders)
    return app


class Service:
    """The classifiers and what they share: threads that decode, limits, metrics.

    Attributes:
        classifiers: Dict of names to `Classifier`.
        limits: `Limits`.
        monitor: `Monitor`.
    """

    def __init__(self, classifiers: dict[str, Classifier], limits: Limits):
        self.classifiers, self.limits, self.monitor = classifiers, limits, Monitor()
        self._decoders = ThreadPoolExecutor(usable_cores(), thread_name_prefix="decode")
        self._batchers = {}
        for name, classifier in classifiers.items():
            observe = self.monitor.batches.labels(name).observe
            batcher = self._batchers[name] = Batcher(classifier.probabilities, observe=observe)
            self.monitor.waiting.labels(name).set_function(batcher.waiting)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI):
        """Run the models while the application runs."""
        with self._decoders:
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
            HTTPException: With status 422 if an image cannot be read, and 503 if the
                answer takes too long.
        """
        classifier, loop = self.classifiers[model], asyncio.get_running_loop()
        decode = functools.partial(_decode, files, names, classifier)
        try:
            async with asyncio.timeout(self.limits.seconds):
                pixels = await loop.run_in_executor(self._decoders, decode)
                rows = await self._batchers[model].submit(pixels)
        except ImageError as error:
            raise HTTPException(422, str(error)) from error
        except TimeoutError as error:
            limit = f"{self.limits.seconds:g} s"
            slow = f"no answer within {limit}; try again with fewer or smaller images"
            raise HTTPException(503, slow, {"Retry-After": "1"}) from error
        self.monitor.images.labels(model).inc(len(rows))
        return rows

    async def models(self) -> list[dict[str, Any]]:
        """List the models."""
        keys = ("class_names", "input_shape", "fit", "metrics")
        return [
            {"name": name, **{key: getattr(classifier, key) for key in keys}}
            for name, classifier in self.classifiers.items()
        ]

    async def metrics(self) -> bytes:
        """Return counts and times for Prometheus."""
        return self.monitor.exposition()


def _decode(files, names, classifier):
    size, fit = classifier.input_shape[:2], classifier.fit
    return [
        decode_image(file.file.read(), size, f"image {i} ({name})", fit)
        for i, (file, name) in enumerate(zip(files, names, strict=True), start=1)
    ]


def _add_predict(router, service):
    classifiers, limits = service.classifiers, service.limits
    errors = {
        400: "No multipart form.",
        408: f"The request took more than {limits.seconds:g} s to arrive.",
        413: f"The request has more than {limits.megabytes:g} MB.",
        422: "An image cannot be read, or an argument is out of range.",
        503: "Too much to do at the moment.",
    }

    @router.post(
        "/predict",
        response_model=schemas.Predictions,
        responses=schemas.describe_errors(errors),
        description=schemas.PREDICT,
        openapi_extra=schemas.IMAGES,
    )
    async def predict(
        images: Annotated[
            list[UploadFile],
            File(description="The images.", min_length=1, max_length=limits.images),
        ],
        model: Annotated[Literal[tuple(classifiers)], Query()] = next(iter(classifiers)),
        top: Annotated[int, Query(ge=1, description="How many classes to name.")] = 5,
        threshold: Annotated[
            float,
            Query(ge=0, le=1, description="Label images `unsure` below this probability."),
        ] = 0,
    ) -> dict[str, Any]:
        names = [(file.filename or "").encode(errors="replace").decode() for file in images]
        rows = await service.probabilities(model, images, names)
        predictions = [Prediction(row, classifiers[model].class_names, threshold) for row in rows]
        return {
            "model": model,
            "predictions": [
                {"name": name, "label": prediction.label, "top": prediction.top(top)}
                for name, prediction in zip(names, predictions, strict=True)
            ],
        }


async def health() -> schemas.Health:
    """Tell that the service answers."""
    return schemas.Health()


async def _explain(request, error):
    faults = [f"{' '.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    return JSONResponse({"detail": "; ".join(faults)}, 422)
