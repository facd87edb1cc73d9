"""A new data set is one entry: it is listed, trained on and reported without another change."""

import csv
import json

import numpy as np
import pytest

from cnn_cifar10.cli import main
from cnn_cifar10.datasets import DATASETS, Dataset, DatasetError, Source, Split, load_dataset


def load_stripes(options):
    """images of stripes, across or down; drawn, so it needs no download."""
    if options.image_size not in (None, 16):
        raise DatasetError(f"image_size: stripes are 16, not {options.image_size}")
    rng = np.random.default_rng(options.split_seed)

    def split(first, count):
        labels = np.arange(count) % 2
        stripes = np.where(np.arange(16) % 4 < 2, 200, 50)[:, np.newaxis, np.newaxis]
        images = np.stack([stripes * np.ones((16, 16, 3)) for _ in labels])
        images[labels == 1] = images[labels == 1].swapaxes(1, 2)
        noisy = images + rng.integers(0, 50, images.shape)
        return Split(noisy.astype("uint8"), labels, np.arange(first, first + count))

    return Dataset(
        "stripes", "stripes (drawn)", ("across", "down"), split(0, 64), split(64, 16), split(80, 20)
    )


@pytest.fixture(autouse=True)
def declared(monkeypatch):
    monkeypatch.setitem(DATASETS, "stripes", Source(load_stripes, hub_id="someone/stripes"))


def test_it_is_listed(capsys):
    assert main(["datasets"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.split(maxsplit=1) == ["stripes", DATASETS["stripes"].description]
    assert line.endswith("drawn, so it needs no download")


def test_it_is_trained_on_and_stands_in_the_report_and_the_table(tmp_path, capsys):
    folders = {name: str(tmp_path / name) for name in ("output", "report", "results.csv")}
    options = ["--epochs", "1", "--batch-size", "16", "--model-options", "width=4", "depth=1"]
    places = [f"--{name.removesuffix('.csv')}={path}" for name, path in folders.items()]
    assert main(["train", "--dataset", "stripes", "--quiet", *options, *places]) == 0
    assert "stripes (drawn): 64 images to train on, 16 to" in capsys.readouterr().out

    facts = json.loads((tmp_path / "output" / "run.json").read_text())
    assert facts["dataset"] == "stripes (drawn)"
    assert facts["class_names"] == ["across", "down"]
    assert facts["fingerprint"] == load_dataset("stripes").fingerprint
    report = (tmp_path / "report" / "report.md").read_text()
    assert "20 images of the stripes (drawn) test split" in report
    assert "| across " in report
    with (tmp_path / "results.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["dataset"] == "stripes (drawn)"


def test_its_own_checks_are_the_commands(tmp_path, capsys):
    arguments = ["--dataset", "stripes", "--image-size", "64", "--output", str(tmp_path / "run")]
    assert main(["train", *arguments]) == 2
    assert capsys.readouterr().err == "cnn-cifar10: image_size: stripes are 16, not 64\n"
    assert not (tmp_path / "run").exists()
