"""The web service: `POST /predict`, `GET /models`, `/health`, `/metrics`; a page for people."""

import asyncio
import contextlib
import gc
import ipaddress
import logging
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal

import uvicorn
from fastapi import APIRouter, Depends, File, HTTPException, Query, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline

from cnn_cifar10 import __version__
from cnn_cifar10.datasets import ImageError, decode_image
from cnn_cifar10.inference import Prediction
from cnn_cifar10.serving.batching import Batcher
from cnn_cifar10.serving.monitoring import MeasuredRequests, Monitor
from cnn_cifar10.serving.page import UPLOAD_PATHS, mount_page
from cnn_cifar10.serving.protection import LimitedRequests, Limits, SecurityHeaders, TokenRequired
from cnn_cifar10.serving.schemas import (
    DESCRIPTION,
    PICTURES,
    UNAUTHORIZED,
    Health,
    ModelDescription,
    Predictions,
    describe_errors,
)
from cnn_cifar10.utils import InputError, usable_cores

TOKEN_VARIABLE = "CNN_CIFAR10_TOKEN"
"""Environment variable of the token; a command's arguments can be read by every user."""


def create_app(classifiers, *, token=None, limits=None):
    """Return the ASGI application.

    Args:
        classifiers: Dict of names to `Classifier`; the first is the default.
        token: What a request other than `GET /health` must show; `None` asks
            for nothing.
        limits: `Limits`; its defaults where omitted.

    Returns:
        A `fastapi.FastAPI`.

    Example:
        >>> app = create_app({"custom_cnn": Classifier.open("models/custom_cnn")})
    """
    limits, monitor = limits or Limits(), Monitor()
    decoders = ThreadPoolExecutor(usable_cores(), thread_name_prefix="decode")
    batchers = {}
    for name, classifier in classifiers.items():
        observe = monitor.batches.labels(name).observe
        batchers[name] = Batcher(classifier.probabilities, observe=observe)
        monitor.waiting.labels(name).set_function(lambda name=name: batchers[name].waiting)

    @contextlib.asynccontextmanager
    async def lifespan(app):
        with decoders:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(batcher.work()) for batcher in batchers.values()]
                yield
                for task in tasks:
                    task.cancel()

    app = FastAPIOffline(
        title="cnn-cifar10",
        description=DESCRIPTION,
        version=__version__,
        redoc_url=None,
        lifespan=lifespan,
    )
    guarded = APIRouter(
        dependencies=[Depends(HTTPBearer(auto_error=False))] if token else [],  # for the API page
        responses={401: UNAUTHORIZED} if token else {},
    )

    @guarded.post(
        "/predict",
        responses=describe_errors(
            {
                400: "No multipart form.",
                408: f"The request took more than {limits.seconds:g} s to arrive.",
                413: f"The request has more than {limits.megabytes:g} MB.",
                422: "A picture cannot be read, or an argument is out of range.",
                503: "Too much to do at the moment.",
            }
        ),
        openapi_extra=PICTURES,
    )
    async def predict(
        images: Annotated[
            list[UploadFile],
            File(description="The pictures.", min_length=1, max_length=limits.pictures),
        ],
        model: Annotated[Literal[tuple(classifiers)], Query()] = next(iter(classifiers)),
        top: Annotated[int, Query(ge=1, description="How many classes to name.")] = 5,
        threshold: Annotated[
            float,
            Query(ge=0, le=1, description="Label pictures `unsure` below this probability."),
        ] = 0,
    ) -> Predictions:
        """Classify pictures: JPEG, PNG, WebP, GIF, BMP or TIFF of any size."""
        classifier, loop = classifiers[model], asyncio.get_running_loop()
        names = [(file.filename or "").encode(errors="replace").decode() for file in images]
        size = classifier.input_shape[:2]
        try:
            async with asyncio.timeout(limits.seconds):
                pixels = await loop.run_in_executor(decoders, _decode, images, names, size)
                rows = await batchers[model].submit(pixels)
        except ImageError as error:
            raise HTTPException(422, str(error)) from error
        except TimeoutError as error:
            slow = (
                f"no answer within {limits.seconds:g} s; try again with fewer or smaller pictures"
            )
            raise HTTPException(503, slow, {"Retry-After": "1"}) from error
        monitor.pictures.labels(model).inc(len(rows))
        predictions = [Prediction(row, classifier.class_names, threshold) for row in rows]
        return {
            "model": model,
            "predictions": [
                {"name": name, "label": prediction.label, "top": prediction.top(top)}
                for name, prediction in zip(names, predictions, strict=True)
            ],
        }

    @guarded.get("/models")
    async def models() -> list[ModelDescription]:
        """List the models."""
        return [
            {
                "name": name,
                "class_names": classifier.class_names,
                "input_shape": classifier.input_shape,
                "metrics": classifier.metrics,
            }
            for name, classifier in classifiers.items()
        ]

    @guarded.get("/metrics", response_class=PlainTextResponse)
    async def metrics():
        """Tell Prometheus what was counted and timed."""
        return monitor.exposition()

    @app.get("/health")
    async def health() -> Health:
        """Tell that the service answers."""
        return Health()

    @app.exception_handler(RequestValidationError)
    async def explain(request, error):
        faults = [f"{' '.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        return JSONResponse({"detail": "; ".join(faults)}, 422)

    app.include_router(guarded)
    paths = set(app.openapi()["paths"])
    mount_page(app, classifiers)
    app.add_middleware(
        LimitedRequests,
        limits=limits,
        paths={"/predict"} | UPLOAD_PATHS,
        in_progress=monitor.in_progress,
    )
    if token:
        # Browsers ask for the manifest, which names the page, without what they know.
        open_paths = {"/health", "/manifest.json"}
        app.add_middleware(TokenRequired, token=token, open_paths=open_paths)
    app.add_middleware(MeasuredRequests, monitor=monitor, paths=paths)
    app.add_middleware(SecurityHeaders)
    return app


def serve(classifiers, *, host="127.0.0.1", port=8000, token=None):
    """Answer requests until the process is told to end, then finish those under way.

    Args:
        classifiers: As for `create_app`.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        token: As for `create_app`; needed if the address is not this machine's own.

    Raises:
        InputError: If others could reach the service without a token, or the
            address cannot be listened on.
    """
    if not token and not _is_local(host):
        raise InputError(
            f"{host} can be reached from elsewhere: set {TOKEN_VARIABLE} to a token to ask for"
        )
    listener, limits = _listen(host, port), Limits()
    # A malformed request is told to its sender; in the log, anyone could write as they please.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    config = uvicorn.Config(
        create_app(classifiers, token=token, limits=limits),
        log_level="error",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=int(limits.seconds),
    )
    # uvicorn raises a signal again once it has shut down.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    _Server(config).run(sockets=[listener])


class _Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        # What is there now stays: the collector need not look through it again and again,
        # while requests wait.
        gc.collect()
        gc.freeze()
        host, port = sockets[0].getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        print(f"http://{host}:{port} answers; http://{host}:{port}/docs says what", flush=True)


def _listen(host, port):
    if not 0 <= port <= 65535:
        raise InputError(f"port must be in 0 to 65535, received {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        fault = f"cannot listen on {host} port {port}: {error.strerror}; choose another"
        raise InputError(fault) from error


def _is_local(host):
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _decode(files, names, size):
    return [
        decode_image(file.file.read(), size, f"picture {i} ({name})")
        for i, (file, name) in enumerate(zip(files, names, strict=True), start=1)
    ]
