"""`train` on one's own images: what is chosen, what is left alone, what goes on."""

import dataclasses
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_cifar10.cli import main, train
from cnn_cifar10.cli.main import _parse
from cnn_cifar10.configs import make_config
from cnn_cifar10.reporting import read_results
from cnn_cifar10.training import Speed
from cnn_cifar10.utils import InputError, working_in, write_json

SMALL = ("--model-options", "width=4", "depth=1")


def make_images(root, classes, size, suffix="png"):
    """`{class: count}` images of noise around a colour of the class, `size` wide and high."""
    rng = np.random.default_rng(0)
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        color = rng.integers(40, 215, 3)
        for i in range(count):
            pixels = color + rng.integers(-40, 40, (*size[::-1], 3))
            Image.fromarray(pixels.astype("uint8")).save(root / name / f"{i}.{suffix}")
    return root


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of photographs in the working directory, where no training is measured."""
    monkeypatch.chdir(tmp_path)
    speed = Speed(128, train=0.01, predict=0.003)
    monkeypatch.setattr("cnn_cifar10.training.measure_speed", lambda *_: speed)
    return make_images(tmp_path / "photos", {"cat": 20, "dog": 12}, (80, 60))


def prepared(*words):
    return train.prepare(_parse(["train", *map(str, words)]))


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("pets", "pets"),
        ("cifar-10-batches-py", "cifar10"),
        ("holds/cifar-10-python.tar.gz", "cifar10"),
        ("cifar-10-python.tar.gz", "cifar10"),
        ("batches/data_batch_1", "cifar10"),
        ("pets.zip", "pets.zip"),
    ],
)
def test_a_place_of_data_is_of_a_folder_unless_it_is_cifar10s(place, source, tmp_path):
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.touch() if path.suffix or path.name.startswith("data_") else path.mkdir()
    named = path.parent if "/" in place else path
    config = train.read_config_of(_parse(["train", "--data-dir", str(named)]))
    assert config.source == source


def test_a_data_set_that_is_named_is_not_guessed(tmp_path):
    (tmp_path / "cifar-10-mine").mkdir()
    named = ["train", "--dataset", "folder", "--data-dir", str(tmp_path)]
    assert train.read_config_of(_parse(named)).dataset == "folder"


@pytest.mark.parametrize(
    "words",
    [
        ("--model", "resnet20"),
        SMALL,
        ("--recipe", "tutorial"),
        ("--recipe", "transfer", "--image-size", "64"),
    ],
)
def test_whoever_asks_for_a_network_gets_it(words, photos):
    config, lines, _ = prepared("--data-dir", photos, *words)
    args = _parse(["train", "--data-dir", str(photos), *words])
    asked = train.read_config_of(args)
    chosen = {"fit": config.fit, "class_weight": config.class_weight, "select": config.select}
    assert config == dataclasses.replace(asked, **chosen)
    assert not any(line.startswith(("model", "image size", "epochs")) for line in lines)


def test_photographs_get_a_pretrained_network_and_icons_a_small_one(photos, tmp_path):
    config, lines, _ = prepared("--data-dir", "photos")
    assert (config.model, config.name) == ("transfer", "photos-transfer-finetuned-seed0")
    assert config.image_size <= 120
    assert "80 x 60 pixels" in lines[1]
    icons = make_images(tmp_path / "icons", {"on": 8, "off": 8}, (24, 20))
    config, *_ = prepared("--data-dir", icons)
    assert (config.model, config.image_size) == ("custom_cnn", 20)


@pytest.mark.parametrize("minutes", ["0", "-3", "nan", "inf"])
def test_minutes_are_above_0(minutes, photos, capsys):
    assert main(["train", "--data-dir", "photos", f"--minutes={minutes}"]) == 2
    assert "--minutes must be above 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--dataset digits --fit pad", "--fit is of image files, not of digits: leave it out"),
        ("--dataset digits --start models/absent", "models/absent: no such folder"),
        ("--dataset cifar10 --skip-damaged", "--skip-damaged is of image files"),
        ("--data-dir photos --model resnet20 --head-epochs 3", "resnet20 has no pretrained feat"),
        ("--data-dir photos --epochs 3 --image-size 64 --minutes 3", "leave one of them out"),
        (
            "--dataset digits --optimizer adam --momentum 0.5",
            "--momentum is of sgd, rmsprop, muon, not of adam: leave it out",
        ),
        (
            "--dataset digits --schedule step --warmup 0.1",
            "--warmup is of cosine, one_cycle, not of step: leave it out",
        ),
        ("--dataset digits --recipe tutorial --warmup 0.1", "not of constant"),
        ("--data-dir photos --momentum 0.5", "not of adamw"),  # which is chosen for photographs
    ],
)
def test_an_option_without_effect_is_refused_before_images_are_read(
    words, message, photos, monkeypatch, capsys
):
    monkeypatch.setattr("cnn_cifar10.training.load_data", lambda config: pytest.fail("loads data"))
    assert main(["train", *words.split()]) == 2
    assert message in capsys.readouterr().err


def begin(config, output):
    """Leave what an interrupted training leaves at first."""
    output.mkdir(parents=True)
    write_json(output / "config.json", config.to_dict())


@pytest.mark.parametrize(
    "words", [(), ("--epochs", "7"), ("--minutes", "3"), ("--seed", "4", "--output", "mine")]
)
def test_the_same_command_goes_on_without_a_new_plan(words, photos, monkeypatch, capsys):
    config, *_ = prepared("--data-dir", "photos", *words)
    args = _parse(["train", "--data-dir", "photos", *words])
    begin(config, train.output_folder(args, config))
    monkeypatch.setattr("cnn_cifar10.training.make_plan", lambda *_, **__: pytest.fail("plans"))
    again, lines, _ = prepared("--data-dir", "photos", *words)
    assert again == config
    assert not lines
    assert "an unfinished run of these options goes on" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [("--epochs", "3"), ("--fit", "stretch"), ("--overwrite",), ("--image-size", "64")]
)
def test_another_command_does_not_go_on(words, photos, monkeypatch):
    config, *_ = prepared("--data-dir", "photos", "--epochs", "5", "--fit", "crop")
    begin(config, train.output_folder(_parse(["train"]), config))

    class PlansError(Exception):
        pass

    def plan(*_, **__):
        raise PlansError

    monkeypatch.setattr("cnn_cifar10.training.make_plan", plan)
    with pytest.raises(PlansError):
        prepared("--data-dir", "photos", *words)


@pytest.mark.parametrize(
    "at", ["datasets.folders.list_folder", "datasets.splits.scan_images", "training.make_plan"]
)
def test_an_interruption_of_the_plan_names_the_same_command(at, photos, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"cnn_cifar10.{at}", interrupt)
    assert main(["train", "--data-dir", "photos", "--minutes", "2"]) == 130
    assert capsys.readouterr().err.endswith(
        "interrupted; continue with: cnn-cifar10 train --data-dir photos --minutes 2\n"
    )


def test_the_same_command_ends_what_is_missing(digits_run, tmp_path, monkeypatch, capsys):
    """Of a run that was killed before its report, before its row, and of a whole one."""
    monkeypatch.chdir(tmp_path)
    run = Path(shutil.copytree(digits_run.path, tmp_path / "models" / "digits"))
    before = (run / "run.json").read_bytes()
    words = "--dataset digits --epochs 2 --augment crop --learning-rate 0.05 --output models/digits"
    command = ["train", *words.split(), "--no-test", "--model-options", "width=8", "depth=1"]

    def lines():
        assert main(command) == 0
        return capsys.readouterr().out.splitlines()

    assert "models/digits: this run is finished; its report is written now" in "".join(lines())
    (row,) = read_results("reports/results.csv")
    report = Path("reports/digits/report.json").read_bytes()
    Path("reports/results.csv").unlink()
    assert "its report is written now" in "".join(lines())
    assert read_results("reports/results.csv")[0]["id"] == row["id"]
    Path("reports/digits/report.json").write_text("{")
    assert "its report is written now" in "".join(lines())
    assert Path("reports/digits/report.json").read_bytes() == report
    assert "models/digits: this run is finished; nothing is left to do" in lines()[-1]
    assert (run / "run.json").read_bytes() == before
    assert main([*command[:-3], "--model-options", "width=16"]) == 2
    assert "holds a finished run of another config" in capsys.readouterr().err


@pytest.mark.slow
def test_a_command_that_needs_a_finished_run_says_how_to_finish_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    output = Path("models/my run")
    begin(make_config(dataset="digits", epochs=1, model_options={"width": 4, "depth": 1}), output)
    assert main(["evaluate", str(output)]) == 2
    assert "my run: holds no training run" in capsys.readouterr().err
    shutil.rmtree(output)
    words = ["--epochs", "2", "--augment", "none", *SMALL, "--output", str(output)]
    with monkeypatch.context() as patch:
        patch.setattr("cnn_cifar10.training.recorder.Recorder.on_test_begin", interrupt)
        assert main(["train", "--dataset", "digits", *words, "--quiet"]) == 130
    capsys.readouterr()
    assert main(["evaluate", str(output)]) == 2
    command = re.search("`(.+)`", capsys.readouterr().err)[1]
    assert main(shlex.split(command)[1:]) == 0
    assert main(["evaluate", str(output)]) == 0


def interrupt(*_):
    raise KeyboardInterrupt


def test_a_run_that_another_process_trains_is_refused_before_keras_is_loaded(tmp_path, run_program):
    with working_in(tmp_path / "run"):
        words = ("train", "--dataset", "digits", "--output", tmp_path / "run")
        *_, error, last = run_program("runs_command.py", "--", *words).splitlines()
        assert error.startswith(f"cnn-cifar10: {tmp_path / 'run'}: is being written by process ")
        assert last.split()[0] == "2"
        assert not {"keras", "tensorflow"} & set(last.split())


def test_places_that_cannot_be_written_are_said_before_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cnn_cifar10.training.train", lambda *_, **__: pytest.fail("trains"))
    Path("file").touch()
    for option in ("--output", "--report", "--results"):
        place = "file/results.csv" if option == "--results" else "file/run"
        assert main(["train", "--dataset", "digits", option, place]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("cnn-cifar10: file")
        assert "cannot be written" in error
    assert {path.name for path in tmp_path.iterdir()} <= {"file", "models"}
    assert not Path("models", "digits-custom_cnn-seed0").exists()


def test_lr_find_draws_a_curve_and_gives_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["--dataset", "digits", "--quiet", *SMALL]
    assert main(["lr-find", *words, "--json"]) == 0
    printed = capsys.readouterr()
    rate = json.loads(printed.out)["learning_rate"]
    *_, command, last = printed.err.splitlines()
    assert command == f"cnn-cifar10 train {' '.join(words)} --learning-rate {rate:.2g}"
    folder = tmp_path / "reports/digits-custom_cnn-seed0"
    assert {path.name for path in folder.iterdir()} == {"lr_find.png", "lr_find.csv"}
    rows = (folder / "lr_find.csv").read_text().splitlines()
    assert rows[0] == "learning_rate,loss,smoothed"
    assert last.startswith("curve: reports/")
    assert not (tmp_path / "models").exists()
    assert _parse(command.split()[1:]).learning_rate == pytest.approx(rate, rel=0.05)


def test_lr_find_refuses_a_learning_rate(capsys):
    assert main(["lr-find", "--dataset", "digits", "--learning-rate", "0.1"]) == 2
    assert "leave it out" in capsys.readouterr().err


def test_a_folder_without_a_test_split_is_reported_on_validation(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for split, count in (("train", 12), ("valid", 4)):
        make_images(tmp_path / "parts" / split, {"a": count, "b": count}, (16, 16))
    words = ("--epochs", "1", "--batch-size", "8", "--quiet", "--json", *SMALL)
    assert main(["train", "--data-dir", "parts", *words]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report["split"] == "validation"
    assert "There is no test split" in printed.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("classes", "size", "words"),
    [
        ({"cat": 20, "dog": 20}, (64, 64), ()),
        ({"a": 30, "b": 9, "c": 8}, (120, 50), ("--epochs", "4")),
        ({"x": 12, "y": 12}, (60, 90), ("--minutes", "1", "--no-test")),
    ],
)
def test_a_folder_of_photographs_becomes_a_model_at_once(
    classes, size, words, tmp_path, monkeypatch, capsys, lite0_weights
):
    monkeypatch.chdir(tmp_path)
    make_images(tmp_path / "photos", classes, size, "jpg")
    assert main(["train", "--data-dir", "photos", "--image-size", "48", *words, "--json"]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report["facts"]["model"] == "transfer"
    assert report["facts"]["run"] == "photos-transfer-finetuned-seed0"
    assert report["metrics"]["train"]["accuracy"] > 0.7
    assert "model: transfer, efficientnet_lite0 from ImageNet (--model)" in printed.err


def test_a_config_is_a_file_with_every_number(photos):
    config, *_ = prepared("--data-dir", "photos")
    assert config == make_config(**config.to_dict())
    assert None not in (config.image_size, config.epochs, config.learning_rate)


@pytest.mark.parametrize(
    ("command", "runs"), [("sweep activation", "run_study"), ("tune --trials 1", "run_search")]
)
def test_studies_and_searches_take_a_folder_alone(command, runs, photos, monkeypatch):
    asked = []

    def stop(what, *_, **__):
        values = [what.reference, 0] if runs == "run_study" else what.corners()[:1]
        asked.append(what.config(*values))
        raise InputError("enough")

    monkeypatch.setattr(f"cnn_cifar10.experiments.{runs}", stop)
    words = "--data-dir photos --group-by (.*)_ --class-weight balanced"
    assert main([*command.split(), *words.split()]) == 2
    (config,) = asked
    assert (config.dataset, config.data_dir) == ("folder", "photos")
    # As `train` has it for folders, where it is not said.
    assert (config.fit, config.select) == ("stretch", "val_macro_f1")
    assert config.class_weight == "balanced"


def test_what_is_refused_leaves_the_report_of_the_run_that_is_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = "train --dataset digits --epochs 1 --model-options width=4 depth=1 --quiet"
    assert main(words.split()) == 0
    report, rows = Path("reports/digits-custom_cnn-seed0/report.json"), Path("reports/results.csv")
    before = report.read_bytes(), rows.read_bytes()
    assert main([*words.split(), "--overwrite", "--distribute", "4"]) == 2
    assert "4" in capsys.readouterr().err
    assert (report.read_bytes(), rows.read_bytes()) == before
