"""Data sets of the Hugging Face Hub and TensorFlow Datasets, as local ones, without a network."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from cnn_cifar10.cli import main
from cnn_cifar10.configs import make_config
from cnn_cifar10.datasets import ImageFiles, load_dataset
from cnn_cifar10.utils import InputError

COUNTS = {"train": 24, "test": 8}
SIZE = (20, 14)


@pytest.fixture(scope="module")
def pixels():
    """Random images of each split, which no near duplicates are among."""
    rng = np.random.default_rng(0)
    return {name: rng.integers(0, 256, (n, *SIZE, 3), dtype="uint8") for name, n in COUNTS.items()}


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def assert_holds(dataset, pixels):
    """Check that a data set of images of their own size holds them with labels by their index."""
    assert dataset.class_names == ("cat", "dog")
    assert isinstance(dataset.train.images, ImageFiles)
    seen = {"train": dataset.train + dataset.validation, "test": dataset.test}
    for name, split in seen.items():
        assert len(split) == COUNTS[name]
        known = {image.tobytes(): i % 2 for i, image in enumerate(pixels[name])}
        for path, label in zip(split.images.paths, split.labels, strict=True):
            assert known.pop(np.asarray(Image.open(path)).tobytes()) == label
        assert not known


def test_a_library_needs_a_name_and_a_name_needs_a_library(refusal):
    assert "write hf:owner/name" in refusal("hf")
    assert "write tfds:name" in refusal("tfds:")
    assert "no data set 'digits:more'" in refusal("digits:more")


def test_a_run_is_named_as_one_folder():
    assert make_config(dataset="hf:owner/name").name == "hf-owner-name-custom_cnn-seed0"


@pytest.mark.parametrize(("name", "extra"), [("hf:a/b", "[hf]"), ("tfds:mnist", "[tfds]")])
def test_a_missing_library_is_named_with_its_extra(monkeypatch, name, extra):
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    with pytest.raises(InputError, match=re.escape(f"pip install 'cnn-cifar10{extra}'")):
        load_dataset(name)


@pytest.fixture
def hugging_face(tmp_path, pixels, monkeypatch):
    """A folder in a layout of the Hub, with a card, and a function that changes its examples."""
    datasets = pytest.importorskip("datasets", reason="pip install 'cnn-cifar10[hf]'")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    folder = tmp_path / "animals"
    features = {"picture": datasets.Image(), "kind": datasets.ClassLabel(names=["cat", "dog"])}

    def write(
        labels=lambda count: np.arange(count) % 2,
        names=("train", "test"),
        pictures=lambda stored: stored,
        **more,
    ):
        given = datasets.Features(features | {key: each[0] for key, each in more.items()})
        for name, images in zip(names, pixels.values(), strict=True):
            columns = {
                "picture": pictures([{"bytes": png(image), "path": None} for image in images]),
                "kind": labels(len(images)).tolist(),
                **{key: each[1](len(images)) for key, each in more.items()},
            }
            part = datasets.Dataset.from_dict(columns, features=given)
            (folder / "data").mkdir(parents=True, exist_ok=True)
            part.to_parquet(folder / "data" / f"{name}-00000-of-00001.parquet")
        return folder

    write()
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# Animals\n")
    return write


def from_hugging_face(folder, tmp_path, column=""):
    return load_dataset(f"hf:{folder}{column}", tmp_path / "hf_cache", image_size=16)


def test_a_hugging_face_data_set_is_read_with_splits_names_and_licence(
    hugging_face, tmp_path, pixels
):
    dataset = from_hugging_face(hugging_face(), tmp_path)
    assert_holds(dataset, pixels)
    assert dataset.title == "animals (Hugging Face)"
    assert dataset.image_shape == (16, 16, 3)
    assert "Licence: cc-by-4.0." in dataset.notes
    again = from_hugging_face(hugging_face(), tmp_path)
    assert again.fingerprint == dataset.fingerprint


def test_a_column_of_labels_is_chosen_where_there_are_several(hugging_face, tmp_path, refusal):
    import datasets

    size = (datasets.ClassLabel(names=["small", "large"]), lambda n: [i % 2 for i in range(n)])
    folder = hugging_face(size=size)
    message = refusal(f"hf:{folder}", tmp_path / "hf_cache")
    assert "has the columns picture, kind, size" in message
    dataset = from_hugging_face(folder, tmp_path, "#size")
    assert dataset.class_names == ("large", "small")


def test_images_without_labels_are_left_out_with_a_note(hugging_face, tmp_path):
    folder = hugging_face(labels=lambda n: np.arange(n) % 2 if n == 24 else np.full(n, -1))
    dataset = from_hugging_face(folder, tmp_path)
    assert "8 images of test are left out: the image or its label is missing." in dataset.notes
    assert len(dataset.train) + len(dataset.validation) + len(dataset.test) == 24


def test_labels_without_images_are_left_out_with_a_note(hugging_face, tmp_path):
    folder = hugging_face(pictures=lambda stored: [*stored[:-2], None, None])
    dataset = from_hugging_face(folder, tmp_path)
    assert "2 images of train are left out: the image or its label is missing." in dataset.notes
    assert len(dataset.train) + len(dataset.validation) == COUNTS["train"] - 2
    assert len(dataset.test) == COUNTS["test"] - 2


@pytest.mark.parametrize("name", ["no/such-name", "nowhere"])
def test_what_hugging_face_cannot_load_is_one_line(hugging_face, tmp_path, refusal, name):
    message = refusal(f"hf:{name}", tmp_path / "hf_cache")
    assert message.startswith(f"hf:{name}: cannot be loaded (")


def test_a_run_on_a_hugging_face_data_set_says_its_licence(hugging_face, tmp_path, capsys):
    name = f"hf:{hugging_face()}"
    places = [f"--{each}={tmp_path / each}" for each in ("output", "report", "results")]
    options = "--model custom_cnn --model-options width=4 depth=1 --image-size 16 --epochs 1"
    assert main(["train", "--dataset", name, *options.split(), "--quiet", *places]) == 0
    assert "Licence: cc-by-4.0." in (tmp_path / "report" / "report.md").read_text()


@pytest.fixture(scope="module")
def tensorflow_datasets(tmp_path_factory, pixels):
    """The folder of a tiny data set of TensorFlow Datasets, named `tiny_animals`."""
    tfds = pytest.importorskip("tensorflow_datasets", reason="pip install 'cnn-cifar10[tfds]'")

    class TinyAnimals(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(*SIZE, 3), encoding_format="png"),
                "label": tfds.features.ClassLabel(names=["cat", "dog"]),
            }
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                supervised_keys=("image", "label"),
                license="CC-BY 4.0",
            )

        def _split_generators(self, manager):
            return {name: self._generate_examples(images) for name, images in pixels.items()}

        def _generate_examples(self, images):
            for i, image in enumerate(images):
                yield i, {"image": image, "label": i % 2}

    tfds.disable_progress_bar()
    folder = tmp_path_factory.mktemp("tensorflow_datasets")
    TinyAnimals(data_dir=folder).download_and_prepare()
    return folder


def test_a_tensorflow_data_set_is_read_with_splits_names_and_licence(tensorflow_datasets, pixels):
    dataset = load_dataset("tfds:tiny_animals", tensorflow_datasets, image_size=16)
    assert_holds(dataset, pixels)
    assert dataset.title == "tiny_animals/1.0.0 (TensorFlow Datasets)"
    assert "Licence: CC-BY 4.0." in dataset.notes


def test_what_tensorflow_datasets_cannot_load_is_one_line(tensorflow_datasets, refusal):
    message = refusal("tfds:no_such_name", tensorflow_datasets)
    assert message.startswith("tfds:no_such_name: cannot be loaded (")
