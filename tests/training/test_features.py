"""Frozen features: computed once, kept under what decides them, and a head trained on them."""

import dataclasses
import errno
import gc
import logging
import os

import keras
import numpy as np
import pytest

from cnn_cifar10.architectures import head_of
from cnn_cifar10.architectures.efficientnet import build_efficientnet_lite0
from cnn_cifar10.architectures.transfer import build_transfer
from cnn_cifar10.configs import make_config
from cnn_cifar10.datasets import ImageFiles, Split, load_dataset
from cnn_cifar10.pipelines import evaluation_batches
from cnn_cifar10.training import Run, build_model, frozen_features, train

pytestmark = pytest.mark.usefixtures("short_lite0")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of each test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cnn-cifar10" / "features"


@pytest.fixture(scope="module")
def few(digits):
    """Sixty digits to train on, twenty to validate."""

    def first(split, count):
        return Split(split.images[:count], split.labels[:count], split.ids[:count])

    return dataclasses.replace(
        digits, train=first(digits.train, 60), validation=first(digits.validation, 20)
    )


@pytest.fixture(scope="module")
def weights(short_lite0, tmp_path_factory, settle, few):
    """A file of random weights with which features differ from image to image."""
    keras.utils.set_random_seed(0)
    body = build_efficientnet_lite0((32, 32, 3))
    settle(body, (few.train.images.astype("float32") - 127) / 128)
    path = tmp_path_factory.mktemp("weights") / "lite0.weights.h5"
    body.save_weights(path)
    return str(path)


@pytest.fixture(scope="module")
def build(weights):
    def build(**options):
        keras.utils.set_random_seed(0)
        return build_transfer(**{"weights": weights, "image_size": 32, **options})

    return build


@pytest.fixture(scope="module")
def model(build):
    return build()


@pytest.fixture(scope="module")
def config(weights):
    """A function to the config of a small run, some fields replaced."""

    def config(recipe="transfer", model_options=(), **fields):
        options = {"weights": weights, "image_size": 32, **dict(model_options)}
        small = {"dataset": "digits", "epochs": 3, "batch_size": 32, "learning_rate": 0.01}
        return make_config(recipe, **{**small, **fields}, model_options=options)

    return config


@pytest.fixture
def predictions(monkeypatch):
    """What was predicted from: the number of images of every call of `predict`."""
    calls, predict = [], keras.Model.predict

    def count(self, *arguments, **options):
        outputs = predict(self, *arguments, **options)
        calls.append(len(outputs))
        return outputs

    monkeypatch.setattr(keras.Model, "predict", count)
    return calls


def arrays_of(features):
    return [features.train.images, features.validation.images]


def assert_equal_arrays(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_features_are_what_the_layer_predicts(model, few):
    features, seconds = frozen_features(model, few, verbose=0)
    network = model.get_layer("features")
    for split, images in ((features.train, few.train), (features.validation, few.validation)):
        assert split.images.shape == (len(images), 1280)
        assert split.images.dtype == "float32"
        expected = network.predict(images.images, batch_size=100, verbose=0)
        np.testing.assert_allclose(split.images, expected, atol=1e-4)
        assert split.images.std(axis=0).max() > 0.1
        np.testing.assert_array_equal(split.labels, images.labels)
        np.testing.assert_array_equal(split.ids, images.ids)
    assert seconds > 0


def test_the_test_split_is_neither_read_nor_returned(model, few):
    unreadable = dataclasses.replace(few, test=Split(ImageFiles(["absent.png"], (32, 32)), [0]))
    features, _ = frozen_features(model, unreadable, verbose=0)
    assert len(features.test) == 0
    assert features.test.images.shape == (0, 1280)
    assert features.class_names == few.class_names
    assert (features.name, features.title) == (few.name, few.title)
    assert features.image_shape == (1280,)


def test_they_are_computed_once(model, few, predictions, cache):
    first, seconds = frozen_features(model, few, verbose=0)
    assert predictions == [60, 20]
    again, recorded = frozen_features(model, few, verbose=0)
    assert predictions == [60, 20]
    assert_equal_arrays(arrays_of(first), arrays_of(again))
    assert recorded == seconds
    assert [path.suffix for path in cache.iterdir()] == [".npz"]


def test_the_same_network_built_again_finds_them(model, build, few, predictions):
    frozen_features(model, few, verbose=0)
    frozen_features(build(), few, verbose=0)
    frozen_features(build(dropout=0.5), few, verbose=0)
    assert predictions == [60, 20]


@pytest.mark.parametrize(
    "backbone", ["vgg16", pytest.param("efficientnet_b0", marks=pytest.mark.slow)]
)
def test_another_backbone_built_again_finds_them(build, few, predictions, backbone):
    for _ in range(2):
        frozen_features(build(backbone=backbone, weights=None), few, verbose=0)
    assert predictions == [60, 20]


def test_other_labels_of_the_same_images_find_them(model, few, predictions):
    frozen_features(model, few, verbose=0)
    labels = few.train.labels[::-1].copy()
    other = dataclasses.replace(few, train=dataclasses.replace(few.train, labels=labels))
    features, _ = frozen_features(model, other, verbose=0)
    assert predictions == [60, 20]
    np.testing.assert_array_equal(features.train.labels, labels)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_one_other_pixel_is_another_data_set(model, few, predictions, split):
    first, _ = frozen_features(model, few, verbose=0)
    images = getattr(few, split).images.copy()
    images[7, 16, 16, 1] ^= 255
    changed = dataclasses.replace(getattr(few, split), images=images)
    other, _ = frozen_features(model, dataclasses.replace(few, **{split: changed}), verbose=0)
    assert predictions == [60, 20] * 2
    before, after = (getattr(x, split).images for x in (first, other))
    assert (before[7] != after[7]).any()
    np.testing.assert_allclose(np.delete(before, 7, 0), np.delete(after, 7, 0), rtol=1e-5)


def test_one_other_weight_is_another_network(build, few, predictions):
    model = build()
    frozen_features(model, few, verbose=0)
    weight = model.get_layer("features").weights[-1]
    value = weight.numpy()
    value[3] += 1
    weight.assign(value)
    frozen_features(model, few, verbose=0)
    assert predictions == [60, 20] * 2


def test_another_precision_is_another_network(build, few, predictions):
    frozen_features(build(), few, verbose=0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build()
    finally:
        keras.config.set_dtype_policy("float32")
    features, _ = frozen_features(model, few, verbose=0)
    assert predictions == [60, 20] * 2
    assert features.train.images.dtype == "float32"


def test_another_size_of_the_same_weights_is_another_network(build, few, predictions):
    frozen_features(build(), few, verbose=0)
    frozen_features(build(image_size=40), few, verbose=0)
    assert predictions == [60, 20] * 2


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["garbage", "cut off", "empty", "an array less", "a pickle"])
def test_a_damaged_file_is_reported_and_replaced(model, few, predictions, cache, caplog, damage):
    first, _ = frozen_features(model, few, verbose=0)
    (path,) = cache.iterdir()
    content = path.read_bytes()
    if damage == "an array less":
        np.savez(path, train=first.train.images, seconds=1.0)
    elif damage == "a pickle":
        np.savez(path, train=np.array([{}]), validation=np.zeros(1), seconds=1.0)
    else:
        path.write_bytes({"garbage": b"x" * 99, "cut off": content[:-50], "empty": b""}[damage])
    with caplog.at_level(logging.WARNING):
        again, _ = frozen_features(model, few, verbose=0)
    assert predictions == [60, 20] * 2
    assert_equal_arrays(arrays_of(first), arrays_of(again))
    (record,) = [x for x in caplog.records if x.name == "cnn_cifar10.training.features"]
    assert record.getMessage().startswith(f"{path} cannot be used, so features are computed again")
    assert [path] == list(cache.iterdir())
    frozen_features(model, few, verbose=0)
    assert predictions == [60, 20] * 2
    gc.collect()  # warns of files left open


@pytest.mark.parametrize(("side", "asked", "size"), [(32, 200, 100), (32, 8, 8), (224, 200, 10)])
def test_large_images_are_predicted_few_at_once(build, few, monkeypatch, side, asked, size):
    def read(split, num_classes, *, batch_size):
        sizes.append(batch_size)
        return evaluation_batches(split, num_classes, batch_size=batch_size)

    sizes = []
    monkeypatch.setattr("cnn_cifar10.training.features.evaluation_batches", read)
    shape = (side, side, 3)
    images = Split(np.zeros((6, *shape), "uint8"), few.train.labels[:6])
    dataset = dataclasses.replace(few, train=images, validation=images)
    frozen_features(build(input_shape=shape), dataset, verbose=0, batch_size=asked)
    assert sizes == [size, size]


def test_images_on_disk_are_known_by_their_content_size_and_fit(model, tmp_path, few, predictions):
    from PIL import Image

    def load(**options):
        return load_dataset("folder", tmp_path / "images", **{"image_size": 32, **options})

    for index in range(12):
        path = tmp_path / "images" / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(few.train.images[index]).save(path)
    dataset = load()
    counts = [len(dataset.train), len(dataset.validation)]
    features, _ = frozen_features(model, dataset, verbose=0)
    np.testing.assert_allclose(
        features.train.images,
        model.get_layer("features")(dataset.train.images[:].astype("float32")),
        atol=1e-3,
    )
    os.utime(dataset.train.images.paths[3], (1, 1))
    (tmp_path / "images").rename(tmp_path / "moved")
    (tmp_path / "images").symlink_to("moved")
    frozen_features(model, load(), verbose=0)
    assert predictions == counts
    frozen_features(model, load(fit="pad"), verbose=0)
    assert predictions == counts * 2
    Image.fromarray(few.train.images[20]).save(dataset.train.images.paths[3])
    frozen_features(model, load(), verbose=0)
    assert len(predictions) == 6


@pytest.mark.parametrize("place", ["a file", "read-only", "a folder in the way", "a full disk"])
def test_a_cache_that_cannot_be_written_is_a_warning(
    model, few, predictions, cache, caplog, monkeypatch, place
):
    if place == "a file":
        monkeypatch.setenv("XDG_CACHE_HOME", __file__)
    elif place == "a folder in the way":
        write = np.savez
        monkeypatch.setattr(np, "savez", lambda part, **arrays: write(part.parent, **arrays))
    else:  # as a superuser, who runs tests, never meets
        code = errno.EROFS if place == "read-only" else errno.ENOSPC

        def fail(*_, **__):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(np, "savez", fail)
    with caplog.at_level(logging.WARNING):
        features, _ = frozen_features(model, few, verbose=0)
    assert len(features.train) == 60
    (record,) = [x for x in caplog.records if x.name == "cnn_cifar10.training.features"]
    assert "features cannot be kept for the next run" in record.getMessage()
    assert not list(cache.glob(".part*"))
    frozen_features(model, few, verbose=0)
    assert predictions == [60, 20] * 2


def test_a_cache_that_cannot_be_read_is_a_warning(model, few, predictions, cache, caplog):
    frozen_features(model, few, verbose=0)
    (path,) = cache.iterdir()
    path.unlink()
    path.mkdir()
    with caplog.at_level(logging.WARNING):
        features, _ = frozen_features(model, few, verbose=0)
    assert len(features.train) == 60
    assert predictions == [60, 20] * 2
    assert "so features are computed again" in caplog.text


def test_the_oldest_features_make_room(model, few, predictions, cache, monkeypatch):
    frozen_features(model, few, verbose=0)
    (first,) = cache.iterdir()
    os.utime(first, (1, 1))
    monkeypatch.setattr("cnn_cifar10.training.features._BOUND", 2.5 * first.stat().st_size)
    for count in (59, 58):
        part = Split(few.train.images[:count], few.train.labels[:count])
        frozen_features(model, dataclasses.replace(few, train=part), verbose=0)
    assert not first.exists()
    assert len(list(cache.iterdir())) == 2


def test_progress_is_shown_where_it_is_asked_for(model, few, capsys):
    frozen_features(model, few, verbose=0)
    assert capsys.readouterr().out == ""
    one_less = Split(few.train.images[1:], few.train.labels[1:])
    frozen_features(model, dataclasses.replace(few, train=one_less), verbose=2)
    assert "features of 59 train images, kept for the next run:" in capsys.readouterr().out


def assert_only_the_classifier_was_trained(run, dataset):
    trained, untrained = run.load_model(), build_model(run.config(), dataset, "float32")
    for a, b in zip(trained.weights, untrained.weights, strict=True):
        assert a.path == b.path
        assert (a.numpy() != b.numpy()).any() == a.path.startswith("logits/"), a.path
    return trained


def test_a_head_is_trained_on_features_and_saved_behind_them(
    tmp_path, few, predictions, cache, config
):
    run = train(config(), tmp_path / "run", dataset=few, verbose=0)
    assert predictions == [60, 20]
    assert len(list(cache.iterdir())) == 1
    model = assert_only_the_classifier_was_trained(run, few)
    assert model.input_shape == (None, 32, 32, 3)

    features, seconds = frozen_features(model, few, verbose=0)
    probabilities = model(few.validation.images.astype("float32")).numpy()
    np.testing.assert_allclose(
        head_of(model)(features.validation.images).numpy(), probabilities, atol=1e-5
    )
    accuracy = np.mean(probabilities.argmax(axis=1) == few.validation.labels)
    history, facts = run.history(), run.facts()
    assert accuracy == pytest.approx(max(history["val_accuracy"]), abs=0.051)
    assert history["seconds"][0] > seconds
    assert facts["parameters"] == model.count_params()
    assert facts["input_shape"] == [32, 32, 3]
    assert facts["examples"] == {"train": 60, "validation": 20, "test": 359}
    assert facts["fingerprint"] == few.fingerprint


def test_a_head_learns(tmp_path, few, config):
    run = train(config(epochs=40), tmp_path / "run", dataset=few, verbose=0)
    assert run.history()["accuracy"][-1] > 0.9
    assert run.history()["loss"][-1] < 0.7 * run.history()["loss"][0]


@pytest.mark.slow
def test_with_augmentation_the_whole_network_runs(tmp_path, few, predictions, cache, config):
    run = train(config(epochs=1, augment="flip"), tmp_path / "run", dataset=few, verbose=0)
    assert predictions == []
    assert not cache.exists()
    assert_only_the_classifier_was_trained(run, few)


@pytest.mark.slow
def test_where_more_is_trained_the_whole_network_runs(tmp_path, few, cache, config):
    small = config(epochs=1, model_options={"trainable_layers": 4})
    run = train(small, tmp_path / "run", dataset=few, verbose=0)
    assert not cache.exists()
    trained, untrained = run.load_model(), build_model(small, few, "float32")
    changed = {
        a.path
        for a, b in zip(trained.weights, untrained.weights, strict=True)
        if (a.numpy() != b.numpy()).any()
    }
    assert changed == {"stage8_conv/kernel", "logits/kernel", "logits/bias"}


@pytest.mark.slow
def test_an_interrupted_head_continues_as_if_it_had_not_been_on_the_same_features(
    tmp_path, few, config, predictions, interruption
):
    small = config(epochs=4, model_options={"dropout": 0.3}, deterministic=True)
    whole = train(small, tmp_path / "whole", dataset=few, verbose=0)
    with pytest.raises(KeyboardInterrupt):
        train(small, tmp_path / "parts", dataset=few, callbacks=[interruption(2, 0)], verbose=0)
    assert not Run(tmp_path / "parts").is_finished
    parts = train(small, tmp_path / "parts", dataset=few, verbose=0)
    assert predictions == [60, 20]

    assert_equal_arrays(whole.load_model().get_weights(), parts.load_model().get_weights())
    for key in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
        assert whole.history()[key] == parts.history()[key], key


@pytest.mark.slow
def test_fine_tuning_starts_where_the_head_ended(tmp_path, few, config):
    frozen = train(config(), tmp_path / "frozen", dataset=few, verbose=0)
    fine = config(
        "finetune",
        start=str(frozen.path),
        model_options={"trainable_layers": -1},
        epochs=1,
        learning_rate=1e-12,
        seed=5,
        augment="none",
    )
    tuned = train(fine, tmp_path / "tuned", dataset=few, verbose=0).load_model()
    for a, b in zip(tuned.weights, frozen.load_model().weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9, err_msg=a.path)
    convolutions = 16  # the stem, the first block's two, three in each other block, the last
    assert len(tuned.trainable_weights) == convolutions + 2
