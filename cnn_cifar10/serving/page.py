"""The page of the service: drop a picture, see its classes and what spoke for the first.

Nothing that it loads is on another host, and none of Gradio's routes that it does not
ask for is open.
"""

import atexit
import functools
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

import gradio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Match, Mount

from cnn_cifar10.datasets import MAX_BYTES, ImageError, decode_image
from cnn_cifar10.inference import Prediction
from cnn_cifar10.utils import overlay

EXAMPLES = Path(__file__).parent / "examples"
"""Folder of the example pictures, named after what they show."""

_SIDE = 320  # pixels of the longer side, as shown
_WAITING = 64  # pictures; more are refused
_KEPT = 600  # seconds that a picture stays on disk
_CALLS = {"/gradio_api/queue/join", "/gradio_api/run/predict"}
UPLOAD_PATHS = _CALLS | {"/gradio_api/upload"}
"""Paths to which the page sends something."""

_FONT = ["system-ui", "sans-serif"]


def build_page(classifiers):
    """Return the page; `mount_page` serves it.

    Args:
        classifiers: Dict of names to `Classifier`; the first is the default.

    Returns:
        A `gradio.Blocks`.
    """

    def classify(name, picture, threshold):
        explanation = gradio.Image(visible=False)
        if not picture:
            return "", None, explanation
        classifier = classifiers[name]
        height, width = classifier.input_shape[:2]
        scale = _SIDE / max(height, width)
        shown = round(scale * height), round(scale * width)
        try:
            data = Path(picture["path"]).read_bytes()
            pixels = decode_image(data, (height, width))[None]
            large = decode_image(data, shown)
        except FileNotFoundError:
            return "This picture is no longer here; upload it again.", None, explanation
        except ImageError as error:
            return f"This picture {error.reason}.", None, explanation
        (row,) = classifier.probabilities(pixels)
        prediction = Prediction(row, classifier.class_names, threshold)
        top = {each["class"]: each["probability"] for each in prediction.top()}
        maps = classifier.explain(pixels, [row.argmax()], shown)
        if maps is not None:
            picture = overlay(large, maps[0]).astype("uint8")
            label = f"What spoke for {next(iter(top))}"
            explanation = gradio.Image(picture, label=label, visible=True)
        return f"## {prediction.label}", top, explanation

    folder, names = str(_private_folder()), list(classifiers)
    os.environ.update(GRADIO_TEMP_DIR=folder, GRADIO_EXAMPLES_CACHE=folder)
    with gradio.Blocks(
        title="cnn-cifar10", analytics_enabled=False, delete_cache=(_KEPT, _KEPT)
    ) as page:
        gradio.Markdown(
            "# What does the picture show?\n"
            "Drop it, or take an example. Programs ask [over HTTP](docs)."
        )
        with gradio.Row():
            with gradio.Column():
                picture = gradio.Image(
                    label="Picture",
                    sources=["upload", "clipboard"],
                    buttons=[],
                    height=_SIDE,
                    elem_id="picture",
                )
                gradio.Examples([[str(path)] for path in sorted(EXAMPLES.glob("*.jpg"))], picture)
                name = gradio.Dropdown(names, label="Model", visible=len(names) > 1)
                threshold = gradio.Slider(
                    0,
                    1,
                    0,
                    step=0.05,
                    label="Unsure below a probability of",
                    info="At 0, one of its classes is named for every picture, whatever it shows.",
                )
            with gradio.Column():
                answer = gradio.Markdown("## &nbsp;", elem_id="answer")
                classes = gradio.Label(label="Classes", show_heading=False, elem_id="classes")
                explanation = gradio.Image(
                    visible=False, buttons=[], height=_SIDE, elem_id="explanation"
                )
        gradio.on(
            [picture.change, name.change, threshold.release],
            classify,
            [name, picture, threshold],
            [answer, classes, explanation],
            preprocess=False,  # which would decode the picture in another way
            api_visibility="private",
        )
    return page.queue(max_size=_WAITING)


def mount_page(app, classifiers):
    """Serve the page at `/`.

    Args:
        app: The `fastapi.FastAPI`, with all its other routes.
        classifiers: As for `build_page`.
    """
    gradio.mount_gradio_app(
        app,
        build_page(classifiers),
        path="/",
        max_file_size=MAX_BYTES,
        footer_links=[],
        run_history=False,
        theme=gradio.themes.Base(font=_FONT, font_mono=_FONT),
        css="footer { display: none !important }",
    )
    app.router.routes[-1] = _PageRoutes("/", _UploadedAlone(app.router.routes[-1].app))


@functools.cache
def _private_folder():
    """Return a folder of this process's own for pictures; Gradio's is shared by all processes."""
    folder = tempfile.mkdtemp(prefix="cnn-cifar10-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder).resolve()


class _PageRoutes(Mount):
    """What the page asks for of Gradio's many routes, some of which fetch from other hosts."""

    _paths = re.compile(
        r"/|/theme\.css|/manifest\.json|/favicon\.ico|/(assets|static)/.*"
        r"|/gradio_api/(upload|upload_progress|queue/(join|data)|run/predict|file=/.*)"
    )

    def matches(self, scope):
        if not self._paths.fullmatch(scope["path"]):
            return Match.NONE, {}
        return super().matches(scope)


class _UploadedAlone:
    """ASGI middleware that refuses other pictures than those that were uploaded.

    Gradio takes the path of any picture on this machine, or an address, for an upload.
    """

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        """Answer one request."""
        if scope["path"] not in _CALLS:
            await self._app(scope, receive, send)
            return
        body = await Request(scope, receive).body()
        try:
            json.loads(body, object_pairs_hook=_check_upload)
        except (ValueError, RecursionError) as error:
            raise HTTPException(422, str(error)) from error
        messages = [{"type": "http.request", "body": body}]

        async def read_again():
            return messages.pop() if messages else await receive()

        await self._app(scope, read_again, send)


def _check_upload(pairs):
    """Raise a `ValueError` if part of a request names a file that was not uploaded."""
    for name, path in pairs:
        if name != "path" or path is None:
            continue
        if not Path(str(path)).resolve().is_relative_to(_private_folder()):
            raise ValueError("the picture is not one that was uploaded; upload it first")
    return dict(pairs)
