"""The model registry: one name per network."""

import inspect
from functools import partial

from cnn_cifar10.architectures.custom import build_baseline_cnn, build_custom_cnn
from cnn_cifar10.architectures.efficientnet import build_efficientnet
from cnn_cifar10.architectures.fastnet import adapt_whitening, build_fastnet
from cnn_cifar10.architectures.googlenet import build_googlenet, main_model
from cnn_cifar10.architectures.resnet import build_cifar_resnet, build_resnet
from cnn_cifar10.architectures.transfer import build_transfer, head_of, list_backbones
from cnn_cifar10.architectures.vgg import build_vgg
from cnn_cifar10.architectures.wide_resnet import build_wide_resnet
from cnn_cifar10.utils import InputError

__all__ = [
    "ALIASES",
    "MODELS",
    "adapt_whitening",
    "create_model",
    "head_of",
    "list_backbones",
    "list_models",
    "main_model",
    "model_options",
]

MODELS = {
    "baseline_cnn": build_baseline_cnn,
    "custom_cnn": build_custom_cnn,
    "fastnet": build_fastnet,
    "vgg16": partial(build_vgg, depth=16),
    "vgg19": partial(build_vgg, depth=19),
    "googlenet": build_googlenet,
    "resnet20": partial(build_cifar_resnet, depth=20),
    "resnet32": partial(build_cifar_resnet, depth=32),
    "resnet44": partial(build_cifar_resnet, depth=44),
    "resnet56": partial(build_cifar_resnet, depth=56),
    "resnet110": partial(build_cifar_resnet, depth=110),
    "resnet18": partial(build_resnet, depth=18),
    "resnet50": partial(build_resnet, depth=50),
    "resnet101": partial(build_resnet, depth=101),
    "wide_resnet16_4": partial(build_wide_resnet, depth=16, widen_factor=4),
    "wide_resnet28_10": partial(build_wide_resnet, depth=28, widen_factor=10),
    "efficientnet_b0": partial(build_efficientnet, variant="b0"),
    "efficientnet_b1": partial(build_efficientnet, variant="b1"),
    "efficientnet_b2": partial(build_efficientnet, variant="b2"),
    "efficientnet_b3": partial(build_efficientnet, variant="b3"),
    "transfer": build_transfer,
}
ALIASES = {"resnet": "resnet20"}


def list_models():
    """Return the names that `create_model` takes, sorted."""
    return sorted(MODELS)


def model_options(name):
    """Return the options of a model's builder: a dict of names to default values."""
    builder = MODELS[name]
    parameters = list(inspect.signature(builder).parameters.values())[2:]
    fixed = getattr(builder, "keywords", {})
    return {p.name: p.default for p in parameters if p.name not in fixed}


def create_model(name, input_shape=(32, 32, 3), num_classes=10, **options):
    """Build an uncompiled model by name.

    Args:
        name: One of `list_models()`, or an alias in `ALIASES`.
        input_shape: `(height, width, 3)`.
        num_classes: Number of classes, at least 2.
        **options: Arguments of that model's builder, such as `width=64`.

    Returns:
        A `keras.Model` that takes raw RGB pixels in [0, 255], channels last, and
        returns probabilities of shape `(batch, num_classes)`.

    Raises:
        InputError: If the name, an option or the number of classes is not valid.

    Example:
        >>> create_model("custom_cnn", num_classes=4, dropout=0.2).output_shape
        (None, 4)
    """
    name = ALIASES.get(name, name)
    if name not in MODELS:
        raise InputError(f"no model is named {name!r}: choose from {', '.join(list_models())}")
    if num_classes < 2:
        raise InputError(f"num_classes must be at least 2, received {num_classes}")
    builder, allowed = MODELS[name], model_options(name)
    for option in options:
        if option not in allowed:
            choice = f"its options are {', '.join(allowed)}" if allowed else "it has no options"
            raise InputError(f"{name} has no option {option!r}: {choice}")
    try:
        return builder(tuple(input_shape), num_classes, **options)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{name} cannot be built with {options}: {reason}") from error
