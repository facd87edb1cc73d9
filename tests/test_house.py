"""The house rules that no other test would notice broken."""

import ast
import importlib.machinery
import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import griffe
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cnn_cifar10"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
REPOSITORY = "https://github.com/cnn-cifar10/cnn-cifar10"
TAUGHT = {
    "02_augmentation": {"rotated", "Grey", "draw", "transform"},
    "03_convolution": {"convolve", "convolve_layer", "max_pool"},
    "04_network_by_hand": {"adam", "sgd", "slope", "softmax"},
    "06_what_it_learned": {"paint"},
    "07_architectures": {
        *("conv", "build", "size_of", "vgg_block", "inception_module", "plain_block"),
        *("residual_block", "projection_block", "bottleneck", "wide_block", "mbconv", "fast_block"),
    },
    "13_when_to_doubt": {"alarms", "thumbnails"},
}
"""What notebooks define: what they teach. All else is called."""

# The rooms, floor by floor from the ground up: a room uses only rooms below its floor.
FLOORS = (
    ("utils",),
    ("datasets", "architectures", "plotting"),
    ("pipelines", "configs"),
    ("training", "evaluation"),
    ("inference", "reporting"),
    ("serving", "exporting", "experiments"),
    ("cli",),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def imports_of(path):
    """Yield the modules of the package that a file imports, as tuples of names below it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "cnn_cifar10":
            names = [f"cnn_cifar10.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            names = [node.module]
        else:
            continue
        yield from (tuple(name.split(".")[1:]) for name in names if name.startswith("cnn_cifar10."))


def broken_rules(package):
    """Return what in a package goes against the floors or past a door."""
    faults = []
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package).parts
        if len(place) == 1:
            continue
        room = place[0]
        for other, *inside in imports_of(path):
            if other not in FLOOR_OF:  # the package's own names, such as __version__
                continue
            if other == room:
                continue
            if FLOOR_OF[other] >= FLOOR_OF[room]:
                faults.append(f"{'/'.join(place)} imports {other}, which is not below {room}")
            if inside:
                faults.append(f"{'/'.join(place)} imports {other}.{inside[0]} past the door")
    return faults


def test_rooms_use_only_rooms_below_and_enter_by_the_door():
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert folders == set(FLOOR_OF)
    assert broken_rules(PACKAGE) == []


@pytest.mark.parametrize(
    ("file", "line", "fault"),
    [
        ("utils/files.py", "from cnn_cifar10.configs import RECIPES", "imports configs, which is"),
        ("plotting/style.py", "import cnn_cifar10.datasets", "imports datasets, which is not"),
        ("cli/train.py", "from cnn_cifar10.training.run import Run", "training.run past the door"),
        (
            "cli/train.py",
            "    from cnn_cifar10 import nothing\nimport cnn_cifar10.utils.files",
            "past",
        ),
    ],
)
def test_a_planted_import_is_found(tmp_path, file, line, fault):
    path = tmp_path / file
    path.parent.mkdir()
    path.write_text(f"if True:\n    pass\n{line.strip()}\n")
    (found,) = broken_rules(tmp_path)
    assert fault in found


def test_tests_stand_in_folders_named_like_rooms():
    folders = {path.parent.name for path in (ROOT / "tests").rglob("test_*.py")} - {"tests"}
    assert folders <= set(FLOOR_OF) | {"errands"}


QUICK_DOORS = (
    *("utils", "configs", "architectures", "datasets", "evaluation", "inference"),
    *("reporting", "exporting", "cli"),
)


def test_doors_of_what_must_be_quick_load_no_keras():
    doors = ", ".join(f"cnn_cifar10.{room}" for room in QUICK_DOORS)
    code = (
        f"import sys, {doors}; print(sorted({{'keras', 'tensorflow', 'jax'}} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_doors_need_no_extra_but_a_backend(only_with):
    doors = "; ".join(f"from cnn_cifar10.{room} import __doc__" for room in FLOOR_OF)
    done = subprocess.run(
        [sys.executable, "-c", doors],
        env={**os.environ, **only_with("tensorflow")},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stderr[-2000:]


def public_names(door):
    for node in ast.parse(door.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            yield from ast.literal_eval(node.value)


def documented_functions(path, public):
    """Yield the functions and methods that a door names and that have a docstring."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name in public:
            yield node, node.args.args
        if isinstance(node, ast.ClassDef) and node.name in public:
            for method in node.body:
                is_function = isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef))
                if is_function and ast.get_docstring(method) and not method.name.startswith("_"):
                    yield method, method.args.args[1:]


@pytest.mark.parametrize("room", FLOOR_OF)
def test_public_functions_are_annotated(room):
    public = set(public_names(PACKAGE / room / "__init__.py"))
    assert public
    for path in (PACKAGE / room).glob("*.py"):
        for function, arguments in documented_functions(path, public):
            more = [function.args.vararg, function.args.kwarg, *function.args.kwonlyargs]
            missing = [each.arg for each in [*arguments, *more] if each and not each.annotation]
            place = f"{path.relative_to(ROOT)}:{function.lineno} {function.name}"
            assert not missing, f"{place}: no types of {', '.join(missing)}"
            assert function.returns, f"{place}: no type of what it returns"


@pytest.fixture(scope="module")
def package():
    """The package as the reference pages see it: read, not imported."""
    return griffe.load("cnn_cifar10", search_paths=[ROOT])


@pytest.mark.parametrize("room", FLOOR_OF)
def test_reference_pages_can_show_every_public_name(package, room):
    for name in public_names(PACKAGE / room / "__init__.py"):
        each = package[room].members.get(name)
        assert each, f"{room}: {name} is not imported where it can be read"
        assert each.docstring, f"{room}: {name} has no docstring"


def requirements(lines):
    """Return `{package: range}`."""
    pattern = re.compile(r"([a-z0-9-]+)\s*([<>=.,0-9]*)")
    return dict(pattern.match(line).groups() for line in lines if re.match("[a-z]", line))


def listed_lines():
    return (ROOT / "requirements.txt").read_text().splitlines()


def test_requirements_agree_with_the_package():
    listed = requirements(listed_lines())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = project["dependencies"]
    elsewhere = {"torch", "trackers", "hf", "tfds", "kerashub"}  # tested where they are installed
    for name in set(extras) - elsewhere:
        needed += extras[name]
    wanted = requirements(needed)
    assert wanted.items() <= listed.items()
    ranges = requirements([*listed_lines(), *itertools.chain(*extras.values())])
    assert not {name for name, bounds in ranges.items() if not re.match("[>=].*,<", bounds)}
    asked = "tensorflow keras keras-tuner numpy matplotlib seaborn scikit-learn jupyter nbval"
    assert set(asked.split()) <= set(listed)


def test_an_installation_has_every_package():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent for path in PACKAGE.rglob("__init__.py")}
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(setuptools["packages"]) - set(setuptools["package-dir"]) == names


def test_an_installation_has_every_file_that_a_room_reads():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packed = {
        path
        for package, patterns in setuptools["package-data"].items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    files = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".py"}
    assert {path for path in files if "__pycache__" not in path.parts} == packed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebooks:
    @pytest.fixture
    def cells(self, path):
        return json.loads(path.read_text())["cells"]

    @pytest.fixture
    def code(self, cells):
        return [cell for cell in cells if cell["cell_type"] == "code"]

    def test_it_was_run_in_full_from_a_fresh_kernel(self, code):
        assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
        kinds = [(out["output_type"], out.get("name")) for cell in code for out in cell["outputs"]]
        assert ("stream", "stderr") not in kinds
        assert all(kind != "error" for kind, _ in kinds)

    def test_it_is_small_and_says_nothing_private(self, path):
        text = path.read_text()
        assert len(text) < 1_000_000
        assert not re.search(r"/(home|root|Users|tmp|work)/", text)

    def test_only_what_is_taught_is_defined_in_it(self, path, code):
        defined = set()
        for cell in code:
            tree = ast.parse(
                re.sub(r"^(\s*)[%!].*$", r"\1pass", "".join(cell["source"]), flags=re.M)
            )
            kinds = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
            defined |= {node.name for node in ast.walk(tree) if isinstance(node, kinds)}
        assert defined == TAUGHT.get(path.stem, set())

    def test_its_order_is_title_imports_parameters_what_we_learned_and_exercises(self, cells, code):
        assert "".join(cells[0]["source"]).startswith("# ")
        tagged = [i for i, c in enumerate(code) if "parameters" in c["metadata"].get("tags", [])]
        assert tagged == [2]
        headings = [
            line
            for cell in cells
            if cell["cell_type"] == "markdown"
            for line in "".join(cell["source"]).splitlines()
            if line.startswith("## ")
        ]
        assert headings[-2:] == ["## What we learned", "## Exercises"]

    def test_its_sections_are_counted_and_those_that_it_names_are_there(self, path, cells):
        headings = [
            (int(chapter), int(section))
            for cell in cells
            if cell["cell_type"] == "markdown"
            for chapter, section in re.findall(r"^## (\d+)\.(\d+) ", "".join(cell["source"]), re.M)
        ]
        chapter = int(path.stem[:2])
        assert headings == [(chapter, 1 + place) for place in range(len(headings))]
        text = "\n".join("".join(cell["source"]) for cell in cells)
        named = re.findall(rf"[Ss]ections? {chapter}\.(\d+)", text)
        assert {(chapter, int(section)) for section in named} <= set(headings)

    def test_it_says_of_which_images_the_results_are_that_were_kept(self, cells, code):
        if "ROOT" in "".join("".join(cell["source"]) for cell in code[1:]):
            text = "\n".join("".join(cell["source"]) for cell in cells)
            assert "JPEG copy" in text or "facts['dataset']" in text

    def test_its_exercises_have_solutions_that_are_folded(self, cells):
        (start,) = (i for i, c in enumerate(cells) if "## Exercises" in "".join(c["source"]))
        text = "\n".join("".join(cell["source"]) for cell in cells[start:])
        asked = re.findall(r"^\*\*(\d)\.\*\*", text, re.M)
        assert asked == [str(number + 1) for number in range(len(asked))]
        assert 3 <= len(asked) <= 5
        solved = re.findall(
            r"^(?:# @title |<details><summary>)Solution of exercise (\d)", text, re.M
        )
        assert solved == asked
        for cell in cells[start:]:
            if cell["cell_type"] == "code":
                assert "".join(cell["source"]).startswith("# @title Solution")
                assert cell["metadata"]["jupyter"]["source_hidden"]
                assert cell["metadata"]["cellView"] == "form"

    def test_it_opens_in_colab_on_a_gpu_with_its_neighbours(self, path, cells):
        address = REPOSITORY.replace(
            "https://github.com", "https://colab.research.google.com/github"
        )
        place = NOTEBOOKS.index(path)
        linked = {
            NOTEBOOKS[i].name for i in (place - 1, place, place + 1) if 0 <= i < len(NOTEBOOKS)
        }
        found = re.findall(
            rf"{address}/blob/main/notebooks/(\S+?\.ipynb)", "".join(cells[0]["source"])
        )
        assert set(found) == linked
        assert json.loads(path.read_text())["metadata"]["accelerator"] == "GPU"

    def test_it_names_the_repository_once_and_asks_there_for_what_it_lacks(self, path, code):
        assert f'"{REPOSITORY}"' in "".join(code[0]["source"])
        text = path.read_text()
        addresses = set(
            re.findall(r"github(?:\.com)?/([\w-]+/[\w-]+)(?:/blob/main/notebooks|\\\")", text)
        )
        assert addresses == {REPOSITORY.removeprefix("https://github.com/")}
        if "ROOT" in "".join("".join(cell["source"]) for cell in code[1:]):
            assert "cannot be fetched" in "".join(code[0]["source"])

    def test_some_outputs_are_compared(self, code):
        checked = [c for c in code if "# NBVAL_CHECK_OUTPUT\n" in c["source"]]
        assert checked
        assert all(cell["outputs"] for cell in checked)


def test_no_file_is_hidden_by_an_ignore_rule():
    def git(*words):
        done = subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True)
        return done.stdout.split()

    if not git("rev-parse", "--show-toplevel"):
        pytest.skip("needs git and its repository")
    assert not git("ls-files", "--cached", "--ignored", "--exclude-standard")
    new = ("reports/run/report.json", "notebooks/15_new.ipynb", "docs/new.md", "tests/data/new.npz")
    new += (
        "cnn_cifar10/datasets/new.py",
        "cnn_cifar10/configs/new.json",
        "models/efficientnet_lite0/new",
    )
    assert git("check-ignore", *new, "models/run/model.keras") == ["models/run/model.keras"]


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("**/Dockerfile*")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_containers_copy_what_is_there_and_ask_for_extras_that_exist(path):
    text = path.read_text()
    for line in re.findall(r"^COPY (.+) \S+$", text, flags=re.M):
        assert all((ROOT / name).exists() for name in line.split()), line
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extras in re.findall(r"\.\[([\w,-]+)\]", text):
        assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_every_extra_is_tried_alone():
    found = importlib.machinery.SourceFileLoader("packages", str(ROOT / ".ci" / "packages"))
    packages = importlib.util.module_from_spec(importlib.util.spec_from_loader("packages", found))
    found.exec_module(packages)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tried = {extra for extras in packages.TRIALS for extra in extras.split(",") if extra}
    assert tried == set(project["optional-dependencies"])


def test_text_is_written_with_the_same_bytes_on_every_system():
    """On Windows the end of a line becomes two bytes, which checksums of the text do not know."""
    calls = {
        f"{path.relative_to(ROOT)}: {call}"
        for path in PACKAGE.rglob("*.py")
        for call in re.findall(r"\.write_text\(.*", path.read_text(encoding="utf-8"))
        if 'newline="\\n"' not in call
    }
    assert not calls
