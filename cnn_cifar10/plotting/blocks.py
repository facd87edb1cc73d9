"""The layers of a block as boxes and arrows."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cnn_cifar10.plotting import style

_BESIDE = ("Activation", "BatchNormalization", "LeakyReLU", "ReLU")  # written in the box before
_MERGES = {"Add": "+", "Concatenate": "stack", "Multiply": "\u00d7"}
_NAMES = {
    "Activation": "",
    "BatchNormalization": "norm",
    "Conv2D": "convolution {0.kernel_size[0]} x {0.kernel_size[1]}, {0.filters}",
    "DepthwiseConv2D": "depthwise {0.kernel_size[0]} x {0.kernel_size[1]}",
    "GlobalAveragePooling2D": "mean over the image",
    "InputLayer": "input, {0.output.shape[3]} channels",
    "MaxPooling2D": "max pooling {0.pool_size[0]} x {0.pool_size[1]}",
    **_MERGES,
}
_ACTIVATIONS = {"linear": "", "relu": "ReLU", "silu": "SiLU"}
_WIDTH, _HEIGHT = 0.86, 0.62  # of a box, where columns and rows are 1 apart


@style.styled
def plot_blocks(blocks: Mapping) -> Figure:
    """Draw blocks of layers side by side: boxes, and arrows along the data from the input down.

    Args:
        blocks: Titles to functional `keras.Model`s of a few layers each. Normalizations
            and activations are written in the box of the layer before them.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    drawn = {title: _place(*_read(model)) for title, model in blocks.items()}
    widths = [
        max(x for _, x, *_ in boxes) - min(x for _, x, *_ in boxes) for boxes in drawn.values()
    ]
    height = 1 + max(y for boxes in drawn.values() for *_, y, _ in boxes)
    figure = style.new_figure(1.75 * sum(w + 1.4 for w in widths), 0.62 * height + 0.3)
    panels = figure.subplots(1, len(drawn), squeeze=False, width_ratios=[w + 1.4 for w in widths])
    for axes, (title, boxes), width in zip(panels[0], drawn.items(), widths, strict=True):
        for box in boxes:
            _draw_box(axes, *box)
        left = min(x for _, x, *_ in boxes) - 0.5
        axes.set(xlim=(left, left + width + 1.4), ylim=(height - 0.5, -0.5), title=title)
        axes.axis("off")
    return figure


def _read(model):
    """Return the lines of each box, and the boxes that it takes its input from."""
    makers = {id(layer.output): layer.name for layer in model.layers}
    sources = {}
    for layer in model.layers:
        given = layer.input if isinstance(layer.input, list) else [layer.input]
        sources[layer.name] = [makers[id(x)] for x in given if makers[id(x)] != layer.name]
    readers = [source for given in sources.values() for source in given]
    texts, inputs, box_of = {}, {}, {}
    for layer in model.layers:
        kind, given = type(layer).__name__.removeprefix("Fused"), sources[layer.name]
        activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
        stride = layer.strides[0] if kind.endswith("Conv2D") else 1
        lines = [
            _NAMES.get(kind, kind).format(layer),
            f"stride {stride}" if stride > 1 else "",
            _ACTIVATIONS.get(activation, activation),
        ]
        boxes = [box_of[source] for source in given]
        if kind in _BESIDE and inputs[boxes[0]] and readers.count(given[0]) == 1:
            box_of[layer.name] = boxes[0]
            texts[boxes[0]] += lines
        else:
            box_of[layer.name] = layer.name
            texts[layer.name], inputs[layer.name] = lines, boxes
    return texts, inputs


def _place(texts, inputs):
    """Return each box's lines, column and row, and the columns and rows of its sources."""
    places: dict[str, tuple[float, int]] = {}
    for name, sources in inputs.items():
        row = 1 + max((places[source][1] for source in sources), default=-1)
        twins = [other for other, given in inputs.items() if given == sources]
        middle = sum(places[source][0] for source in sources) / max(1, len(sources))
        places[name] = middle + twins.index(name) - (len(twins) - 1) / 2, row
    return [
        (texts[name], *places[name], [places[source] for source in sources])
        for name, sources in inputs.items()
    ]


def _draw_box(
    axes: Axes, lines: list[str], x: float, y: int, sources: list[tuple[float, int]]
) -> None:
    """Draw a box and the arrows that lead to it, around the boxes on their way."""
    color = style.PALE_ORANGE if lines[0] in _MERGES.values() else "#f2f2f2"
    if lines[0].startswith(("convolution", "depthwise")):
        color = style.PALE_BLUE
    look = style.Look(color=color, edgecolor=style.GREY, linewidth=0.8, zorder=2)
    axes.bar(x, _HEIGHT, _WIDTH, y - _HEIGHT / 2, **look)
    text = "\n".join(filter(None, (lines[0], ", ".join(filter(None, lines[1:])))))
    axes.text(x, y, text, ha="center", va="center", fontsize=8, zorder=3)
    top, half = y - _HEIGHT / 2, _WIDTH / 2
    path: list[tuple[float, float]]
    for x0, y0 in sources:
        bottom = y0 + _HEIGHT / 2
        if x0 == x and y - y0 > 1:
            out = x + half + 0.05 * (y - y0 + 1)
            path = [(x + half, y0), (out, y0), (out, y), (x + half, y)]
        else:
            turn = top - 0.2 if len(sources) > 1 else bottom + 0.2
            path = [(x0, bottom), (x0, turn), (x, turn), (x, top)]
        axes.plot(*zip(*path, strict=True), color=style.INK, linewidth=1, zorder=1)
        arrow = style.Look(arrowstyle="-|>", color=style.INK, shrinkA=0, shrinkB=0)
        axes.annotate("", path[-1], path[-2], arrowprops=arrow)
