"""Files from strangers: refused in a line, soon, in little memory; nothing of them is run."""

import csv
import json
import os
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cnn_cifar10.inference import ArtifactError, Classifier, open_session
from cnn_cifar10.inference import session as sessions
from cnn_cifar10.utils import InputError, references

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes and devices")
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

EXPORTS = {
    "description_nested_deeply": r"artifact\.json: cannot read the description",
    "description_of_nothing": r"artifact\.json: class_names must be a list, received None",
    "description_without_end": r"artifact\.json: not a regular file",
    "input_huge": r"artifact\.json: input shape must be \[null, height, width, 3\], 8,192",
    "unknown_fit": r"fit must be one of crop, pad, stretch, received '\\\\x1b\[31mred\\\\x0a'",
    "metrics_infinite": r"artifact\.json: test loss must be a number, received inf",
    "names_too_few": r"model\.onnx: gives 10 probabilities; artifact\.json names 2 classes",
    "input_of_another_size": r"takes images of \(32, 32, 3\), not of \(64, 64, 3\)",
    "checksums_of_bytes": r"SHA256SUMS: no list of checksums",
    "checksums_of_ten_gigabytes": r"SHA256SUMS: has 10,737,418,240 bytes, of which",
    "onnx_empty": r"model\.onnx: ",
    "onnx_cut_off": r"model\.onnx: is no ONNX model, or is damaged; export the model again",
    "onnx_two_gigabytes_of_nothing": r"model\.onnx: is no ONNX model, or is damaged",
    "onnx_loop": r"has the operator Loop, which runs a graph of its own",
    "onnx_outer_product": r"model\.onnx: takes more than 768 MB for 2 images",
    "onnx_other_operators": r"has the operator System of evil\\x1b\[2J, which is not ONNX's own",
    "onnx_data_in_another_file": r"model\.onnx: has data in other files than its own",
    "onnx_tensor_that_is_not_there": r"declares a tensor of 2147483648x2147483648, of which it",
    "onnx_of_one_image": r"must take any number of images",
    "onnx_not_a_number": r"gives probabilities that do not add up to 1",
}
RUNS = {
    "weights_bomb": r"model\.keras: cannot be loaded: holds model\.weights\.h5 compressed",
    "path_that_leads_out": r"holds 5 files, not metadata\.json, config\.json, model\.weights\.h5",
    "more_than_a_zip_can_count": r"is an archive that was changed",
    "pipe": r"model\.keras: not a regular file",
    "config_of_millions": r"has a config of more than 1,000,000 parts",
    "config_nested_deeply": r"config\.json: cannot read the config: maximum recursion depth",
    "lambda_layer": r"has a layer Lambda, which runs code or reads other files",
    "lambda_as_activation": r"has a part __lambda__, which may run code",
    "class_of_another_module": r"asks for the class system of os, which is no layer",
    "part_that_reads_a_file": r"asks for the class keras_hub>BytePairTokenizer of .*is no backbone",
    "unsafe_mode": r"asks for the class enable_unsafe_deserialization of keras\.config",
    "huge_dense_layer": r"declares a network with [\d,]+ bytes of weights or more, and holds 1,15",
    "huge_activations": r"has a layer that gives 524,288,000,000 values or more for an image",
    "other_images_than_it_says": r"takes images of \(32, 32, 3\), not of \(28, 28, 3\)",
    "weights_in_another_file": r"has the weights /layers/conv2d/vars/0 elsewhere",
    "weights_of_a_terabyte": r"has the variable layers/conv2d/vars/0 compressed or in another",
    "weights_that_are_not_there": r"declares 8,589,934,592 bytes of layers/conv2d/vars/0",
}


def check_line(text):
    assert "\n" not in text
    assert not RAW.search(text)


@pytest.mark.parametrize("kind", EXPORTS)
def test_a_hostile_export_is_refused_when_it_is_opened(kind, hostile, tmp_path):
    folder = hostile.make_export(tmp_path, kind)
    with pytest.raises(ArtifactError, match=EXPORTS[kind]) as raised:
        Classifier.open(folder)
    assert str(raised.value).startswith(str(folder))
    check_line(str(raised.value))


@pytest.mark.parametrize("kind", RUNS)
def test_a_hostile_model_is_refused_before_keras_makes_room_for_it(kind, hostile, tmp_path):
    from cnn_cifar10.training import open_run
    from cnn_cifar10.training.run import RunError

    run = open_run(hostile.make_run(tmp_path, kind))
    with pytest.raises(RunError, match=RUNS[kind]) as raised:
        run.load_model()
    assert str(raised.value).startswith(str(run.model_path))
    check_line(str(raised.value))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["predict", "serve", "evaluate", "train"])
def test_every_hostile_file_is_refused_at_every_door(command, hostile, run_program, tmp_path):
    """In a process each, as the command line opens them."""
    kinds = hostile.EXPORTS if command in ("predict", "serve") else hostile.RUNS
    before = set(Path.cwd().iterdir())
    lines = run_program(
        "opens_hostile.py", tmp_path / "work", command, *kinds, timeout=900,
        XDG_CACHE_HOME=str(tmp_path / "cache"),
    )  # fmt: skip
    answers = [json.loads(line) for line in lines.splitlines()]
    assert {answer["kind"] for answer in answers} == {*kinds}
    assert not {answer["kind"]: fault for answer in answers if (fault := hostile.fault_of(answer))}
    assert max(answer["seconds"] for answer in answers) < hostile.SECONDS
    assert not list(tmp_path.rglob("ran")), "code of a file was run, or a file of it written"
    assert set(Path.cwd().iterdir()) == before


def test_the_shipped_model_passes_every_check(hostile, tmp_path):
    """What the collection is made from is right, so each kind has the fault that it is named by."""
    from cnn_cifar10.training import open_run

    hostile.RUNS["none"] = hostile.write_archive
    hostile.EXPORTS["none"] = hostile.sign
    try:
        run, export = (make(tmp_path / make.__name__, "none")
                       for make in (hostile.make_run, hostile.make_export))  # fmt: skip
    finally:
        del hostile.RUNS["none"], hostile.EXPORTS["none"]
    assert open_run(run).load_model().count_params() == 289_642
    assert Classifier.open(export).class_names[0] == "airplane"
    made = hostile.model(hostile.classify(), initializers=[hostile.KERNEL])
    assert open_session(made, input_shape=(32, 32, 3), classes=10)


def test_names_of_a_file_are_never_shown_raw(hostile, tmp_path):
    folder, image = tmp_path / "export", tmp_path / "image.png"
    shutil.copytree(hostile.SHIPPED, folder, ignore=shutil.ignore_patterns("saved_model"))
    description = json.loads((folder / "artifact.json").read_text())
    names = [f"\x1b[2Jcat{i}\u202e\n" for i in range(10)]
    hostile.write_description(folder, json.dumps({**description, "class_names": names}).encode())
    from PIL import Image

    Image.new("RGB", (32, 32)).save(image)
    classifier = Classifier.open(folder)
    assert classifier.class_names[3] == r"\x1b[2Jcat3\u202e\x0a"
    assert not RAW.search(classifier.classify_files([image])[0].label)


def test_a_trial_ends_and_says_so(hostile, tmp_path, monkeypatch):
    monkeypatch.setattr(sessions, "_SECONDS", 0.2)
    folder = hostile.make_export(tmp_path, "onnx_slow")
    with pytest.raises(ArtifactError, match="gives no answer to blank images in 0 seconds"):
        Classifier.open(folder)


@pytest.mark.slow
def test_a_trial_leaves_other_sessions_their_memory(hostile):
    many = np.zeros((3000, 32, 32, 3), "uint8")
    classifier = Classifier.open(hostile.SHIPPED)
    (outputs,) = classifier._run(["probabilities"], many)  # takes more than a trial may
    assert outputs.shape == (3000, 10)


OWN = """
import keras


@keras.saving.register_keras_serializable("{package}")
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x


open({mark!r}, "w").close()
"""


@pytest.fixture
def own_run(tmp_path, hostile, monkeypatch):
    """A run whose model needs the class of a file, which leaves a mark when it is run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code, package = tmp_path / "own.py", f"own{os.getpid()}_{tmp_path.name}"
    code.write_text(OWN.format(package=package, mark=str(tmp_path / "mark")))
    source = f"{code}:Twice"

    def make(path):
        facts = json.loads((path.parent / "run.json").read_text())
        facts["network"] = {"source": source, "sha256": references.digest_of(source)}
        (path.parent / "run.json").write_text(json.dumps(facts))
        part = {"module": "own", "class_name": "Twice", "registered_name": f"{package}>Twice"}
        part["config"] = {"name": "stage1_act1"}

        def change(layers):
            layer = hostile.find(layers, "LeakyReLU")
            part["config"]["name"] = layer["config"]["name"]
            layer.update(part)

        hostile.write_config(path, change)

    monkeypatch.setitem(hostile.RUNS, "own", make)
    from cnn_cifar10.training import open_run

    return open_run(hostile.make_run(tmp_path, "own")), source, tmp_path / "mark"


def test_code_of_ones_own_is_run_only_when_somebody_asked_for_it(own_run, capsys):
    from cnn_cifar10.cli import main

    run, source, mark = own_run
    with pytest.raises(InputError, match=r"needs own\S+>Twice, .* not run here before") as no:
        run.load_model()
    assert f"cnn-cifar10 models {source} --trust" in str(no.value)
    assert not mark.exists()
    assert main(["models", source.replace("own.py:Twice", "absent.py:x"), "--trust"]) == 2
    references.trust(references.digest_of(source))
    assert run.load_model().count_params() == 289_642
    assert mark.exists()


def test_models_trust_notes_the_file_and_runs_nothing(tmp_path, monkeypatch, capsys):
    from cnn_cifar10.cli import main

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code = tmp_path / "net.py"
    mark = tmp_path / "mark"
    text = f"open({str(mark)!r}, 'w')\ndef build(input_shape, num_classes):\n    'Build \x1b[2J.'\n"
    code.write_text(text)
    assert not references.is_trusted(references.digest_of(f"{code}:build"))
    assert main(["models", f"{code}:build", "--trust"]) == 0
    assert references.is_trusted(references.digest_of(f"{code}:build"))
    assert not mark.exists()
    assert not RAW.search(capsys.readouterr().out)
    code.write_text(text + "# changed\n")
    assert not references.is_trusted(references.digest_of(f"{code}:build"))
    assert main(["models", "resnet20", "--trust"]) == 2
    assert "--trust needs a file of your own" in capsys.readouterr().err


def test_a_module_is_found_without_running_its_package(tmp_path, monkeypatch):
    package = tmp_path / "loud"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('was run')")
    (package / "net.py").write_text("x = 1")
    monkeypatch.syspath_prepend(tmp_path)
    assert references.digest_of("loud.net:x")
    assert references.digest_of("loud.absent:x") is None
    assert references.digest_of("absent_anywhere:x") is None


def test_an_archive_is_read_as_zipfile_reads_it(hostile, tmp_path):
    """The collection's own writer makes archives that others can read."""
    hostile.write_archive(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        assert file.testzip() is None
        assert file.namelist() == ["metadata.json", "config.json", "model.weights.h5"]


RUN_FILES = {
    "run.json": [
        *(b"", b"[]", b"\xff", b"[" * 200_000, b"{}", b'{"class_names": 3}', b'{"config": []}'),
        b'{"run": "x", "network": "os:system"}',
    ],
    "config.json": [
        *(b"", b"[]", b"\xff", b"[" * 200_000, b'{"\\u001b[2J": 1}', b'{"dataset": ["digits"]}'),
        *(b'{"dataset": "\\u001b[2J"}', b'{"epochs": 1e400}', b'{"optimizer": {"a": 1}}'),
        *(b'{"dataset": "folder", "data_dir": "\\u0000\\u001b[2J"}', b'{"model": 3}'),
        b'{"dataset": "digits", "image_size": 1000000000}',
    ],
    "history.csv": [b"\xff", b"loss\nx\n", b"loss,accuracy\n1\n", b"loss\n1,2\n", b"loss\n\0\n"],
    "id": [b"\x1b[2J\xff"],
}


@pytest.mark.parametrize(
    ("name", "data"), [(name, data) for name, kinds in RUN_FILES.items() for data in kinds]
)
def test_a_malformed_run_is_refused_in_a_line(name, data, hostile, tmp_path, monkeypatch, capsys):
    from cnn_cifar10.cli import main

    monkeypatch.setitem(hostile.RUNS, "run", hostile.write_archive)
    folder = hostile.make_run(tmp_path, "run")
    (folder / name).write_bytes(data)
    if name in ("history.csv", "id"):
        from cnn_cifar10.training import Run

        if name == "id":
            (folder / "run.json").unlink()
            assert Run(folder).id is None
            return
        with pytest.raises(InputError, match=r"history\.csv: damaged") as raised:
            Run(folder).history()
        check_line(str(raised.value))
        return
    if name == "config.json":  # which run.json holds too
        facts = json.loads((folder / "run.json").read_bytes())
        try:
            facts["config"] = json.loads(data)
        except (ValueError, RecursionError):
            facts["config"] = []
        (folder / "run.json").write_text(json.dumps(facts))
    assert main(["evaluate", str(folder), "--report", str(tmp_path / "report")]) == 2
    said = capsys.readouterr().err.removesuffix("\n")
    assert said.startswith("cnn-cifar10: ")
    check_line(said)


def test_arrays_of_a_report_are_read_within_limits(tmp_path):
    from cnn_cifar10.reporting.predictions import read_predictions

    good = {
        "split": "test", "labels": np.zeros(3, "uint16"), "predictions": np.zeros(3, "uint16"),
        "confidences": np.ones(3, "float16"), "class_names": np.array(["a\x1b[2J", "b"]),
    }  # fmt: skip
    path = tmp_path / "predictions.npz"
    np.savez_compressed(path, **good)
    assert read_predictions(path).class_names == (r"a\x1b[2J", "b")
    for changed in (
        {"labels": np.full(3, 2, "uint16")},
        {"labels": np.zeros(4, "uint16")},
        {"labels": np.zeros((3, 1), "uint16")},
        {"confidences": np.array(["x"] * 3)},
        {"class_names": np.array(3)},
        {"class_names": np.array([{"a": 1}], dtype=object)},
        {"labels": np.zeros(200_000_000, "uint16")},
    ):
        np.savez_compressed(path, **good | changed)
        with pytest.raises(InputError, match=r"predictions\.npz: holds no predictions \(") as fault:
            read_predictions(path)
        check_line(str(fault.value))


def test_a_table_of_results_shows_no_name_raw(tmp_path, capsys):
    from cnn_cifar10.cli import main

    with open(Path(__file__).parents[2] / "reports" / "results.csv", newline="") as file:
        row = next(row for row in csv.DictReader(file) if "custom_cnn" in row["run"])
    hostile = "\x1b[2J\u202ename\x07"
    row |= dict.fromkeys(("run", "model", "dataset", "hardware"), hostile)
    table = tmp_path / "results.csv"
    with open(table, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*row])
        writer.writeheader()
        writer.writerow(row)
    assert main(["compare", "--results", str(table)]) == 0
    assert not RAW.search(capsys.readouterr().out)
    assert main(["compare", "--results", str(table), "--dataset", hostile]) == 2
    assert not RAW.search(capsys.readouterr().err.replace("\n", ""))
