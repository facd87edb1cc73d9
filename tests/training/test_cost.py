"""The cost model: what several devices bring, by arithmetic that can be done by hand."""

import numpy as np
import pytest
from PIL import Image

from cnn_cifar10.cli import main
from cnn_cifar10.configs import make_config
from cnn_cifar10.training import (
    Speed,
    estimate_cost,
    estimate_memory,
    measure,
    measure_reading,
    measure_speed,
)

MEASURED = Speed(32, train=0.001, predict=0.0)
CASE = {"images": 10_050, "batch_size": 100, "parameters": 25_000_000}


def test_one_device_sends_nothing():
    cost = estimate_cost(MEASURED, **CASE, devices=1)
    assert (cost.computing, cost.sending, cost.steps) == (pytest.approx(0.1), 0.0, 100)
    assert cost.epoch == pytest.approx(10)  # the images that are left over belong to no step
    assert cost.rate == pytest.approx(1000)


def test_devices_share_validation():
    speed = Speed(32, train=0.001, predict=0.0002)
    one, two = (estimate_cost(speed, **CASE, validation=1000, devices=n) for n in (1, 2))
    assert one.epoch == pytest.approx(10 + 0.2)
    assert two.epoch == pytest.approx(100 * (two.computing + two.sending) + 0.1)


def test_devices_share_computing_and_send_gradients():
    cost = estimate_cost(MEASURED, **CASE, devices=4, bandwidth=1.0, core_seconds=0.01)
    assert cost.computing == pytest.approx(0.025)
    assert cost.sending == pytest.approx(2 * 3 / 4 * 0.1)  # of 100 MB at 1 GB/s
    assert cost.rate == pytest.approx(100 / 0.175)
    assert cost.cores == pytest.approx(0.01 * 100 / 0.175)


def test_memory_is_counted_and_activations_grow_with_the_share():
    options = {"width": 2, "stages": 1, "depth": 1}
    config = make_config(model="custom_cnn", model_options=options, precision="float32")
    few, many = (estimate_memory(config, 32, 10, images) for images in (8, 16))
    trained = 4 * (3 * 9 * 2 + 2 * 2 + (2 + 1) * 10)
    assert few["gradients"] == trained
    assert trained < few["weights"] < 2 * trained  # with statistics of batch normalization
    assert few["optimizer"] == trained  # of momentum
    assert 2 * few.pop("activations") == many.pop("activations") > 16 * 4 * 32 * 32 * 2
    assert few == many


def write_images(folder, classes=("a", "b"), count=40, side=40):
    """Write images of noise, in turns of each class."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), "uint8")
    for i in range(count):
        place = folder / classes[i % len(classes)]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{i}.jpg")


def test_reading_takes_as_long_as_the_processor_works(tmp_path):
    write_images(tmp_path)
    config = make_config(dataset="folder", data_dir=str(tmp_path))
    small, large = (measure_reading(config, size) for size in (32, 1024))
    assert 1e-5 < small < large


def test_the_speed_is_of_one_image(monkeypatch):
    """A step that takes 6.4 seconds, of 32 images; the way there is a fourth of it."""
    taken = []
    monkeypatch.setattr(measure, "_seconds", lambda fit: (taken.append(fit), 6.4)[1])
    config = make_config(dataset="digits", batch_size=32, model_options={"width": 4, "stages": 1})
    assert measure_speed(config, 16, 10) == Speed(16, train=0.2, predict=0.05)
    (fit,) = taken
    fit(1)


class TestCommand:
    @pytest.fixture(autouse=True)
    def _measured(self, monkeypatch):
        monkeypatch.setattr("cnn_cifar10.training.measure_speed", lambda *_: MEASURED)

    def test_it_plans_for_data_that_are_elsewhere(self, capsys):
        words = "--dataset imagenet --images 1000000 --classes 1000 --batch-size 1000 --epochs 2"
        assert main(["plan", *words.split(), "--devices", "8", "--price", "3"]) == 0
        said = capsys.readouterr().out
        assert "1,000,000 images of 224 pixels; batches of 1000" in said
        assert "one device, measured here: 1,000 images/s" in said
        assert "2 epochs of 125 s: 0.07 hours" in said
        assert "price: 1.67" in said
        assert "memory of a device: about" in said

    def test_a_folder_that_is_elsewhere_is_not_read(self, capsys):
        words = "--dataset folder --images 1000 --image-size 48 --model custom_cnn"
        assert main(["plan", *words.split()]) == 0
        assert "1,000 images of 48 pixels" in capsys.readouterr().out

    def test_a_folder_is_measured_at_the_size_that_training_reads(self, tmp_path, capsys):
        write_images(tmp_path, side=100)
        assert main(["plan", "--data-dir", str(tmp_path), "--model", "custom_cnn"]) == 0
        assert "32 images of 64 pixels" in capsys.readouterr().out

    def test_imagenet_is_listed_and_not_read(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr("cnn_cifar10.training.load_data", lambda config: pytest.fail("reads"))
        synsets = ("n01440764", "n01443537")
        for split in ("train", "val"):
            write_images(tmp_path / split, synsets)
        lines = [f"{synset} name" for synset in synsets]
        (tmp_path / "LOC_synset_mapping.txt").write_text("\n".join(lines))
        assert main(["plan", "--dataset", "imagenet", "--data-dir", str(tmp_path)]) == 0
        assert "36 images of 224 pixels" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("--classes 5", "--classes is for --images"),
            ("--devices 3", "batches of 128 images are not shared evenly"),
            ("--devices 0", "--devices must be above 0, received 0"),
            ("--images -1", "--images must be above 0, received -1"),
            ("--images 9 --minutes 1", "--minutes looks at the data, and --images does not"),
        ],
    )
    def test_what_cannot_be_planned_is_said(self, capsys, words, message):
        assert main(["plan", "--dataset", "digits", *words.split()]) == 2
        assert message in capsys.readouterr().err
