"""The house rules that no other test would notice broken."""

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cnn_cifar10"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# A module imports only from modules above it.
ORDER = (
    "errors", "files", "images", "corruptions", "datasets", "augmentation", "pipelines", "layers",
    "architectures", "gradcam", "features", "configs", "searches", "studies", "hardware", "runs",
    "artifacts", "callbacks", "optimizers", "compiled", "training", "evaluation", "calibration",
    "profiling", "significance", "results", "overlays", "plotting", "closer", "reporting",
    "comparison", "experiments", "analysis", "findings", "trials", "oracles", "tuning", "inference",
    "cards", "exporting", "batching", "monitoring", "protection", "schemas", "page", "server",
    "cli", "__main__",
)  # fmt: skip


def module_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cnn_cifar10."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.ImportFrom) and node.module == "cnn_cifar10":
            yield from (name.name for name in node.names if name.name in ORDER)


def test_modules_import_only_from_above():
    paths = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]
    assert {module_of(path) for path in paths} == set(ORDER)
    for path in paths:
        here = ORDER.index(module_of(path))
        for other in imported_modules(path):
            assert ORDER.index(other) <= here, f"{path.name} imports {other}, which is below it"


def requirements(lines):
    """Return `{package: range}`."""
    pattern = re.compile(r"([a-z0-9-]+)\s*([<>=.,0-9]*)")
    return dict(pattern.match(line).groups() for line in lines if re.match("[a-z]", line))


def test_requirements_agree_with_the_package():
    listed = requirements((ROOT / "requirements.txt").read_text().splitlines())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = project["dependencies"]
    for name in set(extras) - {"torch"}:  # tested where it is installed
        needed += extras[name]
    wanted = requirements(needed)
    assert wanted.items() <= listed.items()
    assert all(listed.values()), "every requirement has a range"
    asked = "tensorflow keras keras-tuner numpy matplotlib seaborn scikit-learn jupyter nbval"
    assert set(asked.split()) <= set(listed)


def test_an_installation_has_every_package():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent for path in PACKAGE.rglob("__init__.py")}
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(setuptools["packages"]) - set(setuptools["package-dir"]) == names


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

    def test_the_library_does_the_work(self, code):
        for cell in code:
            tree = ast.parse(
                re.sub(r"^(\s*)[%!].*$", r"\1pass", "".join(cell["source"]), flags=re.M)
            )
            kinds = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
            assert not any(isinstance(node, kinds) for node in ast.walk(tree))

    def test_its_order_is_title_imports_parameters_and_what_we_learned(self, cells, code):
        assert "".join(cells[0]["source"]).startswith("# ")
        assert "colab.research.google.com" in "".join(cells[0]["source"])
        tagged = [i for i, c in enumerate(code) if "parameters" in c["metadata"].get("tags", [])]
        assert tagged == [2]
        assert "What we learned" in "".join(cells[-1]["source"])

    def test_some_outputs_are_compared(self, code):
        checked = [c for c in code if "".join(c["source"]).startswith("# NBVAL_CHECK_OUTPUT")]
        assert checked
        assert all(cell["outputs"] for cell in checked)


def test_no_file_is_hidden_by_an_ignore_rule():
    rules = (ROOT / ".gitignore").read_text().split()
    assert "/models/*" in rules
    assert not {"models", "models/", "data", "data/", "reports", "reports/"} & set(rules)
