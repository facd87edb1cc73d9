"""One classifier for every door: files, bytes and arrays give the same answers."""

import dataclasses
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_cifar10.datasets import ImageError
from cnn_cifar10.inference import ArtifactError, Classifier, Prediction
from cnn_cifar10.utils import InputError


@pytest.fixture(scope="module")
def classifier(artifact):
    return Classifier.open(artifact)


def keras_probabilities(run, images):
    return run.load_model()(images.astype("float32")).numpy()


def rows(predictions):
    return np.stack([prediction.probabilities for prediction in predictions])


def test_top_is_sorted_and_named():
    prediction = Prediction(np.array([0.2, 0.5, 0.3]), ("a", "b", "c"))
    assert [row["class"] for row in prediction.top(2)] == ["b", "c"]
    assert prediction.top(9)[0] == {"class": "b", "probability": 0.5}
    assert len(prediction.top(9)) == 3


@pytest.mark.parametrize(
    ("threshold", "label"), [(0.0, "b"), (0.5, "b"), (0.51, "unsure"), (1.0, "unsure")]
)
def test_the_label_is_unsure_below_the_threshold(threshold, label):
    prediction = Prediction(np.array([0.2, 0.5, 0.3]), ("a", "b", "c"), threshold)
    assert prediction.label == label
    assert prediction.top(1) == [{"class": "b", "probability": 0.5}]


def test_arrays_files_and_bytes_give_the_models_own_probabilities(
    classifier, digits_run, digits, tmp_path
):
    images = digits.test.images[:70]  # more than two batches
    paths = [tmp_path / f"{i}.png" for i in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    expected = keras_probabilities(digits_run, images)
    for predictions in (
        classifier.classify(images),
        classifier.classify_files(paths),
        classifier.classify_bytes([path.read_bytes() for path in paths]),
    ):
        np.testing.assert_allclose(rows(predictions), expected, atol=1e-5)
        assert predictions[0].class_names == tuple("0123456789")
    assert classifier.classify(images[:0]) == []
    assert classifier.classify_files([]) == []


def test_files_are_answered_one_by_one_and_read_only_a_little_ahead(classifier, digits, tmp_path):
    Image.fromarray(digits.test.images[0]).save(tmp_path / "good.png")
    (tmp_path / "bad.png").touch()
    asked = []

    def many():
        for name in ["good.png", "bad.png", "good.png"] * 1000:
            asked.append(name)
            yield tmp_path / name

    answers = classifier.stream(many())
    for name, (path, answer) in zip(
        ["good.png", "bad.png", "good.png"] * 40, answers, strict=False
    ):
        assert Path(path).name == name
        assert isinstance(answer, Prediction if name == "good.png" else ImageError)
    assert len(asked) < 120 + 200
    answers.close()
    count = len(asked)
    time.sleep(0.05)
    assert len(asked) == count
    assert list(classifier.stream([])) == []


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_an_image_becomes_a_square_as_in_training(fit, classifier, tmp_path):
    from cnn_cifar10.datasets import read_image

    pixels = np.random.default_rng(0).integers(0, 255, (40, 130, 3), dtype="uint8")
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    fitting = dataclasses.replace(classifier, fit=fit)
    expected = classifier.classify(read_image(tmp_path / "wide.png", (32, 32), fit)[None])
    for predictions in (
        fitting.classify_files([tmp_path / "wide.png"]),
        fitting.classify_bytes([(tmp_path / "wide.png").read_bytes()]),
    ):
        np.testing.assert_array_equal(rows(predictions), rows(expected))


def test_embeddings_are_what_the_classifier_layer_takes(artifact, digits_run, digits):
    import keras

    images, model = digits.test.images[:40], digits_run.load_model()
    embed = keras.Model(model.input, model.get_layer("logits").input)
    for mirror in (False, True):
        predictions = Classifier.open(artifact, embed=True, mirror=mirror).classify(images)
        expected = embed(images.astype("float32")).numpy()
        if mirror:
            expected = (expected + embed(images[:, :, ::-1].astype("float32")).numpy()) / 2
        given = np.stack([prediction.embedding for prediction in predictions])
        np.testing.assert_allclose(given, expected, atol=1e-4)
    assert Classifier.open(artifact).classify(images[:1])[0].embedding is None


def test_a_model_without_embeddings_says_so_before_it_classifies(classifier):
    class Before:
        """A model that was exported before there were embeddings."""

        def get_outputs(self):
            return [o for o in classifier.session.get_outputs() if o.name != "embedding"]

    with pytest.raises(ArtifactError, match="was exported without embeddings; export it again"):
        dataclasses.replace(classifier, session=Before(), embed=True)


def test_mirror_averages_over_the_mirror_image(classifier, artifact, digits_run, digits):
    images = digits.test.images[:40]
    expected = (
        keras_probabilities(digits_run, images)
        + keras_probabilities(digits_run, images[:, :, ::-1])
    ) / 2
    assert np.abs(expected - classifier.probabilities(images)).max() > 1e-3
    mirrored = Classifier.open(artifact, mirror=True).classify(images)
    np.testing.assert_allclose(rows(mirrored), expected, atol=1e-5)


def test_the_threshold_reaches_the_predictions(artifact, digits):
    images = digits.test.images[:100]
    best = Classifier.open(artifact).probabilities(images).max(axis=1)
    threshold = float(np.median(best))
    predictions = Classifier.open(artifact, threshold=threshold).classify(images)
    unsure = [prediction.label == "unsure" for prediction in predictions]
    assert unsure == (best < threshold).tolist()
    assert 0 < sum(unsure) < 100


def test_explanations_are_those_of_grad_cam(classifier, digits_run, digits):
    from cnn_cifar10.evaluation import grad_cam

    images, classes = digits.test.images[:50], np.arange(50) % 10
    maps = classifier.explain(images, classes)
    assert (maps.shape, maps.dtype) == ((50, 32, 32), np.float32)
    assert len(np.unique(maps)) > 1000
    np.testing.assert_allclose(maps, grad_cam(digits_run.load_model(), images, classes), atol=1e-4)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_is_a_probability(artifact, threshold):
    with pytest.raises(InputError, match="threshold must be in 0 to 1"):
        Classifier.open(artifact, threshold=threshold)


def test_threads_may_share_a_classifier(classifier, digits):
    images = digits.test.images[:64]
    expected = classifier.probabilities(images)
    with ThreadPoolExecutor(8) as threads:
        for rows in threads.map(classifier.probabilities, [images] * 32):
            np.testing.assert_allclose(rows, expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 28, 28, 3), (32, 32, 3), (2, 32, 32, 1)])
def test_images_of_another_shape_are_refused(classifier, shape):
    with pytest.raises(InputError, match=r"images must have shape \(n, 32, 32, 3\), received"):
        classifier.classify(np.zeros(shape, "uint8"))


def test_all_unreadable_files_are_named(classifier, digits, tmp_path):
    Image.fromarray(digits.test.images[0]).save(tmp_path / "good.png")
    paths = [tmp_path / name for name in ("good.png", "absent.jpg", "other.png")]
    with pytest.raises(InputError, match=r"^[^;]*absent\.jpg: [^;]*; [^;]*; .*other\.png") as error:
        classifier.classify_files(paths)
    assert "good.png" not in str(error.value)


def test_unreadable_bytes_are_numbered(classifier, tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "good.png")
    with pytest.raises(ImageError, match=r"^image 2: holds no image"):
        classifier.classify_bytes([(tmp_path / "good.png").read_bytes(), b"<html>"])


def test_a_model_that_was_changed_is_refused(artifact, tmp_path):
    copy = shutil.copytree(artifact, tmp_path / "copy")
    data = bytearray((copy / "model.onnx").read_bytes())
    data[-1] ^= 1
    (copy / "model.onnx").write_bytes(data)
    with pytest.raises(ArtifactError, match=r"model\.onnx: not the file that SHA256SUMS lists"):
        Classifier.open(copy)


def test_the_shipped_model_predicts_without_keras_or_tensorflow(tmp_path, run_program):
    Image.new("RGB", (90, 60), "skyblue").save(tmp_path / "photo.jpg")
    (row,) = json.loads(run_program("predict.py", tmp_path / "photo.jpg"))
    assert Path(row["file"]).name == "photo.jpg"
    assert len(row["top"]) == 5
    assert sum(each["probability"] for each in row["top"]) <= 1
