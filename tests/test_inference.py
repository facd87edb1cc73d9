"""One classifier for every door: files and arrays give the same answers."""

import numpy as np
import pytest
from PIL import Image

from cnn_cifar10.errors import InputError
from cnn_cifar10.inference import Classifier, Prediction


def test_top_is_sorted_and_named():
    prediction = Prediction(np.array([0.2, 0.5, 0.3]), ("a", "b", "c"))
    assert [row["class"] for row in prediction.top(2)] == ["b", "c"]
    assert prediction.top(9)[0] == {"class": "b", "probability": 0.5}
    assert len(prediction.top(9)) == 3


def test_files_and_arrays_give_the_models_own_probabilities(digits_run, digits, tmp_path):
    classifier = Classifier.from_run(digits_run.path)
    images = digits.test.images[:3]
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    expected = digits_run.load_model()(images.astype("float32")).numpy()
    for predictions in (classifier.classify(images), classifier.classify_files(paths)):
        np.testing.assert_allclose([p.probabilities for p in predictions], expected, atol=1e-5)
    assert classifier.class_names == tuple("0123456789")


def test_all_unreadable_files_are_named(digits_run, tmp_path):
    with pytest.raises(InputError, match=r"absent\.jpg.*; .*other\.png"):
        Classifier.from_run(digits_run.path).classify_files(
            [tmp_path / "absent.jpg", tmp_path / "other.png"]
        )
