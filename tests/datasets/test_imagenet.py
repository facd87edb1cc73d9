"""ImageNet in Kaggle's and in a plain layout."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_cifar10.datasets import (
    DataOptions,
    DatasetError,
    imagenet,
    load_dataset,
    write_records,
)

SYNSETS = {"n02012849": "crane", "n03126707": "crane", "n01440764": "tench, Tinca tinca"}
OTHERS = {"n03710637": "maillot", "n03710721": "maillot, tank suit", "n01443537": "goldfish"}


@pytest.fixture
def make_imagenet(make_images):
    """A function that makes three synsets of twenty training and two validation images."""

    def make_imagenet(root, prefix="ILSVRC/Data/CLS-LOC", flat=True):
        mapping = "".join(f"{synset} {words}\n" for synset, words in (SYNSETS | OTHERS).items())
        root.mkdir(exist_ok=True)
        (root / "LOC_synset_mapping.txt").write_text(mapping)
        make_images(root / prefix / "train", **dict.fromkeys(SYNSETS, 20))
        # Validation images of a synset that train/ lacks are left out.
        wanted = [*sorted(SYNSETS), "n01443537"]
        if not flat:
            make_images(root / prefix / "val", shade=1, **dict.fromkeys(wanted, 2))
            return root
        lines = ["ImageId,PredictionString"]
        (root / prefix / "val").mkdir()
        for i in range(8):
            name = f"ILSVRC2012_val_{i + 1:08}"
            Image.new("RGB", (8, 8), (i, 0, 9)).save(root / prefix / "val" / f"{name}.JPEG")
            lines.append(f"{name},{wanted[i % 4]} 1 2 3 4 {wanted[i % 4]} 5 6 7 8 ")
        (root / "LOC_val_solution.csv").write_text("\n".join(lines) + "\n")
        return root

    return make_imagenet


@pytest.mark.parametrize("prefix", ["ILSVRC/Data/CLS-LOC", ""])
@pytest.mark.parametrize("flat", [True, False])
def test_imagenet_tests_on_the_official_validation_images(make_imagenet, tmp_path, prefix, flat):
    dataset = load_dataset("imagenet", make_imagenet(tmp_path, prefix, flat))
    assert dataset.title == "ImageNet (ILSVRC 2012), 3 classes"
    assert dataset.class_names == ("tench", "crane (n02012849)", "crane (n03126707)")
    assert dataset.image_shape == (224, 224, 3)
    assert np.bincount(dataset.train.labels).tolist() == [18] * 3
    assert np.bincount(dataset.validation.labels).tolist() == [2] * 3
    assert np.bincount(dataset.test.labels).tolist() == [2] * 3
    assert all("val/" in name for name in dataset.test.ids)
    assert not any("val/" in name for name in [*dataset.train.ids, *dataset.validation.ids])
    if flat:
        images = {Path(name).stem[-1]: label for name, label in
                  zip(dataset.test.ids, dataset.test.labels, strict=True)}  # fmt: skip
        assert images == {"1": 0, "5": 0, "2": 1, "6": 1, "3": 2, "7": 2}


def test_imagenet_names_are_first_synonyms_made_distinct():
    mapping = "".join(f"{synset} {words}\n" for synset, words in (SYNSETS | OTHERS).items())
    names = imagenet._synset_names(mapping)
    assert list(names.values()) == [
        "crane (n02012849)",
        "crane (n03126707)",
        "tench",
        "maillot",
        "maillot, tank suit",
        "goldfish",
    ]


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (lambda root, make: (root / "LOC_synset_mapping.txt").unlink(), ["LOC_synset_mapping.txt"]),
        (lambda root, make: (root / "LOC_val_solution.csv").unlink(), ["LOC_val_solution.csv"]),
        (lambda root, make: (root / "train").rename(root / "training"), ["lacks train"]),
        (lambda root, make: (root / "val").rename(root / "valid"), ["lacks val"]),
        (
            lambda root, make: (root / "train" / "n0").mkdir(),
            ["n0", "not in LOC_synset_mapping.txt"],
        ),
        (lambda root, make: make(root / "train", n03710637=3), ["test has too few", "maillot (0)"]),
        (
            lambda root, make: (root / "LOC_val_solution.csv").write_text(
                "ImageId,PredictionString\n"
            ),
            ["LOC_val_solution.csv", "has no line for val/ILSVRC2012_val_00000001.JPEG"],
        ),
    ],
)
def test_an_incomplete_imagenet_is_refused(
    make_imagenet, make_images, refusal, tmp_path, spoil, parts
):
    spoil(make_imagenet(tmp_path, prefix=""), make_images)
    message = refusal("imagenet", tmp_path)
    assert str(tmp_path) in message
    assert all(part in message for part in parts)


def test_damaged_imagenet_files_are_listed(make_imagenet, tmp_path):
    make_imagenet(tmp_path)
    for file in list(tmp_path.rglob("*.JPEG"))[:1] + list(tmp_path.rglob("*.png"))[:1]:
        file.write_bytes(b"")
    with pytest.raises(DatasetError, match="2 of 66 files"):
        load_dataset("imagenet", tmp_path)


def test_records_of_imagenet_are_imagenet(make_imagenet, tmp_path):
    pytest.importorskip("array_record")
    root = make_imagenet(tmp_path / "files")
    write_records(imagenet.list_files(DataOptions(root))[1], tmp_path / "r", progress=False)
    whole, packed = (load_dataset("imagenet", each) for each in (root, tmp_path / "r"))
    assert (packed.title, packed.class_names) == (whole.title, whole.class_names)
    assert packed.fingerprint == whole.fingerprint


def test_tables_that_a_spreadsheet_saved_are_read(make_imagenet, tmp_path):
    """With a byte order mark, blank lines, and a synset without words."""
    before = load_dataset("imagenet", make_imagenet(tmp_path)).test
    mapping, solved = tmp_path / "LOC_synset_mapping.txt", tmp_path / "LOC_val_solution.csv"
    mapping.write_text("\ufeff" + mapping.read_text() + "n09999999\n", encoding="utf-8")
    solved.write_text("\ufeff" + solved.read_text() + "\n\n", encoding="utf-8")
    after = load_dataset("imagenet", tmp_path).test
    np.testing.assert_array_equal(after.labels, before.labels)
