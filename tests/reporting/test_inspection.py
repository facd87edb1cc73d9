"""The look before training: what is said of folders, good and bad ones."""

import csv
import json
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from cnn_cifar10.datasets import DataOptions, DatasetError, load_dataset
from cnn_cifar10.reporting import describe_data, inspect_folder
from cnn_cifar10.utils import InputError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def make_folder(tmp_path):
    """A function that writes images of noise, `counts[class]` of each, and returns the folder."""

    def make_folder(name="photos", size=(24, 20), seed=0, **counts):
        rng = np.random.default_rng(seed)
        for kind, count in counts.items():
            (tmp_path / name / kind).mkdir(parents=True)
            for i in range(count):
                noise = rng.integers(0, 256, (6, 5, 3), dtype="uint8")
                image = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
                image.save(tmp_path / name / kind / f"{i:03}.png")
        return tmp_path / name

    return make_folder


@pytest.fixture
def inspect(tmp_path):
    """A function from a folder to the document and to the lists that `inspect_folder` writes."""

    def inspect(folder, **options):
        output = tmp_path / "page"
        document = inspect_folder(DataOptions(folder, **options), output, progress=False)
        assert json.loads((output / "inspection.json").read_text()) == document
        assert len(document["headline"]) <= 5
        lists = {}
        for path in output.glob("*.csv"):
            with open(path, newline="", encoding="utf-8") as file:
                lists[path.stem] = list(csv.DictReader(file))
        page = (output / "inspection.md").read_text(encoding="utf-8")
        for name in re.findall(r"\]\(([^)]+)\)", page):
            assert (output / name).exists()
        return document, lists, page

    return inspect


def test_a_good_folder(make_folder, inspect):
    document, lists, page = inspect(make_folder(cat=6, dog=5, cow=4))
    assert document["images"] == 15
    assert document["classes"] == {"cat": 6, "dog": 5, "cow": 4}
    assert document["formats"] == {"PNG": 15}
    assert document["sizes"]["width"] == [24, 24, 24]
    assert document["refusal"] is None
    assert "Always answering the largest class, cat, is right for 40.0%" in page
    assert "--class-weight" not in page
    assert len(lists["images"]) == 15
    assert lists["duplicates"] == lists["unusable"] == []
    assert "There are none." in page


def test_unequal_classes_and_wide_images_come_with_the_options_that_help(make_folder, inspect):
    folder = make_folder(size=(60, 20), cat=12, dog=3)
    document, _, _ = inspect(folder)
    said = " ".join(document["headline"])
    assert "cat, is right for 80.0%" in said
    assert "--class-weight balanced" in said
    assert "--fit crop cuts 67% of a mean image" in said
    assert document["sizes"]["beyond_2_to_1"] == 1
    assert "cuts" not in " ".join(inspect(folder, fit="pad")[0]["headline"])


def test_duplicates_are_listed_with_those_across_classes_first(make_folder, inspect):
    folder = make_folder(cat=8, dog=8)
    Image.open(folder / "cat" / "003.png").save(folder / "cat" / "copy.bmp")
    Image.open(folder / "dog" / "002.png").resize((48, 40)).save(folder / "cat" / "large.jpg")
    shutil.copy(folder / "dog" / "001.png", folder / "dog" / "again.png")
    document, lists, page = inspect(folder)
    found = document["duplicates"]
    assert found == {"sets": 3, "images": 6, "exact": 1, "across_classes": 1, "across_splits": 0}
    assert [(row["set"], row["kind"], row["path"]) for row in lists["duplicates"]] == [
        ("1", "near", "cat/large.jpg"),
        ("1", "near", "dog/002.png"),
        ("2", "near", "cat/003.png"),
        ("2", "near", "cat/copy.bmp"),
        ("3", "exact", "dog/001.png"),
        ("3", "exact", "dog/again.png"),
    ]
    assert "duplicates.png" in page


def test_copies_across_splits_on_disk_are_counted(make_folder, inspect, tmp_path):
    for seed, split in enumerate(("train", "test")):
        make_folder(f"data/{split}", seed=seed, cat=5, dog=5)
    shutil.copy(tmp_path / "data/train/cat/001.png", tmp_path / "data/test/cat/x.png")
    document, _, _ = inspect(tmp_path / "data")
    assert document["splits"] == {"train": 10, "test": 11}
    assert document["duplicates"]["across_splits"] == 1


@pytest.mark.parametrize("fault", ["cut short", "empty", "text"])
def test_damaged_files_are_listed_whole(make_folder, inspect, fault):
    folder = make_folder(cat=4, dog=4)
    whole = (folder / "cat" / "000.png").read_bytes()
    damaged = {"cut short": whole[: len(whole) // 2], "empty": b"", "text": b"no image"}[fault]
    (folder / "cat" / "000.png").write_bytes(damaged)
    document, lists, _ = inspect(folder)
    assert (document["images"], document["unusable"]) == (7, 1)
    (row,) = lists["unusable"]
    assert (row["path"], row["class"]) == ("cat/000.png", "cat")
    assert row["reason"]
    assert any("--skip-damaged" in line for line in document["headline"])


@pytest.mark.parametrize(
    "layout", ["one class", "loose images", "a class without images", "a class of one image"]
)
def test_what_a_training_refuses_is_shown_with_the_reason(make_folder, inspect, layout):
    folder = make_folder(cat=3)
    if layout == "loose images":
        make_folder("photos/more", dog=2)
        shutil.move(folder / "cat" / "000.png", folder)
    if layout == "a class without images":
        (folder / "dog").mkdir()
    if layout == "a class of one image":
        make_folder("photos", dog=1)
    document, _, _ = inspect(folder)
    assert document["refusal"]
    assert document["refusal"] in document["headline"][0]
    assert document["images"] == {"loose images": 5, "a class of one image": 4}.get(layout, 3)
    with pytest.raises(DatasetError):
        load_dataset("folder", folder)


def test_a_folder_of_nothing_usable_is_shown(make_folder, inspect):
    folder = make_folder(cat=2, dog=2)
    for path in folder.rglob("*.png"):
        path.write_bytes(b"nothing")
    document, lists, _ = inspect(folder)
    assert (document["images"], document["unusable"], len(lists["unusable"])) == (0, 4, 4)


def test_a_folder_without_images_is_an_error(tmp_path, inspect):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError):
        inspect(tmp_path / "empty")


def test_names_of_any_kind_are_shown(make_folder, inspect, caplog):
    folder = make_folder(**{"a|b $x$": 3, "日本": 3, "_c_": 3})
    odd = os.fsencode(folder / "_c_") + b"/\xff\n.png"
    shutil.copy(folder / "_c_" / "000.png", odd)
    document, lists, page = inspect(folder)
    assert set(document["classes"]) == {"a|b $x$", "日本", "_c_"}
    assert r"_c_/\xff\x0a.png" in [row["path"] for row in lists["duplicates"]]
    assert r"a\|b \$x\$" in page


def test_groups_are_suggested_by_a_line_to_copy(make_folder, inspect):
    folder = make_folder(cat=0, dog=0)
    rng = np.random.default_rng(0)
    for kind in ("cat", "dog"):
        for clip in range(8):
            scene = rng.integers(0, 256, (8, 8, 3))
            for frame in range(3):
                own = np.clip(scene + rng.integers(-60, 60, scene.shape), 0, 255)
                name = f"{kind}_clip{clip}_{frame:03}.png"
                Image.fromarray(own.astype("uint8")).resize((32, 32)).save(folder / kind / name)
    document, _, _ = inspect(folder)
    pattern = document["grouping"]["pattern"]
    assert f"--group-by '{pattern}'" in document["headline"][-1]
    assert inspect(folder, group_by=pattern)[0]["grouping"] is None
    dataset = load_dataset("folder", folder)
    assert any(pattern in line for line in describe_data(dataset))


@pytest.mark.parametrize("pattern", ["(unclosed", "sunset", "png"])
def test_a_pattern_without_groups_is_refused_before_images_are_read(
    make_folder, inspect, pattern, monkeypatch
):
    folder = make_folder(cat=6, dog=6)
    monkeypatch.setattr("cnn_cifar10.datasets.splits.scan_images", lambda *_, **__: 1 / 0)
    with pytest.raises(DatasetError, match="group_by"):
        inspect(folder, group_by=pattern)


@pytest.mark.parametrize("layout", ["one folder", "splits"])
def test_groups_that_a_training_refuses_are_refused_here_too(make_folder, inspect, layout):
    if layout == "one folder":  # two groups of cats, and three splits
        folder = make_folder(cat=20, dog=20)
        pattern = r"(cat/00|cat/01|dog/\d+)"
    else:  # all images that are trained on are also in a group of the test split
        folder = make_folder("photos/train", cat=3, dog=3).parent
        make_folder("photos/test", cat=3, dog=3)
        pattern = r"(\w+/\d+)"
    with pytest.raises(DatasetError, match="too few images"):
        load_dataset("folder", folder, group_by=pattern)
    assert "too few images" in inspect(folder, group_by=pattern)[0]["refusal"]
    assert inspect(folder)[0]["refusal"] is None


def test_of_many_classes_the_page_shows_the_largest_and_smallest(make_folder, inspect):
    counts = {f"class {i}": 1 + (i < 40) for i in range(80)}
    document, lists, page = inspect(make_folder(**counts))
    assert len(document["classes"]) == len(lists["classes"]) == 80
    assert "30 classes between, in classes.csv" in page
    assert "class 24" in page
    assert "class 39" not in page


def test_dark_and_light_images_are_named(make_folder, inspect):
    pytest.importorskip("cleanvision")
    folder = make_folder(cat=6, dog=6)
    for shade, name in ((4, "night"), (253, "fog")):
        Image.new("RGB", (24, 20), (shade,) * 3).save(folder / "cat" / f"{name}.png")
    document, lists, page = inspect(folder)
    found = {(row["flaw"], row["path"]) for row in lists["flaws"]}
    assert {("dark", "cat/night.png"), ("light", "cat/fog.png")} <= found
    assert document["flaws"]["dark"] == 1
    assert "flaws.png" in page


def test_without_cleanvision_the_extra_is_named(make_folder, inspect, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    document, _, page = inspect(make_folder(cat=3, dog=3))
    assert document["flaws"] is None
    assert "pip install 'cnn-cifar10[inspect]'" in page


def test_another_folder_of_the_same_name_never_takes_the_page(make_folder, inspect, tmp_path):
    inspect(make_folder("here/photos", cat=3, dog=3))
    inspect(tmp_path / "here" / "photos")
    with pytest.raises(InputError, match="another folder"):
        inspect(make_folder("there/photos", cat=3, dog=3))


def test_what_was_repaired_is_shown_no_more(make_folder, inspect, tmp_path):
    folder = make_folder(cat=4, dog=4)
    shutil.copy(folder / "cat" / "000.png", folder / "cat" / "copy.png")
    inspect(folder)
    (folder / "cat" / "copy.png").unlink()
    _, lists, page = inspect(folder)
    assert lists["duplicates"] == []
    assert "duplicates.png" not in page
    assert not (tmp_path / "page" / "duplicates.png").exists()


def test_a_training_says_the_same_in_five_lines(make_folder):
    folder = make_folder(size=(60, 20), cat=20, dog=6)
    shutil.copy(folder / "cat" / "001.png", folder / "dog" / "copy.png")
    (folder / "cat" / "000.png").write_bytes(b"nothing")
    dataset = load_dataset("folder", folder, skip_damaged=True)
    lines = describe_data(dataset)
    assert len(lines) == 5
    assert lines[0].startswith("26 images of 2 classes, ")
    assert "right for 73.1%" in lines[1]
    assert "--fit crop cuts" in lines[2]
    assert "copies in another class" in lines[3]
    assert "cannot be used" in lines[4]


def test_what_harms_most_is_said_though_there_is_more(make_folder):
    folder = make_folder(cat=20, dog=6)
    shutil.copy(folder / "cat" / "001.png", folder / "dog" / "copy.png")
    (folder / "cat" / "000.png").write_bytes(b"nothing")
    (folder / "cat" / "notes.docx").touch()
    *_, fourth, fifth = describe_data(load_dataset("folder", folder, skip_damaged=True))
    assert "copies in another class" in fourth
    assert fifth == "The report has 2 more notes on the data."


def test_data_without_files_are_described_too(digits):
    first, second = describe_data(digits)
    assert first.startswith("1,797 images of 10 classes")
    assert "Always answering" in second
