"""What notebooks show is what their last full run showed; `make test-slow` runs them all."""

import ast
import importlib
import json
import re
import runpy
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SEAL = runpy.run_path(ROOT / ".ci" / "seal_notebooks.py")
# Figures of the prose that stand in no text output: read from a plot, a report or a paper.
READ_ELSEWHERE = json.loads(Path(__file__).with_name("notebook_figures.json").read_text())

# Blocks that a notebook writes: channels in, options, and where the library has the same block.
BLOCKS = {
    "vgg_block": (3, (64,), "vgg16", "stage1_"),
    "inception_module": (192, (), "googlenet", "stage2_inception1_"),
    "residual_block": (16, (16,), "resnet20", "stage1_block1_"),
    "projection_block": (64, (128,), "resnet18", "stage2_block1_"),
    "bottleneck": (256, (64,), "resnet50", "stage1_block2_"),
    "wide_block": (64, (64,), "wide_resnet16_4", "stage1_block2_"),
    "mbconv": (40, (), "efficientnet_b0", "stage3_block2_"),
    "fast_block": (24, (64,), "fastnet", "stage1_"),
}

_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
_FIGURE = re.compile(
    r"(?<![\w.,/-])(\d[\d,]*(?:\.\d+)?)"
    r"(?: (%|points?|seconds?|minutes?|milliseconds)(?!\w)|(?=[^\w%-]|$))"
)
_NO_PROSE = re.compile(
    r"\]\([^)]*\)|\[[^\]]*\d{4}\]|^#.*$|[Ss]ections? \d+\.\d+|[Nn]otebooks? \d+|`[^`]*`|^    .*$",
    re.M,
)


def cells_of(path, kind):
    return [
        cell
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == kind
    ]


def imported(source):
    """Yield the module and the name of everything that code imports from the library."""
    source = re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.M)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("cnn_cifar10"):
            yield from ((node.module, alias.name) for alias in node.names)


def text_of(cell):
    """Return a code cell's source and the text of its outputs."""
    parts = ["".join(cell["source"])]
    for output in cell["outputs"]:
        data = output.get("data", {})
        shown = (output.get("text", ""), data.get("text/plain", ""), data.get("text/markdown", ""))
        parts += ["".join(part) for part in shown]
    return "\n".join(parts)


def numbers(text):
    return {float(match[0].replace(",", "")) for match in _NUMBER.finditer(text)}


def unfounded(prose, known):
    """Yield the accuracies, counts and times of prose that are none of the known numbers."""
    for match in _FIGURE.finditer(_NO_PROSE.sub("", prose)):
        figure, unit = match[1].rstrip(","), match[2] or ""
        if not unit and "." not in figure and len(figure) < 3:
            continue
        value = float(figure.replace(",", ""))
        slack = 0.5 * 10 ** -len(figure.partition(".")[2]) + 1e-9
        scale = 100 if unit in ("%", "point", "points") else 1 / 60 if "minute" in unit else 1
        if not any(abs(x - value) <= slack or abs(scale * x - value) <= slack for x in known):
            yield match[0]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_notebook_imports_is_there(path):
    found = {pair for cell in cells_of(path, "code") for pair in imported("".join(cell["source"]))}
    assert found
    assert not {module for module, _ in found if module.count(".") > 1}, "rooms have one door"
    missing = {pair for pair in found if not hasattr(importlib.import_module(pair[0]), pair[1])}
    assert not missing


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_cell_was_changed_after_the_run_that_its_output_is_of(path):
    recorded, found = json.loads(SEAL["RECORD"].read_text())[path.stem], SEAL["seals"](path)
    changed = {key for key in found | recorded if recorded.get(key) != found.get(key)}
    assert not changed, "run it in full, by `make notebooks`"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_figures_of_the_prose_stand_in_the_outputs(path):
    known = set().union(*(numbers(text_of(cell)) for cell in cells_of(path, "code")))
    prose = "\n\n".join("".join(cell["source"]) for cell in cells_of(path, "markdown"))
    assert list(unfounded(prose, known)) == READ_ELSEWHERE.get(path.stem, [])


def test_the_exam_of_the_custom_cnn_is_that_of_its_report():
    (path,) = (ROOT / "notebooks").glob("*_custom_cnn.ipynb")
    shown = "\n".join(text_of(cell) for cell in cells_of(path, "code"))
    report = json.loads((ROOT / "reports/cifar10-custom_cnn-seed0/report.json").read_text())
    for split in ("validation", "test"):
        (row,) = re.findall(rf"^\| {split} .*$", shown, re.M)
        figures = report["metrics"][split]
        keys = ("examples", "accuracy", "loss", "top5_accuracy", "macro_f1")
        expected = [
            f"{figures[key]:.4f}" if key != "examples" else str(figures[key]) for key in keys
        ]
        assert [part.strip() for part in row.split("|")[2:-1]] == expected
    for confused in report["most_confused"][:8]:
        row = rf"\| {confused['true_class']} +\| {confused['predicted_class']} +\| +"
        assert re.search(rf"{row}{confused['images']} \|", shown)


def wiring(found, passed_over):
    """Return how often which kind of layer feeds which: what a block is, whatever its names."""
    import keras

    def kind(layer):
        if isinstance(layer, keras.layers.BatchNormalization):
            return "normalization"
        traits = ("kernel_size", "strides", "pool_size", "filters", "activation")
        values = [getattr(layer, trait, None) for trait in traits]
        return type(layer).__name__, *(getattr(value, "__name__", value) for value in values)

    def is_passed_over(layer):
        is_linear = isinstance(layer, keras.layers.Activation) and kind(layer)[-1] == "linear"
        return is_linear or isinstance(layer, passed_over)

    def feeds(layer):
        for tensor in keras.tree.flatten(layer.input):
            before = tensor._keras_history.operation
            if before not in inside:
                yield "x"
            else:
                yield from feeds(before) if is_passed_over(before) else (kind(before),)

    inside = [layer for layer in found if not isinstance(layer, keras.layers.InputLayer)]
    return Counter(
        (before, kind(layer))
        for layer in inside
        if not is_passed_over(layer)
        for before in feeds(layer)
    )


@pytest.mark.slow
def test_blocks_that_a_notebook_writes_are_wired_as_those_of_the_library():
    import keras

    from cnn_cifar10.architectures import create_model

    (path,) = (ROOT / "notebooks").glob("*_architectures.ipynb")
    names = {"keras": keras, "layers": keras.layers}
    for cell in cells_of(path, "code"):
        for node in ast.parse("".join(cell["source"])).body:
            if isinstance(node, ast.FunctionDef):
                exec(compile(ast.Module([node], []), path.name, "exec"), names)
    written = {name for name in names if name.endswith(("_block", "_module"))}
    assert written | {"bottleneck", "mbconv"} == {*BLOCKS, "plain_block"}
    for name, (channels, options, network, place) in BLOCKS.items():
        passed_over = (keras.layers.Dropout,)
        if name == "vgg_block":  # the library's pools before the last normalization
            passed_over += (keras.layers.MaxPooling2D,)
        block = names["build"](names[name], channels, *options)
        same = [each for each in create_model(network).layers if each.name.startswith(place)]
        assert wiring(block.layers, passed_over) == wiring(same, passed_over), name


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_can_be_run_twice_with_what_the_first_one_installs(path, monkeypatch, only_with):
    monkeypatch.setenv("CNN_CIFAR10_SMALL", "1")
    notebook = nbformat.read(path, 4)
    first = next(cell.source for cell in notebook.cells if cell.cell_type == "code")
    extras = re.findall(r"\[([\w,-]+)\](?: @|\")", first)
    others = re.findall(r"\"([\w-]+>=[\d.,<]+)\"", first)
    of_colab = ("ipykernel", "ipywidgets")
    names = ("tensorflow", *(name for group in extras for name in group.split(",")))
    for name, value in only_with(*names, others=[*others, *of_colab]).items():
        monkeypatch.setenv(name, value)
    notebook.cells = [
        nbformat.v4.new_code_cell(cell.source)
        for cell in notebook.cells
        if cell.cell_type == "code"
        for _ in range(2)
    ]
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": path.parent}}).execute()
