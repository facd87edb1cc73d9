"""Folders as people have them: splits in any spelling, any names, and what else lies there."""

import csv
import json
import os
import socket
import unicodedata

import numpy as np
import pytest
from PIL import Image

from cnn_cifar10.datasets import DatasetError, ImageFiles, find_images, load_dataset
from cnn_cifar10.datasets.listing import is_hidden, split_of


def sizes(dataset):
    return [len(split) for split in (dataset.train, dataset.validation, dataset.test)]


def noted(dataset, *words):
    """Whether one of the notes has all these words."""
    return any(all(word in note for word in words) for note in dataset.notes)


# Class folders


def test_class_folders_are_split_and_streamed(make_images, assert_partition, tmp_path):
    make_images(tmp_path / "pets", dog=20, cat=40)
    (tmp_path / "pets" / "README.txt").write_text("not in a class folder")
    dataset = load_dataset("folder", tmp_path / "pets", image_size=16)
    assert (dataset.name, dataset.title) == ("folder", "pets")
    assert dataset.class_names == ("cat", "dog")
    assert dataset.image_shape == (16, 16, 3)
    assert dataset.notes == ()
    assert_partition(dataset, 60)
    for split, counts in (
        (dataset.train, [32, 16]), (dataset.validation, [4, 2]), (dataset.test, [4, 2]),
    ):  # fmt: skip
        assert isinstance(split.images, ImageFiles)
        assert np.bincount(split.labels).tolist() == counts
        pixels = split.images[:]
        for pixel, label, name in zip(pixels[:, 3, 3], split.labels, split.ids, strict=True):
            folder, number = name.split("/")
            assert dataset.class_names[label] == folder
            assert pixel.tolist() == [40 * ["dog", "cat"].index(folder), int(number[:3]), 0]


def test_a_subset_of_a_folder_stays_on_disk(make_images, tmp_path):
    dataset = load_dataset("folder", make_images(tmp_path, cat=20, dog=10))
    part = dataset.subset(12)
    assert isinstance(part.train.images, ImageFiles)
    assert part.image_shape == dataset.image_shape
    np.testing.assert_array_equal(
        part.train.images[:], dataset.train.images[np.isin(dataset.train.ids, part.train.ids)]
    )
    assert np.bincount(part.train.labels).tolist() == [8, 4]
    assert isinstance(dataset.train[[3, 1]].images, ImageFiles)
    assert list(dataset.train[[3, 1]].ids) == list(dataset.train.ids[[3, 1]])


def test_three_images_a_class_are_one_for_each_split(make_images, tmp_path):
    dataset = load_dataset("folder", make_images(tmp_path, a=3, b=3))
    for split in (dataset.train, dataset.validation, dataset.test):
        assert split.labels.tolist() == [0, 1]
        assert split.images.shape == (2, 64, 64, 3)  # the size by default


def test_images_in_folders_below_a_class_count(make_images, assert_partition, tmp_path):
    make_images(tmp_path, a=3, b=3)
    make_images(tmp_path / "a" / "2023", shade=1, May=2, **{"June 5": 2})
    dataset = load_dataset("folder", tmp_path)
    assert dataset.class_names == ("a", "b")
    assert_partition(dataset, 10)


# Splits


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("Training", "Validation", "Testing"),
        ("TRAIN", "VALID", "TEST"),
        ("training_set", "dev_set", "test_set"),
        ("seg_train", "seg_val", "seg_test"),
        ("TrainData", "ValidationData", "TestData"),
        ("trainset", "devset", "hold-out"),
        ("train images", "development images", "evaluation images"),
        ("train2017", "val2017", "test2017"),
        ("asl_alphabet_train", "asl_alphabet_valid", "asl_alphabet_test"),
        ("1-train", "2-dev", "3-eval"),
    ],
)
def test_splits_on_disk_are_kept_in_every_spelling(make_images, tmp_path, train, validation, test):
    for shade, (name, count) in enumerate(((train, 5), (validation, 2), (test, 3))):
        make_images(tmp_path / name, shade, a=count, b=count)
    dataset = load_dataset("folder", tmp_path)
    assert dataset.class_names == ("a", "b")
    assert sizes(dataset) == [10, 4, 6]
    assert dataset.judged == "test"
    for split, name in ((dataset.train, train), (dataset.validation, validation)):
        assert {path.split("/")[0] for path in split.ids} == {name}


@pytest.mark.parametrize(
    "names",
    [
        ("train", "bus"),
        ("valid", "invalid"),
        ("test", "control"),
        ("blood_test", "pregnancy_test", "x_ray"),
        ("test_drive", "train_station"),
        ("contest", "strain", "devil"),
        ("training_shoes", "dress_shoes"),
        ("development/2019", "agriculture/2020"),
        ("trains", "buses"),
    ],
)
def test_class_names_that_remind_of_splits_are_classes(make_images, tmp_path, names):
    dataset = load_dataset("folder", make_images(tmp_path, **dict.fromkeys(names, 3)))
    assert dataset.class_names == tuple(sorted(name.split("/")[0] for name in names))


def test_validation_is_taken_from_train_where_there_is_none(
    make_images, assert_partition, tmp_path
):
    make_images(tmp_path / "train", a=20, b=40)
    make_images(tmp_path / "test", shade=1, a=3, b=3)
    dataset = load_dataset("folder", tmp_path)
    assert np.bincount(dataset.train.labels).tolist() == [18, 36]
    assert np.bincount(dataset.validation.labels).tolist() == [2, 4]
    assert {name.split("/")[0] for name in dataset.validation.ids} == {"train"}
    assert {name.split("/")[0] for name in dataset.test.ids} == {"test"}
    assert_partition(dataset, 66)


def test_without_a_test_split_figures_are_of_validation(make_images, tmp_path):
    make_images(tmp_path / "train", a=6, b=6)
    make_images(tmp_path / "val", shade=1, a=2, b=2)
    dataset = load_dataset("folder", tmp_path)
    assert sizes(dataset) == [12, 4, 0]
    assert dataset.judged == "validation"
    assert noted(dataset, "no test split", "validation")
    assert dataset.test.images.shape == (0, 64, 64, 3)
    assert dataset.test.images[:].shape == (0, 64, 64, 3)
    assert dataset.test.labels.dtype == np.int64
    assert len(dataset.fingerprint) == 64
    assert len(dataset.train + dataset.test) == 12
    with pytest.raises(DatasetError, match="no test split"):
        dataset.with_validation_in_train()


def test_train_alone_is_split_and_said_so(make_images, tmp_path):
    make_images(tmp_path / "Train", a=10, b=20)
    dataset = load_dataset("folder", tmp_path)
    assert sizes(dataset) == [24, 3, 3]
    assert noted(dataset, "only a train split", "10 %")


@pytest.mark.parametrize(
    "places",
    [
        ("flowers/train", "flowers/test"),
        ("archive/flowers/train", "archive/flowers/test"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("asl_train/asl_train", "asl_test/asl_test"),
        ("train/images", "test/images"),
        ("data/Training/train", "data/Testing/test"),
    ],
)
def test_folders_around_splits_are_looked_through(make_images, tmp_path, places):
    for shade, place in enumerate(places):
        make_images(tmp_path / place, shade, a=10, b=10)
    (tmp_path / places[0].split("/")[0] / "README.md").write_text("hello")
    dataset = load_dataset("folder", tmp_path)
    assert dataset.class_names == ("a", "b")
    assert sizes(dataset) == [18, 2, 20]


def test_a_folder_around_class_folders_is_looked_through(make_images, tmp_path):
    make_images(tmp_path / "download" / "pets", cat=3, dog=3)
    dataset = load_dataset("folder", tmp_path)
    assert dataset.class_names == ("cat", "dog")
    assert set(dataset.test.ids) < {
        f"download/pets/{c}/00{i}.png" for c in ("cat", "dog") for i in range(3)
    }


@pytest.mark.parametrize(
    ("others", "notes"),
    [
        ({"seg_pred": ""}, [("seg_pred/", "4 images")]),
        ({"predictions": ""}, [("predictions/", "4 images")]),
        ({"unlabelled": ""}, [("unlabelled/", "4 images")]),
        ({"test": ""}, [("test/", "4 images"), ("only a train split",)]),
        ({"docs": None}, [("docs/", "0 images")]),
    ],
)
def test_what_is_no_split_with_classes_is_left_out_and_said_so(
    make_images, tmp_path, others, notes
):
    make_images(tmp_path / "train", a=10, b=10)
    for name, images in others.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "about.txt").write_text("hello")
        if images is not None:
            make_images(tmp_path / name, shade=1, **{images: 4})
    dataset = load_dataset("folder", tmp_path)
    assert sum(sizes(dataset)) == 20
    assert all(noted(dataset, *words) for words in notes)


def made(*folders):
    """A function that makes folders, given as `train/a` or `train/a=3`."""

    def fill(root, make):
        for shade, folder in enumerate(folders):
            path, _, count = folder.partition("=")
            make(root, shade, **{path: int(count or 4)})

    return fill


def loose(name, *folders):
    """A function that makes folders, and an image beside them."""

    def fill(root, make):
        made(*folders)(root, make)
        Image.new("RGB", (8, 6)).save(root / name)

    return fill


@pytest.mark.parametrize(
    ("fill", "parts"),
    [
        (made(), ["holds the folders (none)", "train/, test/"]),
        (made("cats"), ["holds the folders cats", "one for each class"]),
        (made("a", "b=0"), ["no images in b"]),
        (made("a", "b=2"), ["train has too few images of b (2); 3 or more", "remove the class"]),
        (made("train/a", "train/b", "test/a=2"), ["test has too few images of b (0)"]),
        (made("train/a", "test/a", "test/b"), ["train has too few images of b (0)"]),
        (made("train/a", "train/b=1", "test/a", "test/b"), ["b (1); 2 or more"]),
        (made("train", "test"), ["holds the folders test, train", "class folders in each"]),
        (made("train", "test", "cat"), ["holds the folders cat, test, train"]),
        (made("test/a", "val/a"), ["test, val hold class folders", "no train/"]),
        (made("train/a", "val/a", "valid/a"), ["train, val, valid", "the same"]),
        (made("train/a", "test/a", "extra/a"), ["test, train", "extra is not named as one"]),
        (made("train/a", "train/b", "cat", "dog"), ["train", "cat is not named as one"]),
        (made("cat/train", "cat/test", "dog/train", "dog/test"), ["cat: holds splits inside"]),
        (loose("x.png", "a", "b"), ["x.png outside any class folder"]),
        (loose("test/x.jpg", "train/a", "train/b", "test/a", "test/b"), ["x.jpg outside"]),
    ],
)  # fmt: skip
def test_a_folder_laid_out_otherwise_is_refused(make_images, refusal, tmp_path, fill, parts):
    fill(tmp_path, make_images)
    message = refusal("folder", tmp_path)
    assert message.startswith(str(tmp_path))
    assert all(part in message for part in parts)


def test_many_tiny_classes_are_named_but_not_all(make_images, refusal, tmp_path):
    make_images(tmp_path, big=5, **{f"tiny {i:02}": 2 for i in range(25)})
    message = refusal("folder", tmp_path, skip_damaged=True)
    assert "tiny 19 (2) and 5 more" in message
    assert "tiny 20" not in message


@pytest.mark.parametrize(
    ("name", "split", "rest"),
    [
        ("train", "train", ""),
        ("VALIDATION_IMAGES", "validation", ""),
        ("my-cats.test", "test", "my cats"),
        ("train_test", None, "train test"),
        ("训练", None, "训练"),
        ("dataset" * 30 + "x", None, "dataset" * 30 + "x"),
        ("1", None, ""),
    ],
)
def test_what_a_name_says_of_a_split(name, split, rest):
    assert split_of(name) == (split, rest)


# What else lies in folders


LEFT_BEHIND = [
    ".DS_Store", "._000.png", ".hidden.jpg", "Thumbs.db", "desktop.ini", "Icon\r", "ehthumbs.db",
    "__MACOSX/a/._000.png", "@eaDir/000.png/SYNOPHOTO.jpg", ".ipynb_checkpoints/000.png",
    "$RECYCLE.BIN/000.png", "lost+found/000.png", "#recycle/000.png", ".git/x.png",
    "System Volume Information/x.png", ".Trash-1000/files/x.png", "__pycache__/x.pyc",
]  # fmt: skip


@pytest.mark.parametrize("place", ["", "train/", "train/a/"])
def test_what_systems_leave_behind_is_ignored(make_images, assert_partition, tmp_path, place):
    make_images(tmp_path / "train", a=4, b=4)
    make_images(tmp_path / "test", shade=1, a=4, b=4)
    for name in LEFT_BEHIND:
        path = tmp_path / place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0\5\x16\7")
    dataset = load_dataset("folder", tmp_path)
    assert_partition(dataset, 16)
    assert dataset.notes == ()
    assert len(list(find_images(tmp_path))) == 16
    assert all(is_hidden(name.split("/")[0]) for name in LEFT_BEHIND)


def test_files_that_are_no_images_are_left_out_and_counted(make_images, tmp_path):
    make_images(tmp_path, a=5, b=5)
    for name in ("a/notes.txt", "a/more.TXT", "b/boxes.xml", "b/LICENSE"):
        (tmp_path / name).write_text("hello")
    dataset = load_dataset("folder", tmp_path)
    assert sum(sizes(dataset)) == 10
    assert noted(dataset, "4 files are no images", "2 .txt", "1 .xml", "1 without suffix")


def test_images_are_told_by_content_where_the_suffix_says_nothing(
    make_images, assert_partition, tmp_path
):
    make_images(tmp_path, a=3, b=3)
    for old, new in (("000.png", "noname"), ("001.png", "x.png_large"), ("002.png", "frame.0001")):
        (tmp_path / "a" / old).rename(tmp_path / "a" / new)
    dataset = load_dataset("folder", tmp_path)
    assert_partition(dataset, 6)
    assert dataset.notes == ()


def test_links_are_followed_but_never_in_circles(make_images, assert_partition, tmp_path):
    make_images(tmp_path / "photos", a=3)
    make_images(tmp_path / "elsewhere", shade=1, b=3, more=2)
    (tmp_path / "photos" / "b").symlink_to(tmp_path / "elsewhere" / "b")
    inside = tmp_path / "photos" / "a"
    (inside / "more").symlink_to(tmp_path / "elsewhere" / "more")
    (inside / "one.png").symlink_to(tmp_path / "elsewhere" / "b" / "000.png")
    for name, target in (
        ("up", ".."),
        ("self", "self"),
        ("top", "/"),
        ("here", "."),
        ("b", "../b"),
    ):
        (inside / name).symlink_to(target)
    (tmp_path / "elsewhere" / "b" / "back").symlink_to(inside)
    found = {
        str(path.relative_to(tmp_path / "photos")) for path in find_images(tmp_path / "photos")
    }
    assert {"a/000.png", "a/more/001.png", "a/one.png"} < found
    assert len(found) < 20


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_what_only_looks_like_a_file_is_never_opened(make_images, tmp_path):
    make_images(tmp_path, a=4, b=4)
    os.mkfifo(tmp_path / "a" / "pipe.png")
    os.mkfifo(tmp_path / "a" / "pipe")
    (tmp_path / "a" / "endless.png").symlink_to("/dev/zero")
    (tmp_path / "a" / "gone.png").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(tmp_path / "b")  # the name of a socket is short
        server.bind("socket.png")
    with pytest.raises(DatasetError) as caught:
        load_dataset("folder", tmp_path)
    lines = [line.strip() for line in str(caught.value).splitlines()[1:]]
    assert [line.split(":")[0] for line in lines] == [
        "a/endless.png", "a/gone.png", "a/pipe.png", "b/socket.png",
    ]  # fmt: skip
    dataset = load_dataset("folder", tmp_path, skip_damaged=True)
    assert sum(sizes(dataset)) == 8
    assert noted(dataset, "1 without suffix")


def test_a_folder_that_cannot_be_listed_is_named(make_images, refusal, tmp_path, monkeypatch):
    make_images(tmp_path, a=4, b=4)
    make_images(tmp_path / "b", secret=1)
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("secret"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    message = refusal("folder", tmp_path)
    assert message.startswith(f"{tmp_path}/b/secret: cannot be listed (Permission denied)")


# Names


def test_names_of_any_kind_are_readable_and_distinct(make_images, assert_partition, tmp_path):
    names = [
        "$1_$5", "猫", "كلب", "two\nlines", "a" * 200, "caf\udce9", r"caf\xe9", "é", "e\u0301",
        "<b>", "100%", "-x", "…", "👩‍👧",
    ]  # fmt: skip
    make_images(tmp_path, **dict.fromkeys(names, 3))
    dataset = load_dataset("folder", tmp_path)
    shown = dataset.class_names
    assert len(set(shown)) == len(names)
    assert {"$1_$5", "猫", "كلب", r"two\x0alines", "a" * 200, "👩‍👧", r"e\u0301"} < set(shown)
    assert all(name.isprintable() or "👩" in name for name in shown)
    "".join(shown).encode()
    assert_partition(dataset, 3 * len(names))
    assert json.loads(json.dumps(dataset.train.ids.tolist())) == dataset.train.ids.tolist()
    assert len(dataset.fingerprint) == 64
    assert dataset.train.images[:].shape[0] == len(names)


def test_a_name_in_both_forms_of_unicode_is_one_class_across_splits(make_images, tmp_path):
    for shade, (split, form) in enumerate((("train", "NFC"), ("test", "NFD"))):
        make_images(tmp_path / split, shade, **{unicodedata.normalize(form, "Äpfel"): 4, "b": 4})
    dataset = load_dataset("folder", tmp_path)
    assert dataset.class_names == ("b", "Äpfel")
    assert sizes(dataset) == [6, 2, 8]


def test_names_of_files_may_be_of_any_bytes(make_images, cache_home, tmp_path):
    make_images(tmp_path, a=5, b=5)
    for i, name in enumerate((b"\xff.png", b"\xe9t\xe9.png", b"new\nline.png")):
        os.rename(tmp_path / "a" / f"00{i}.png", os.fsencode(tmp_path / "a") + b"/" + name)
    (tmp_path / "a" / os.fsdecode(b"\xfe.png")).write_bytes(b"")
    with pytest.raises(DatasetError) as caught:
        load_dataset("folder", tmp_path)
    assert r"a/\xfe.png" in str(caught.value).encode().decode()
    dataset = load_dataset("folder", tmp_path, skip_damaged=True)
    assert sum(sizes(dataset)) == 10
    assert len(dataset.train.images[:]) == len(dataset.train)
    (listed,) = cache_home.rglob("unusable.csv")
    with open(listed, newline="", encoding="utf-8") as file:
        assert [row["path"] for row in csv.DictReader(file)] == [r"a/\xfe.png"]
