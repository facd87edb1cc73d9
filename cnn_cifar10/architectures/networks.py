"""Registry of networks: one line a network.

Importing this loads no Keras: the command line lists the networks at once.
"""

import ast
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cnn_cifar10.architectures.parts import functional
from cnn_cifar10.utils import InputError, first_line, references

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Network:
    """A network that can be built by name.

    Args:
        builder: Function of `input_shape` and `num_classes`, and of options with defaults,
            that returns an uncompiled `keras.Model` from raw RGB pixels in [0, 255] to
            probabilities; or its reference, `"module:function"` or `"file.py:function"`.
        parameters: Number of weights for 32x32 pixels and ten classes; `None` if unknown.
        fixed: Options that this name fixes, as pairs.
        training: What its training has in place of the standard recipe's fields. A
            `learning_rate` is for batches of 128, and scales with them; it is left out with
            another optimizer.
        depthwise: Whether its convolutions are depthwise, which processors compute faster in
            float32 than in bfloat16.
    """

    builder: str | Callable
    parameters: int | None = None
    fixed: tuple[tuple[str, Any], ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    depthwise: bool = False

    @property
    def description(self) -> str:
        """First line of the builder's docstring; `""` without one."""
        return self.document.partition("\n")[0]

    @property
    def document(self) -> str:
        """The builder's docstring; `""` without one."""
        return self._signature[0]

    @property
    def options(self) -> dict[str, Any]:
        """The options that can be given, with their defaults."""
        fixed = dict(self.fixed)
        return {name: value for name, value in self._signature[1].items() if name not in fixed}

    @functools.cached_property
    def _signature(self):
        """The docstring and the options of the builder, whose file is read, not run."""
        if isinstance(self.builder, str) and (found := references.find_file(self.builder)):
            return _read_signature(*found)
        builder = references.load(self.builder)
        parameters = list(inspect.signature(builder).parameters.values())[2:]
        return inspect.getdoc(builder) or "", {each.name: each.default for each in parameters}


def _read_signature(path, name):
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as Python: {error}") from error
    functions = [each for each in tree.body if isinstance(each, ast.FunctionDef)]
    function = next((each for each in functions if each.name == name), None)
    if function is None:
        raise InputError(f"{path}: has no function {name!r} at its top level")
    given = function.args
    named = [*given.posonlyargs, *given.args]
    last = len(named) - len(given.defaults)
    pairs = [*zip(named[last:], given.defaults, strict=True)][max(0, 2 - last) :]
    pairs += zip(given.kwonlyargs, given.kw_defaults, strict=True)
    options = {argument.arg: _value(default) for argument, default in pairs}
    return ast.get_docstring(function) or "", options


class _Expression(str):
    """A default that is no literal, as it is written: it says nothing of the option's type."""

    __repr__ = str.__str__


def _value(node):
    """Return the value of a default, or its text where it is no literal."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return _Expression(ast.unparse(node))


def _network(builder, parameters, training=None, /, depthwise=False, **fixed):
    reference = f"cnn_cifar10.architectures.{builder}"
    return Network(reference, parameters, tuple(fixed.items()), training or {}, depthwise)


def _efficientnet(parameters, variant):
    reference = "efficientnet:build_efficientnet"
    return _network(reference, parameters, _HALF, depthwise=True, variant=variant)


# Long gradients are cut where a network is deep, and without a shortcut around each layer.
_CUT = {"clip_norm": 1.0}
_HALF = {**_CUT, "learning_rate": 0.1}  # that of the papers on CIFAR-10
_QUARTER = {**_CUT, "learning_rate": 0.05}  # 0.1 for 256 images, as in Goyal et al., 2017
_PLAIN = {**_CUT, "learning_rate": 0.02}  # nothing is normalized
# A classifier on frozen features, which are computed once where images do not change.
_FROZEN = {"optimizer": "adamw", "augment": "none", "label_smoothing": 0.0}

NETWORKS = {
    "baseline_cnn": _network("custom:build_baseline_cnn", 356_810, _PLAIN),
    "custom_cnn": _network("custom:build_custom_cnn", 289_642),
    "fastnet": _network("fastnet:build_fastnet", 1_604_896),
    "vgg16": _network("vgg:build_vgg", 14_732_490, _QUARTER, depth=16),
    "vgg19": _network("vgg:build_vgg", 20_046_026, _QUARTER, depth=19),
    "googlenet": _network("googlenet:build_googlenet", 5_997_962, _HALF),
    "resnet20": _network("resnet:build_cifar_resnet", 271_098, depth=20),
    "resnet32": _network("resnet:build_cifar_resnet", 466_426, depth=32),
    "resnet44": _network("resnet:build_cifar_resnet", 661_754, _CUT, depth=44),
    "resnet56": _network("resnet:build_cifar_resnet", 857_082, _CUT, depth=56),
    "resnet110": _network("resnet:build_cifar_resnet", 1_736_058, _HALF, depth=110),
    "resnet18": _network("resnet:build_resnet", 11_183_562, _HALF, depth=18),
    "resnet50": _network("resnet:build_resnet", 23_573_962, _QUARTER, depth=50),
    "resnet101": _network("resnet:build_resnet", 42_618_314, _QUARTER, depth=101),
    "wide_resnet16_4": _network(
        "wide_resnet:build_wide_resnet", 2_752_506, _HALF, depth=16, widen_factor=4
    ),
    "wide_resnet28_10": _network(
        "wide_resnet:build_wide_resnet", 36_497_146, _HALF, depth=28, widen_factor=10
    ),
    "efficientnet_b0": _efficientnet(4_062_374, "b0"),
    "efficientnet_b1": _efficientnet(6_588_042, "b1"),
    "efficientnet_b2": _efficientnet(7_782_652, "b2"),
    "efficientnet_b3": _efficientnet(10_798_898, "b3"),
    "transfer": _network("transfer:build_transfer", 3_425_834, _FROZEN, depthwise=True),
}
"""The networks, by name."""

ALIASES = {"resnet": "resnet20"}


def list_models() -> list[str]:
    """Return the names of the networks, sorted."""
    return sorted(NETWORKS)


def find_network(model: str) -> Network:
    """Return the `Network` of a name, or of a reference such as `"my_net.py:build"`.

    Raises:
        InputError: If there is none.
    """
    if ":" in model:
        return Network(model)
    name = ALIASES.get(model, model)
    if name not in NETWORKS:
        raise InputError(
            f"no model is named {model!r}: choose from {', '.join(list_models())}, or name a "
            "function of your own, path/to/file.py:build"
        )
    return NETWORKS[name]


def usual_training(model: str | Callable) -> dict[str, Any]:
    """Return what the training of a network has in place of the standard recipe's fields.

    Nothing for networks that are not registered, such as your own.
    """
    network = NETWORKS.get(ALIASES.get(model, model)) if isinstance(model, str) else None
    return dict(network.training) if network else {}


def check_options(model: str, options: Iterable[str]) -> None:
    """Raise an `InputError` if a network has no option of one of these names."""
    allowed = find_network(model).options
    for option in options:
        if option not in allowed:
            choice = f"its options are {', '.join(allowed)}" if allowed else "it has no options"
            raise InputError(f"{ALIASES.get(model, model)} has no option {option!r}: {choice}")


def create_model(
    name: str,
    input_shape: tuple[int | None, int | None, int] = (32, 32, 3),
    num_classes: int = 10,
    **options: Any,
) -> "keras.Model":
    """Build an uncompiled model by name.

    Args:
        name: One of `list_models()`, an alias in `ALIASES`, or a function of your own,
            `"path/to/file.py:build"` or `"module:build"`.
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
    network, name = find_network(name), ALIASES.get(name, name)
    if num_classes < 2:
        raise InputError(f"num_classes must be at least 2, received {num_classes}")
    check_options(name, options)
    builder = references.load(network.builder)
    try:
        model = builder(tuple(input_shape), num_classes, **dict(network.fixed), **options)
        return functional(model, tuple(input_shape))
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} cannot be built with {options}: {first_line(error)}") from error
