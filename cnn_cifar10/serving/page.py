"""Web page of the service: drop an image, see its classes and a class activation map.

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
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Match, Mount

from cnn_cifar10.datasets import IMAGE_FORMATS, ImageError, decode_image, load_image
from cnn_cifar10.inference import Classifier, Prediction
from cnn_cifar10.serving.protection import Limits
from cnn_cifar10.utils import overlay

EXAMPLES: Path = Path(__file__).parent / "examples"
"""Folder of the example images, named after their classes."""

_SIDE = 320  # pixels of the longer side, as shown
_WAITING = 64  # images; more are refused
_KEPT = 600  # seconds that an image stays on disk
_CALLS = {"/gradio_api/queue/join", "/gradio_api/run/predict"}
UPLOAD_PATHS: set[str] = _CALLS | {"/gradio_api/upload"}
"""Paths to which the page sends something."""

_FONT = ["system-ui", "sans-serif"]
# Gradio refuses files of which the browser does not know that they are images.
_HEAD = """<script>
const { get } = Object.getOwnPropertyDescriptor(Blob.prototype, "type");
Object.defineProperty(File.prototype, "type", { get() {
  return get.call(this) || (/\\.(SUFFIXES)$/i.test(this.name) ? "image/*" : "");
} });
</script>""".replace("SUFFIXES", "|".join(suffix[1:] for suffix in IMAGE_FORMATS))
_PUNCTUATION = re.compile(r"([!-/:-@[-`{-~])")  # which Markdown shows as it is after a backslash


def build_page(classifiers: dict[str, Classifier]) -> gradio.Blocks:
    """Return the page; `mount_page` serves it.

    Args:
        classifiers: Dict of names to `Classifier`; the first is the default.
    """
    folder, names = str(_private_folder()), list(classifiers)
    os.environ.update(GRADIO_TEMP_DIR=folder, GRADIO_EXAMPLES_CACHE=folder)
    with gradio.Blocks(
        title="cnn-cifar10", analytics_enabled=False, delete_cache=(_KEPT, _KEPT)
    ) as page:
        gradio.Markdown(
            "# What does the image show?\n"
            "Drop an image, or choose an example. Programs use the [HTTP interface](docs)."
        )
        with gradio.Row():
            with gradio.Column():
                image = gradio.Image(
                    label="Image",
                    sources=["upload", "clipboard"],
                    buttons=[],
                    height=_SIDE,
                    elem_id="image",
                )
                gradio.Examples([[str(path)] for path in sorted(EXAMPLES.glob("*.jpg"))], image)
                name = gradio.Dropdown(names, label="Model", visible=len(names) > 1)
                threshold = gradio.Slider(
                    0,
                    1,
                    0,
                    step=0.05,
                    label="Unsure below a probability of",
                    info="At 0, the model names one of its classes for every image.",
                )
            with gradio.Column():
                answer = gradio.Markdown("## &nbsp;", elem_id="answer")
                classes = gradio.Label(label="Classes", show_heading=False, elem_id="classes")
                explanation = gradio.Image(
                    visible=False, buttons=[], height=_SIDE, elem_id="explanation"
                )
        gradio.on(
            [image.change, name.change, threshold.release],
            lambda *given: _classify(classifiers, *given),
            [name, image, threshold],
            [answer, classes, explanation],
            preprocess=False,  # which would decode the image in another way
            api_visibility="private",
        )
    return page.queue(max_size=_WAITING)


def _classify(classifiers, name, image, threshold):
    """Return what the page shows of an image: the answer, the classes, the map."""
    explanation = gradio.Image(visible=False)
    if not image:
        return "", None, explanation
    classifier = classifiers[name]
    try:
        data = Path(image["path"]).read_bytes()
        pixels = decode_image(data, classifier.input_shape[:2], fit=classifier.fit)[None]
        (row,) = classifier.probabilities(pixels)
        drawn = _explain(classifier, data, pixels, row.argmax())
    except FileNotFoundError:
        return "This image is no longer here; upload it again.", None, explanation
    except ImageError as error:
        return f"This image {error.reason}.", None, explanation
    prediction = Prediction(row, classifier.class_names, threshold)
    top = {each["class"]: each["probability"] for each in prediction.top()}
    if drawn is not None:
        label = f"Class activation map of {next(iter(top))}"
        explanation = gradio.Image(drawn, label=label, visible=True)
    return "## " + _PUNCTUATION.sub(r"\\\1", prediction.label), top, explanation


def _explain(classifier, data, pixels, label):
    """Return what the model sees of an image, in its own shape, under a class activation map."""
    scale = _SIDE / max(classifier.input_shape)
    size = shown = tuple(round(scale * side) for side in classifier.input_shape[:2])
    if classifier.fit != "crop":
        loaded = load_image(data, size=size)
        own = loaded.height, loaded.width
        scale = min(most / side for most, side in zip(size, own, strict=True))
        shown = tuple(max(1, round(scale * side)) for side in own)
    maps = classifier.explain(pixels, [label], size if classifier.fit == "pad" else shown)
    if maps is None:
        return None
    top, left = ((most - side) // 2 for most, side in zip(maps.shape[1:], shown, strict=True))
    image = decode_image(data, shown)  # of this shape already, or cut as the model's
    return overlay(image, maps[0, top:, left:][: shown[0], : shown[1]]).astype("uint8")


def mount_page(app: FastAPI, classifiers: dict[str, Classifier], limits: Limits) -> None:
    """Serve the page at `/`.

    Args:
        app: The application, with all its other routes.
        classifiers: As for `build_page`.
        limits: As for `create_app`.
    """
    gradio.mount_gradio_app(
        app,
        build_page(classifiers),
        path="/",
        max_file_size=int(limits.megabytes * 10**6),
        footer_links=[],
        run_history=False,
        theme=gradio.themes.Base(font=_FONT, font_mono=_FONT),
        css="footer { display: none !important }",
        head=_HEAD,
    )
    page = app.router.routes[-1].app  # type: ignore[attr-defined]
    app.router.routes[-1] = _PageRoutes("/", _UploadedAlone(page))


@functools.cache
def _private_folder():
    """Return a folder of this process's own for images; Gradio's is shared by all processes."""
    folder = tempfile.mkdtemp(prefix="cnn-cifar10-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder).resolve()


class _PageRoutes(Mount):
    """The routes of Gradio that the page needs; some of the others fetch from other hosts."""

    _paths = re.compile(
        r"/|/theme\.css|/manifest\.json|/favicon\.ico|/(assets|static)/.*"
        r"|/gradio_api/(upload|upload_progress|queue/(join|data)|run/predict|file=/.*)"
    )

    def matches(self, scope):
        if not self._paths.fullmatch(scope["path"]):
            return Match.NONE, {}
        return super().matches(scope)


class _UploadedAlone:
    """ASGI middleware that refuses images that were not uploaded.

    Gradio takes the path of any image on this machine, or an address, for an upload.
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
            raise ValueError("the image is not one that was uploaded; upload it first")
    return dict(pairs)
