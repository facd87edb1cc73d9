"""The command line as a person meets it: real processes, exit codes, one-line errors."""

import dataclasses
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cnn_cifar10.architectures import NETWORKS
from cnn_cifar10.cli import main, options, train
from cnn_cifar10.cli.main import COMMANDS, _parse
from cnn_cifar10.configs import TrainingConfig, list_studies, make_config
from cnn_cifar10.pipelines import AUGMENTATIONS
from cnn_cifar10.reporting import add_result
from cnn_cifar10.utils import InputError, write_json

ROOT = Path(__file__).parents[2]
OWN_NETWORK = f"{Path(__file__).parent / 'programs' / 'own_network.py'}:build"


def run(*arguments):
    command = [sys.executable, "-m", "cnn_cifar10", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def photos(tmp_path_factory, digits):
    """Three test digits as picture files, one in a sub-folder."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "more").mkdir()
    for i, name in enumerate(("a.png", "b.png", "more/c.png")):
        Image.fromarray(digits.test.images[i]).save(folder / name)
    return folder


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_teaches_and_loads_neither_a_framework_nor_numpy(command, run_program):
    arguments = [command, "--help"] if command else ["--help"]
    printed = run_program("runs_command.py", "--", *arguments)
    assert printed.splitlines()[-1] == "0"
    assert "usage: cnn-cifar10" in printed
    if not command:
        assert "cnn-cifar10 train --dataset digits --epochs 5" in printed


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("models", "0"),
        ("models resnet20", "0"),
        ("train --dataset digits --model-options wide=3", "2"),
        (f"predict {ROOT / 'cnn_cifar10/serving/examples/cat.jpg'}", "0"),
    ],
)
def test_what_needs_no_keras_loads_none(arguments, code, run_program):
    printed = run_program("runs_command.py", "--", *arguments.split())
    ended, *loaded = printed.splitlines()[-1].split()
    assert ended == code
    assert not {"keras", "tensorflow", "jax", "matplotlib"} & set(loaded)


def test_the_documentation_has_a_row_for_each_command():
    lines = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").splitlines()
    first = " ".join(line.split("|")[1] for line in lines if line.startswith("| `"))
    assert sorted(re.findall("`(.+?)`", first)) == sorted(COMMANDS)


def test_the_examples_of_the_help_can_be_run(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    examples = [line.split()[1:] for line in lines if line.startswith("  cnn-cifar10 ")]
    assert len(examples) == 18
    for words in examples:
        args = _parse(words)
        assert args.command.__name__ == f"cnn_cifar10.cli.{words[0].replace('-', '_')}"
        if words[0] == "train":
            train.read_config_of(args)


@pytest.mark.slow
def test_train_evaluate_compare_export_predict_in_one_go(tmp_path, photos, monkeypatch, capsys):
    """The first and the last are processes of their own."""
    monkeypatch.chdir(tmp_path)
    done = run(
        *("train", "--dataset", "digits", "--epochs", 3, "--augment", "crop"),
        *("--learning-rate", 0.05, "--model-options", "width=8", "depth=1", "--seed", 3),
    )
    assert (done.returncode, done.stderr) == (0, "")  # nothing of TensorFlow's log
    name = "digits-custom_cnn-seed3"
    model, report = tmp_path / "models" / name, tmp_path / "reports" / name
    config = json.loads((model / "config.json").read_text())
    assert (config["epochs"], config["model_options"]) == (3, {"width": 8, "depth": 1})
    first, data, network, *epochs, headline, last = done.stdout.splitlines()
    assert first == (
        f"Training custom_cnn (width=8, depth=1) on digits; epochs: 3; run: models/{name}"
    )
    assert data.endswith("1,258 images to train on, 180 to validate, 359 to test")
    assert network == "custom_cnn: 6,530 parameters"
    shown = r"loss \d.*, accuracy 0.*, val_loss \d.*, val_accuracy 0.*"
    shown += r", learning rate now .*, .* s so far"
    assert len(epochs) == 3
    for number, line in enumerate(epochs, 1):
        assert re.fullmatch(rf"epoch {number}/3: {shown}", line)
    assert "images of the digits (scikit-learn) test split correctly" in headline
    assert last == (
        f"model: models/{name}   report: reports/{name}/report.md   row: reports/results.csv"
    )
    assert (report / "report.md").exists()

    first = json.loads((report / "report.json").read_text())
    assert main(["evaluate", str(model), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["metrics"]["test"] == first["metrics"]["test"]

    assert main(["compare", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["mean"] == pytest.approx(first["metrics"]["test"]["accuracy"], abs=1e-4)

    assert main(["predict", "--model", str(model), str(photos)]) == 2
    assert f"run `cnn-cifar10 export {model}`" in capsys.readouterr().err
    assert main(["export", str(model), "--formats", "onnx", "--images", "100"]) == 0
    assert "| onnx " in capsys.readouterr().out
    assert (model / "README.md").exists()

    predicted = run("predict", "--model", model, photos, "--json")
    assert predicted.returncode == 0, predicted.stderr
    rows = json.loads(predicted.stdout)
    assert [Path(row["file"]).name for row in rows] == ["a.png", "b.png", "c.png"]
    for row in rows:
        assert set(row) == {"file", "class", "probability", "top"}
        assert len(row["top"]) == 5
        assert row["top"][0] == {"class": row["class"], "probability": row["probability"]}


@pytest.mark.slow
def test_no_test_leaves_the_test_split_untouched(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = "train --dataset digits --epochs 1 --model-options width=4 --no-test --quiet --json"
    assert main([*arguments.split(), "--tensorboard"]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert set(report["metrics"]) == {"train", "validation"}
    assert "The test split was not used." in report["headline"]
    assert "epoch 1/1" not in printed.err
    logs = tmp_path / "models/digits-custom_cnn-seed0/tensorboard"
    assert {path.parent.name for path in logs.rglob("events*")} == {"train", "validation", "report"}
    written = b"".join(path.read_bytes() for path in (logs / "report").iterdir())
    assert b"confusion_matrix" in written  # an image
    assert b"validation/accuracy" in written
    assert b"learning_rate" in written  # a hyperparameter


def test_an_export_without_a_report_says_how_to_get_one(digits_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(digits_run.path)]) == 2
    assert "no report" in (error := capsys.readouterr().err)
    assert "run `cnn-cifar10 evaluate`" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --dataset digits --model no_such_net", "no model is named 'no_such_net'"),
        ("train --dataset digits --augment blur", "no augmentation is named 'blur'"),
        ("train --dataset digits --epochs 0", "epochs must be 1 or more"),
        ("train --dataset digits --model-options wide=3", "custom_cnn has no option 'wide'"),
        ("train --dataset folder --data-dir nowhere", "nowhere"),
        ("train --dataset folder", "data_dir"),
        (
            "train --config absent.json",
            "cnn-cifar10: absent.json: cannot read the config: No such file or directory\n",
        ),
        ("train --dataset digits --save-every -1", "--save-every must be 0 or more, received -1"),
        ("train --dataset digits --save-every nan", "--save-every must be 0 or more"),
        ("train --config absent.json --recipe tutorial", "give one of them"),
        ("evaluate models/absent", "models/absent: no such folder"),
        ("predict --model models/absent x.png", "models/absent: no such folder"),
        ("predict x.png --threshold 2", "threshold must be in 0 to 1, received 2.0"),
        ("serve --model models/absent", "models/absent: no such folder"),
        ("serve --model hf://owner/name", "hf download owner/name --local-dir name`"),
        ("serve --model hf://owner/name@main", "owner/name --revision main --local-dir name`"),
        ("export models/absent", "models/absent: no such folder"),
        ("push . owner/name", "owner/name: no name of the Hub: write hf://owner/name\n"),
        ("models absent.py:build --trust", "absent.py: no such file"),
        (f"models {__file__}:absent --trust", "has no function 'absent' at its top level"),
        (
            "compare --results absent.csv",
            "absent.csv: cannot be read as a table of results: No such file or directory\n",
        ),
        ("train --dataset digits --output taken", "taken"),
        ("train --dataset digits --train-images 9", "cannot hold one of each of the 10 classes"),
        ("sweep widths", "no study is named 'widths': choose from learning_rate_batch_size"),
        ("sweep absent.json", "absent.json: cannot read the study"),
        ("sweep epochs --epochs 3", "study 'epochs': epochs must be left to its variants"),
        ("sweep activation --seeds 1 1", "seeds must be given, each once, received (1, 1)"),
        ("sweep activation --dataset digits --output taken", "taken"),
        ("train --dataset digits --model-options dropout=2", "custom_cnn cannot be built"),
        ("tune --space absent.json", "absent.json: cannot read the space"),
        ("tune --algorithm grid --set learning_rate=0.1,0.2", "narrow the space"),
        (
            "tune --algorithm grid",
            "'learning_rate_factor', such as --set learning_rate_factor=0.5,",
        ),
        ("tune --algorithm grid --set width=8:16", "'width', such as --set width=8,16, received"),
        ("tune --dataset digits --workers 0", "workers must be 1 or more, received 0"),
        ("tune --dataset digits --set wdith=8", "custom_cnn has no option 'wdith'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("a file, where a folder is wanted")
    assert main(arguments.split()) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("cnn-cifar10: ")
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert printed.err.count("\n") == 1


def test_choosing_needs_runs_that_have_the_figure(tmp_path, capsys):
    results = tmp_path / "results.csv"
    add_result(results, {"run": "a-seed0", "model": "a", "validation_accuracy": 0.5})
    assert main(["compare", "--results", str(results)]) == 2
    assert "no run has a figure for --metric accuracy" in capsys.readouterr().err
    assert main(["compare", "--results", str(results), "--metric", "validation_accuracy"]) == 0
    assert "0.5000" in capsys.readouterr().out


@pytest.fixture
def reports(tmp_path, digits):
    """A table of two runs on digits, one of two seeds, with their predictions."""
    table = tmp_path / "reports" / "results.csv"
    labels = digits.test.labels
    for run, seed, accuracy, wrong in (
        ("digits-big-seed0", 0, 0.96, 9),
        ("digits-big-seed1", 1, 0.94, 9),
        ("digits-small-seed0", 0, 0.9, 30),
    ):
        row = {"run": run, "model": run.split("-")[1], "dataset": digits.title, "seed": seed}
        row |= {"accuracy": accuracy, "validation_accuracy": accuracy - 0.1}
        add_result(table, {**row, "mflops": 100 * accuracy, "seconds": 3})
        (table.parent / run).mkdir()
        np.savez_compressed(
            table.parent / run / "predictions.npz",
            split="test",
            labels=labels,
            predictions=(labels + (np.arange(len(labels)) < wrong)) % 10,
            confidences=np.full(len(labels), 0.5),
            class_names=np.array(digits.class_names),
        )
    return table


def test_compare_prints_a_table_and_writes_a_page(reports, digits, tmp_path, capsys):
    page = tmp_path / "page"
    assert main(["compare", "--results", str(reports), "--output", str(page)]) == 0
    first, *table, last = capsys.readouterr().out.splitlines()
    assert first == f"Comparing the runs in {reports} by accuracy"
    assert last == f"page: {page / 'comparison.md'}"
    assert table[0].split()[1:6:2] == ["run", "dataset", "accuracy"]
    assert [line.split()[1] for line in table[2:]] == ["digits-big", "digits-small"]
    assert "0.9500" in table[2]
    assert "0, 1" in table[2]
    text = (page / "comparison.md").read_text(encoding="utf-8")
    assert "\n".join(table) in text
    images = len(digits.test)
    assert (
        f"Of the {images} images of the test split, all 2 models classify {images - 30} correctly, "
        "and no model classifies 9 correctly; on 21, some models are right and some are wrong."
    ) in text
    assert sorted(path.name for path in page.iterdir()) == [
        "accuracy.png",
        "agreement.png",
        "comparison.md",
        "confusions.png",
        "pareto.png",
    ]


def test_compare_as_json_holds_what_the_table_shows(reports, tmp_path, capsys):
    page = str(tmp_path / "page")
    assert main(["compare", "--results", str(reports), "--output", page, "--json"]) == 0
    printed = capsys.readouterr()
    big, small = json.loads(printed.out)
    assert (big["run"], big["runs"], big["seeds"]) == (
        "digits-big",
        ["digits-big-seed0", "digits-big-seed1"],
        [0, 1],
    )
    assert big["mean"] == pytest.approx(0.95)
    assert small["mflops"] == 90.0
    assert "page: " in printed.err


def test_tables_of_several_folders_are_compared_with_their_predictions(reports, digits, capsys):
    other = reports.parent / "gpu" / "results.csv"
    row = {"run": "digits-big-seed0", "model": "big", "dataset": digits.title, "accuracy": 1.0}
    add_result(other, {**row, "epochs": 30, "mflops": 96.0})
    (other.parent / row["run"]).mkdir()
    np.savez_compressed(
        other.parent / row["run"] / "predictions.npz",
        split="test",
        labels=digits.test.labels,
        predictions=digits.test.labels,
        confidences=np.ones(len(digits.test)),
        class_names=np.array(digits.class_names),
    )
    page = reports.parent / "page"
    tables = ["--results", str(reports), str(other)]
    assert main(["compare", *tables, "--output", str(page), "--json"]) == 0
    printed = capsys.readouterr()
    assert f"Comparing the runs in {reports}, {other} by accuracy" in printed.err
    assert [row["run"] for row in json.loads(printed.out)] == [
        "gpu/digits-big",
        "digits-big",
        "digits-small",
    ]
    assert "all 3 models classify" in (page / "comparison.md").read_text(encoding="utf-8")


def test_a_page_is_of_one_data_set(reports, digits, tmp_path, capsys):
    add_result(reports, {"run": "pets-a-seed0", "model": "a", "dataset": "pets", "accuracy": 0.5})
    page = tmp_path / "page"
    compare = ["compare", "--results", str(reports)]
    assert main(compare) == 0
    assert "pets-a" in capsys.readouterr().out
    assert main([*compare, "--output", str(page)]) == 2
    printed = capsys.readouterr()
    assert printed.out == f"Comparing the runs in {reports} by accuracy\n"
    assert printed.err == (
        "cnn-cifar10: a page is of one data set: choose one with --dataset from "
        "'digits (scikit-learn)', 'pets'\n"
    )
    assert not page.exists()

    assert main([*compare, "--output", str(page), "--dataset", digits.title, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["run"] for row in rows] == ["digits-big", "digits-small"]
    text = (page / "comparison.md").read_text(encoding="utf-8")
    assert text.startswith(f"# Comparison on {digits.title}")
    assert "pets" not in text


def test_an_unknown_data_set_is_explained(reports, capsys):
    assert main(["compare", "--results", str(reports), "--dataset", "digits"]) == 2
    assert capsys.readouterr().err == (
        f"cnn-cifar10: {reports}: no run is on 'digits': choose from 'digits (scikit-learn)'\n"
    )


def test_a_page_to_choose_by_says_so_and_shows_nothing_of_the_test_split(
    reports, digits, tmp_path, capsys
):
    row = {"run": "digits-new-seed0", "model": "new", "dataset": digits.title}
    add_result(reports, {**row, "accuracy": 0.123, "macro_f1": 0.456, "validation_accuracy": 0.8})
    choose = ["compare", "--results", str(reports), "--metric", "validation_accuracy"]
    assert main([*choose, "--output", str(tmp_path / "page")]) == 0
    printed = capsys.readouterr().out
    text = (tmp_path / "page" / "comparison.md").read_text(encoding="utf-8")
    for shown in (printed, text):
        assert "0.8000" in shown
        assert "validation accuracy" in shown
        assert "0.123" not in shown
        assert "0.456" not in shown
    assert "## Agreement" not in text


def test_an_evaluated_run_can_be_compared(digits_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", str(digits_run.path)]) == 0
    capsys.readouterr()
    assert main(["compare", "--output", "page", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["runs"] == [digits_run.path.name]
    assert row["mflops"] > 0
    assert row["latency_ms"] > 0
    text = (tmp_path / "page" / "comparison.md").read_text(encoding="utf-8")
    assert text.startswith("# Comparison on digits")
    assert "## Agreement" not in text


@pytest.mark.slow
def test_diagnostics_are_part_of_the_report(digits_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", str(digits_run.path), "--diagnostics", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["diagnostics"]
    assert all(0 <= found[key] < 1 for key in ("calibration_error", "calibrated_error"))
    assert {row["severity"] for row in found["corruptions"]} == set(range(6))
    (folder,) = (path for path in (tmp_path / "reports").iterdir() if path.is_dir())
    text = (folder / "report.md").read_text()
    for figure in ("calibration.png", "robustness.png", "gradcam.png", "labels.png"):
        assert f"({figure})" in text
        assert (folder / figure).read_bytes().startswith(b"\x89PNG")
    assert f"the temperature {found['temperature']:.2f}, fitted to the validation split" in text
    clean, worst = (found["corruptions"][i]["accuracy"] for i in (0, 5))
    assert re.search(rf"\| gaussian noise +\| +{clean:.1%} .*\| +{worst:.1%} \|", text)
    doubtful = found["label_errors"][0]
    assert doubtful["label"] != doubtful["predicted"]


def test_no_temperature_is_judged_by_the_images_it_was_fitted_to(
    digits_run, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cnn_cifar10.reporting.diagnostics.evaluate_corruptions", lambda *_: [])
    monkeypatch.setattr("cnn_cifar10.plotting.plot_robustness", lambda *_: Figure())
    assert main(["evaluate", str(digits_run.path), "--diagnostics", "--no-test", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["diagnostics"]
    assert 0 < found["calibration_error"] < 1
    assert not {"temperature", "calibrated_error"} & set(found)


def test_options_change_what_a_file_says_and_no_more(tmp_path, monkeypatch):
    seen = []

    def load_data(config):
        seen.append(config)
        raise InputError("enough is known")

    monkeypatch.setattr("cnn_cifar10.training.load_data", load_data)
    path = tmp_path / "config.json"
    options = {"width": 8, "depth": 1}
    config = TrainingConfig(optimizer="sgd", learning_rate=0.7, model_options=options, seed=3)
    path.write_text(json.dumps(config.to_dict()))

    def changed(options):
        assert main(["train", "--config", str(path), *options.split()]) == 2
        return seen.pop()

    assert changed("--epochs 9") == dataclasses.replace(config, epochs=9)
    wider = changed("--model-options width=16")
    assert wider.model_options == {"width": 16, "depth": 1}
    assert changed("--model vgg16").model_options == {}
    adam = changed("--optimizer adam")
    assert adam.learning_rate == TrainingConfig(optimizer="adam").learning_rate
    assert (adam.seed, adam.model_options) == (3, options)
    assert changed("--optimizer adam --learning-rate 0.5").learning_rate == 0.5


@pytest.mark.parametrize(
    ("chosen", "words", "expected"),
    [
        ({}, "--model vgg16", {"learning_rate": 0.05, "clip_norm": 1.0}),
        ({}, "--batch-size 512", {"learning_rate": 0.8, "clip_norm": 0.0}),
        ({}, "--model vgg16 --batch-size 256", {"learning_rate": 0.1}),
        ({}, "--model vgg16 --learning-rate 0.2", {"learning_rate": 0.2}),
        ({"model": "vgg16"}, "--model resnet20", {"learning_rate": 0.2, "clip_norm": 0.0}),
        ({"model": "vgg16"}, "--epochs 3", {"learning_rate": 0.05, "clip_norm": 1.0}),
        ({}, "--model transfer", {"optimizer": "adamw", "augment": "none"}),
        ({"learning_rate": 0.3}, "--model transfer", {"learning_rate": 0.002}),
        ({"learning_rate": 0.3}, "--model vgg16", {"learning_rate": 0.3, "clip_norm": 1.0}),
        ({"learning_rate": 0.3}, "--batch-size 512", {"learning_rate": 0.3}),
        ({"clip_norm": 5.0}, "--model vgg16", {"learning_rate": 0.05, "clip_norm": 5.0}),
    ],
)
def test_another_network_than_a_files_is_trained_as_it_usually_is(
    chosen, words, expected, tmp_path
):
    write_json(path := tmp_path / "config.json", make_config(**chosen).to_dict())
    args = _parse(["train", "--config", str(path), *words.split()])
    changed = train.read_config_of(args).to_dict()
    assert {name: changed[name] for name in expected} == expected


def test_a_wrong_option_does_not_cost_the_run_it_would_replace(tmp_path, digits_run, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(digits_run.path, copy)
    arguments = f"train --dataset digits --augment blur --overwrite --output {copy}"
    assert main(arguments.split()) == 2
    assert "blur" in capsys.readouterr().err
    assert (copy / "model.keras").exists()


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("width=8 batch_norm=No dropout=.1", {"width": 8, "batch_norm": False, "dropout": 0.1}),
        ("dense_units=64,32 activation=relu", {"dense_units": [64, 32], "activation": "relu"}),
        ("dense_units=64 l2=0", {"dense_units": [64], "l2": 0}),
        ('activation="gelu" dense_units=[8]', {"activation": "gelu", "dense_units": [8]}),
    ],
)
def test_model_options_mean_what_people_type(words, options):
    args = _parse(["train", "--model-options", *words.split()])
    assert train.read_config_of(args).model_options == options


def test_a_default_that_is_computed_takes_any_value():
    words = ["width=16", "kind=16"]
    args = _parse(["train", "--model", OWN_NETWORK, "--model-options", *words])
    assert train.read_config_of(args).model_options == {"width": 16, "kind": "16"}


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("tune --set {} --set {}", "set"),
        ("serve --model {} --model {}", "model"),
        ("compare --results {} --results {}", "results"),
    ],
)
def test_an_option_that_is_given_twice_has_all_values(words, name):
    assert [str(each) for each in getattr(_parse(words.format("a", "b").split()), name)] == [
        "a",
        "b",
    ]


def test_the_word_none_stands_for_no_weights():
    args = _parse(["train", "--model", "transfer", "--model-options", "weights=none"])
    assert train.read_config_of(args).model_options == {"weights": None}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --model-options width", "--model-options: 'width' is not NAME=VALUE"),
        (
            "train --model-options depth=two",
            "--model-options: depth=two: expected int, received 'two'",
        ),
        (
            "train --model-options batch_norm=3",
            "--model-options: batch_norm=3: expected bool, received '3'",
        ),
        (
            "train --config {config} --model-options wide=1",
            "--model-options: custom_cnn has no option 'wide': its options are stages, depth, "
            "width, activation, batch_norm, dropout, l2, dense_units",
        ),
        (
            "train --recipe accurate --model resnet20",
            "resnet20 has no option 'filters': its options are width",
        ),
        ("tune --set width=two", "--set: width=two: expected int, received 'two'"),
        ("tune --set warmup=no", "--set: warmup=no: expected float, received 'no'"),
        ("tune --set width", "--set: 'width' is not NAME=VALUE"),
        (
            "tune --model resnet20 --set depth=3",
            "--set: resnet20 has no option 'depth': its options are width",
        ),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_loaded(
    arguments, message, digits_run, monkeypatch, capsys
):
    monkeypatch.setattr("cnn_cifar10.training.load_data", lambda config: pytest.fail("loads data"))
    assert main(arguments.format(config=digits_run.config_path).split()) == 2
    assert capsys.readouterr().err == f"cnn-cifar10: {message}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("trian --dataset digits", "did you mean train?"),
        ("train --epohcs 3", "unrecognized arguments: --epohcs 3; did you mean --epochs?"),
        ("train --optimizer sdg", "did you mean sgd?"),
        # Half a word, which the command to go on with would keep, to begin anew each time.
        ("train --overw", "unrecognized arguments: --overw; did you mean --overwrite?"),
        ("lr-find --jso", "unrecognized arguments: --jso; did you mean --json?"),
    ],
)
def test_a_misspelt_word_suggests_the_near_one(arguments, message, capsys):
    with pytest.raises(SystemExit) as done:
        main(arguments.split())
    assert done.value.code == 2
    assert capsys.readouterr().err.endswith(f"{message}\n")


def test_a_word_like_no_other_suggests_nothing(capsys):
    with pytest.raises(SystemExit):
        main(["frobnicate"])
    assert "did you mean" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("terminal", "quiet", "verbose"), [(True, "", 1), (False, "", 2), (True, "--quiet", 0)]
)
def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(terminal, quiet, verbose, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    assert options.verbosity(_parse(["train", *quiet.split()])) == verbose


def test_a_config_file_is_a_starting_point(digits_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = str(digits_run.config_path)
    assert main(["train", "--config", config, "--epochs", "1", "--quiet", "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)["facts"]["config"]
    expected = {**digits_run.config().to_dict(), "epochs": 1}
    assert {key: trained[key] for key in trained} == {key: expected[key] for key in trained}


def test_the_help_of_sweep_lists_every_study_with_its_question(capsys):
    with pytest.raises(SystemExit):
        main(["sweep", "--help"])
    printed = capsys.readouterr().out
    for name, question in list_studies().items():
        assert f"{name} " in printed
        assert question in printed


def test_datasets_are_listed(capsys):
    assert main(["datasets"]) == 0
    assert "digits" in capsys.readouterr().out


def test_models_are_listed_with_their_options(capsys):
    assert main(["models", "--json"]) == 0
    printed = capsys.readouterr()
    rows = json.loads(printed.out)
    assert [row["name"] for row in rows] == sorted(NETWORKS)
    assert all(row["description"] for row in rows)
    models = {row["name"]: row for row in rows}
    assert models["custom_cnn"]["parameters"] == 289_642
    assert models["custom_cnn"]["options"]["activation"] == "leaky_relu"
    assert models["baseline_cnn"]["options"] == {}
    assert models["resnet20"]["options"] == {"width": 16}  # its name says the depth
    assert models["transfer"]["options"]["backbone"] == "efficientnet_lite0"
    assert models["vgg16"]["training"] == {"clip_norm": 1.0, "learning_rate": 0.05}

    lines = printed.err.splitlines()
    (place,) = (i for i, line in enumerate(lines) if line.startswith("resnet20 "))
    assert lines[place] == (
        "resnet20              271,098 parameters  Build a ResNet of the CIFAR-10 family: three "
        "stages of basic blocks."
    )
    assert lines[place + 1] == f"{'':16} width=16"


def test_a_model_is_explained(capsys):
    assert main(["models", "resnet20"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("resnet20  271,098 parameters\n\nBuild a ResNet of the CIFAR-10 ")
    assert "    width: Channels of the first stage" in printed
    assert printed.endswith("options:\n  width=16\n  depth=20, which this name fixes\n")

    assert main(["models", OWN_NETWORK]) == 0
    assert capsys.readouterr().out.endswith("options:\n  width=WIDTH\n  kind='small'\n")
    assert main(["models", OWN_NETWORK, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["document"] == "Build mine."
    assert document["options"] == {"width": "WIDTH", "kind": "small"}
    assert document["parameters"] is None
    assert main(["models", "no_such_net"]) == 2
    assert "no model is named 'no_such_net'" in capsys.readouterr().err


def test_augmentations_are_listed(capsys):
    assert main(["augmentations"]) == 0
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()] == list(AUGMENTATIONS)


def test_a_backend_that_is_not_installed_is_explained(tmp_path, run_program):
    words = ("torch", "--", "train", "--dataset", "digits", "--output", tmp_path / "run")
    printed = run_program("runs_command.py", *words, KERAS_BACKEND="torch")
    *_, error, last = printed.splitlines()
    assert error.startswith("cnn-cifar10: torch, which Keras would run on, is not installed: pip ")
    assert last.split()[0] == "2"


def test_a_reader_that_has_enough_ends_a_command_quietly():
    """As `| head -1` does."""
    command = [sys.executable, "-m", "cnn_cifar10", "models"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_model_options_add_up(tmp_path, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(
        "cnn_cifar10.cli.train.read_config_of", lambda args: seen.append(args) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        main(["train", "--model-options", "width=4", "--model-options", "depth=1", "dropout=0.1"])
    assert seen[0].model_options == ["width=4", "depth=1", "dropout=0.1"]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ("datasets", ""),
        (
            "train --dataset digits --overwrite --output 'my run'",
            "; continue with: cnn-cifar10 train --dataset digits --output 'my run'",
        ),
        ("sweep activation", "; continue with: cnn-cifar10 sweep activation"),
        ("tune --trials 3", "; continue with: cnn-cifar10 tune --trials 3"),
    ],
)
def test_interrupting_says_so_and_how_to_go_on(arguments, hint, monkeypatch, capsys):
    def interrupt(args):
        raise KeyboardInterrupt

    words = shlex.split(arguments)
    monkeypatch.setattr(f"cnn_cifar10.cli.{words[0]}.run", interrupt)
    assert main(words) == 130
    assert capsys.readouterr().err == f"\ncnn-cifar10: interrupted{hint}\n"


def test_the_same_command_continues_a_report(digits_run, digits, tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("cnn_cifar10.training.load_data", lambda config: digits)
    monkeypatch.setattr("cnn_cifar10.training.train", lambda *_, **__: digits_run)
    monkeypatch.setattr("cnn_cifar10.cli.options.report", interrupt)
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--dataset", "digits", "--no-test", "--report", "my report"]) == 130
    assert capsys.readouterr().err.endswith(
        "continue with: cnn-cifar10 train --dataset digits --no-test --report 'my report'\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_no_command_shows_the_log_of_tensorflow(backend, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    small = ("width=4", "depth=1")
    train = ("train", "--dataset", "digits", "--epochs", 1, "--json")
    trained = run(*train, "--model-options", *small)
    assert trained.returncode == 0
    assert trained.stdout.startswith("{")
    printed = trained.stderr.splitlines()
    assert printed[0].startswith("Training custom_cnn (width=4, depth=1) on digits")
    assert len(printed) == 6
    tune = ("tune", "--dataset", "digits", "--trials", 2, "--epochs", 1, "--workers", 2, "--quiet")
    searched = run(*tune, "--set", *small, "augment=none", "batch_size=128,256")
    assert (searched.returncode, searched.stderr) == (0, "")


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
def test_the_scripts_are_the_commands(script):
    done = subprocess.run(
        [sys.executable, ROOT / script, "--help"], capture_output=True, text=True, check=True
    )
    assert f"usage: cnn-cifar10 {script.removesuffix('.py')}" in done.stdout
