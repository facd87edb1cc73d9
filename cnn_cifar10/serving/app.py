"""Web application: `POST /predict`, `POST /explain`, `GET /models`, `/health`, `/metrics`, page."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, File, Query, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from fastapi.security import HTTPBearer
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline

from cnn_cifar10 import __version__
from cnn_cifar10.inference import Classifier, Prediction
from cnn_cifar10.serving import schemas
from cnn_cifar10.serving.limits import Limits
from cnn_cifar10.serving.monitoring import MeasuredRequests
from cnn_cifar10.serving.protection import (
    DOCUMENTATION,
    LOCAL_HOSTS,
    OwnPagesAlone,
    SecurityHeaders,
    TokenRequired,
)
from cnn_cifar10.serving.service import Service
from cnn_cifar10.serving.uploads import LimitedUploads

EXAMPLES: Path = Path(__file__).parent / "examples"
"""Folder of the example images, named after their classes."""

_PAGE = Path(__file__).parent / "page"


def create_app(
    classifiers: dict[str, Classifier],
    *,
    token: str | None = None,
    limits: Limits | None = None,
    hosts: Collection[str] | None = LOCAL_HOSTS,
) -> FastAPI:
    """Return the ASGI application.

    Args:
        classifiers: Dict of names to `Classifier`; the first is the default.
        token: What a request other than `GET /health` must show; `None` asks
            for nothing.
        limits: `Limits`; its defaults where omitted.
        hosts: Names by which browsers may know the service; `None` takes any.

    Example:
        >>> app = create_app({"custom_cnn": Classifier.open("models/custom_cnn")})
    """
    service = Service(classifiers, limits or Limits())
    app = FastAPIOffline(
        title="cnn-cifar10",
        description=schemas.DESCRIPTION,
        version=__version__,
        docs_url=DOCUMENTATION,
        redoc_url=None,
        lifespan=service.lifespan,
    )
    app.add_exception_handler(RequestValidationError, _name_faults)
    app.add_exception_handler(Exception, _apologize)
    app.add_api_route("/health", health)
    guarded = APIRouter(
        dependencies=[Depends(HTTPBearer(auto_error=False))] if token else [],  # for the API page
        responses={401: schemas.UNAUTHORIZED} if token else {},
    )
    _add_predict(guarded, service)
    _add_explain(guarded, service)
    described = list[schemas.ModelDescription]
    guarded.add_api_route("/models", service.models, response_model=described)
    guarded.add_api_route("/metrics", service.metrics, response_class=PlainTextResponse)
    app.include_router(guarded)
    paths = set(app.openapi()["paths"])
    # Browsers ask for it beside addresses that are no page, such as /models.
    app.add_route("/favicon.ico", lambda request: FileResponse(_PAGE / "icon.svg"))
    app.mount("/examples", StaticFiles(directory=EXAMPLES))
    app.mount("/", StaticFiles(directory=_PAGE, html=True))
    app.add_middleware(
        LimitedUploads,
        limits=service.limits,
        paths={"/predict", "/explain"},
        in_progress=service.monitor.in_progress,
    )
    if token:
        app.add_middleware(
            TokenRequired, token=token, open_paths={"/health"}, limits=service.limits
        )
    app.add_middleware(OwnPagesAlone, hosts=hosts)
    app.add_middleware(MeasuredRequests, monitor=service.monitor, paths=paths)
    app.add_middleware(SecurityHeaders)
    return app


def _add_predict(router, service):
    classifiers, limits = service.classifiers, service.limits

    @router.post(
        "/predict",
        response_model=schemas.Predictions,
        responses=_upload_errors(limits),
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
        names = [_file_name(file) for file in images]
        rows = await service.probabilities(model, images, names)
        predictions = [Prediction(row, classifiers[model].class_names, threshold) for row in rows]
        return {
            "model": model,
            "predictions": [
                {"name": name, "label": prediction.label, "top": prediction.top(top)}
                for name, prediction in zip(names, predictions, strict=True)
            ],
        }


def _add_explain(router, service):
    classifiers = service.classifiers
    class_names = dict.fromkeys(name for each in classifiers.values() for name in each.class_names)
    no_map = {404: "The model has no class activation map, or no such class."}

    @router.post(
        "/explain",
        response_class=Response,
        responses=schemas.MAP | _upload_errors(service.limits, no_map),
        description=schemas.EXPLAIN,
        openapi_extra=schemas.IMAGE,
    )
    async def explain(
        image: Annotated[UploadFile, File(description="The image.")],
        model: Annotated[Literal[tuple(classifiers)], Query()] = next(iter(classifiers)),
        class_name: Annotated[
            Literal[tuple(class_names)] | None,
            Query(alias="class", description="The most probable one where omitted."),
        ] = None,
    ) -> Response:
        drawn = await service.explanation(model, image, _file_name(image), class_name)
        return Response(drawn, media_type="image/jpeg")


def _upload_errors(limits, more=()):
    return schemas.describe_errors(
        {
            400: "No multipart form.",
            408: f"The request took more than {limits.seconds:g} s to arrive.",
            413: f"The request has more than {limits.megabytes:g} MB.",
            422: "An image cannot be read, or an argument is out of range.",
            503: "Too much to do at the moment.",
            **dict(more),
        }
    )


def _file_name(file):
    return (file.filename or "").encode(errors="replace").decode()


async def health() -> schemas.Health:
    """Tell that the service answers."""
    return schemas.Health()


async def _name_faults(request, error):
    faults = [f"{' '.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    return JSONResponse({"detail": "; ".join(faults)}, 422)


async def _apologize(request, error):
    return JSONResponse({"detail": "the service failed; its log says why"}, 500)
