"""Requests and answers of the service, as its OpenAPI description shows them."""

from typing import Any, Literal

from PIL import Image
from pydantic import BaseModel, Field

from cnn_cifar10.datasets import IMAGE_FORMATS

DESCRIPTION = """\
Classifies images.

    curl -F images=@cat.jpg -F images=@dog.png http://127.0.0.1:8000/predict?top=3

Every error is a JSON object whose `detail` says in one line what is wrong.
"""

Image.init()
_KINDS = dict.fromkeys(IMAGE_FORMATS.values())
_TYPES = ", ".join(Image.MIME.get(kind, f"image/{kind.lower()}") for kind in _KINDS)

PREDICT = f"Classify images of any size: {', '.join(_KINDS)}."
"""What `POST /predict` does."""

EXPLAIN = """\
Show which parts of an image count for a class: its class activation map, in warm colours over
the image in grey. `GET /models` says which models have one.
"""
"""What `POST /explain` does."""


def _takes_images(field, types):
    encoding = {field: {"contentType": types}}
    return {"requestBody": {"content": {"multipart/form-data": {"encoding": encoding}}}}


IMAGES, IMAGE = _takes_images("images", _TYPES), _takes_images("image", "image/*")
"""The formats of images, which FastAPI cannot describe, in the two forms."""


MAP: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The map over the image.",
        "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
    }
}
"""The answer of `POST /explain`."""


class ClassProbability(BaseModel):
    """A class and how probable it is."""

    name: str = Field(alias="class", examples=["cat"])
    probability: float = Field(ge=0, le=1, examples=[0.91])


class ImagePrediction(BaseModel):
    """The classes of one image."""

    name: str = Field(description="The file's name, as it was sent.", examples=["cat.jpg"])
    label: str = Field(
        description="The most probable class, or `unsure` below the threshold.", examples=["cat"]
    )
    top: list[ClassProbability] = Field(description="Most probable first.")


class Predictions(BaseModel):
    """The classes of all images, in the order in which they were sent."""

    model: str = Field(examples=["efficientnet_lite0"])
    predictions: list[ImagePrediction]


class ModelDescription(BaseModel):
    """A model: its input, its classes, its metrics."""

    name: str = Field(examples=["efficientnet_lite0"])
    class_names: list[str] = Field(examples=[["airplane", "automobile", "bird"]])
    input_shape: tuple[int, int, int] = Field(
        description="Height, width and channels, RGB.", examples=[[32, 32, 3]]
    )
    fit: Literal["crop", "pad", "stretch"] = Field(
        description="How an image of any size becomes one of this shape: scaled to cover it and "
        "cropped to the centre, scaled to fit and padded with grey bars, or stretched.",
    )
    explains: bool = Field(description="Whether it has class activation maps for `/explain`.")
    metrics: dict[str, dict[str, int | float]] = Field(
        description="Metrics by split.",
        examples=[{"test": {"examples": 10000, "accuracy": 0.8665}}],
    )


class Health(BaseModel):
    """State of the service."""

    status: Literal["ok"] = "ok"


class Error(BaseModel):
    """An error in one line: what is wrong, where, and what to do."""

    detail: str = Field(examples=["image 2 (cat.jpg): is empty; replace or remove it"])


UNAUTHORIZED = {
    "description": "Without the token.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}
"""The answer without the token. It names its schema, as `/metrics` would make it plain text."""


def describe_errors(descriptions: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """Return the answers to requests that fail, for a path.

    Args:
        descriptions: Dict of status codes to when they are given.
    """
    return {code: {"model": Error, "description": text} for code, text in descriptions.items()}
