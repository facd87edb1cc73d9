"""What becomes of listed files: those that cannot be used, copies, groups, the fingerprint."""

import csv
import logging
import shutil

import numpy as np
import pytest
from PIL import Image

from cnn_cifar10.datasets import NOT_COMPARED, DatasetError, load_dataset, scan


def sizes(dataset):
    return [len(split) for split in (dataset.train, dataset.validation, dataset.test)]


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def make_noise(root, seed=0, **counts):
    """Write `counts[class]` images of noise, of which no two are alike."""
    rng = np.random.default_rng(seed)
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            noise = rng.integers(0, 256, (8, 8, 3), dtype="uint8")
            Image.fromarray(noise).resize((32, 32), 0).save(root / name / f"{i:03}.png")
    return root


# Files that cannot be used


@pytest.fixture
def damaged_folder(make_images, tmp_path):
    make_images(tmp_path, a=10, b=10)
    (tmp_path / "a" / "000.png").write_bytes(b"")
    whole = (tmp_path / "b" / "002.png").read_bytes()
    (tmp_path / "b" / "002.png").write_bytes(whole[:50])
    (tmp_path / "b" / "link.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "b" / "text.jpg").write_text("hello")
    return tmp_path


DAMAGED = ["a/000.png", "b/002.png", "b/link.png", "b/text.jpg"]


def test_all_files_that_cannot_be_used_are_listed_at_once(damaged_folder, cache_home):
    with pytest.raises(DatasetError) as caught:
        load_dataset("folder", damaged_folder)
    first, *lines = str(caught.value).splitlines()
    assert first.startswith(f"{damaged_folder}: 4 of 22 files cannot be used")
    assert "skip_damaged" in first
    assert [line.strip().split(": ")[0] for line in lines] == DAMAGED
    (path,) = cache_home.rglob("unusable.csv")
    assert str(path) in first
    assert [row["path"] for row in read_csv(path)] == DAMAGED
    assert all(row["reason"] for row in read_csv(path))


def test_a_long_list_is_cut_and_counted_but_whole_in_the_csv(make_images, tmp_path, cache_home):
    make_images(tmp_path, a=30, b=3)
    for i in range(25):
        (tmp_path / "a" / f"{i:03}.png").write_bytes(b"")
    with pytest.raises(DatasetError) as caught:
        load_dataset("folder", tmp_path)
    lines = str(caught.value).splitlines()
    assert "25 of 33 files" in lines[0]
    assert len(lines) == 22
    assert lines[-1].strip() == "and 5 more"
    (path,) = cache_home.rglob("unusable.csv")
    assert len(read_csv(path)) == 25


def test_skip_damaged_leaves_them_out_and_says_so(damaged_folder, cache_home, caplog):
    with caplog.at_level(logging.WARNING):
        dataset = load_dataset("folder", damaged_folder, skip_damaged=True)
    assert sum(sizes(dataset)) == 18
    for split in (dataset.train, dataset.validation, dataset.test):
        assert not set(DAMAGED) & set(split.ids)
        assert len(split.images[:]) == len(split)
    (record,) = caplog.records
    assert "4 of 22 files" in record.getMessage()
    assert all(name in record.getMessage() for name in DAMAGED)
    (path,) = cache_home.rglob("unusable.csv")
    (note,) = dataset.notes
    assert "4 of 22 files" in note
    assert str(path) in note


def test_a_class_that_is_damaged_altogether_is_refused(make_images, refusal, tmp_path):
    make_images(tmp_path, a=5, b=3)
    for file in (tmp_path / "b").iterdir():
        file.write_bytes(b"")
    assert "b (0)" in refusal("folder", tmp_path, skip_damaged=True)


def test_a_list_that_cannot_be_written_is_a_warning(damaged_folder, monkeypatch, caplog, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert sum(sizes(load_dataset("folder", damaged_folder, skip_damaged=True))) == 18
    assert "unusable.csv cannot be written" in caplog.text


# Copies


def test_copies_stay_in_one_split(tmp_path, cache_home):
    make_noise(tmp_path, a=30, b=30)
    for name in ("a", "b"):
        for i in range(20):
            file = tmp_path / name / f"{i:03}.png"
            shutil.copy(file, file.with_name(f"{i:03} (1).png"))
            Image.open(file).save(file.with_name(f"{i:03}.bmp"))  # other bytes, the same pixels
    dataset = load_dataset("folder", tmp_path)
    assert sum(sizes(dataset)) == 140
    names = [
        {path[:5] for path in split.ids}
        for split in (dataset.train, dataset.validation, dataset.test)
    ]
    assert len(set.union(*names)) == sum(map(len, names)) == 60
    (note,) = (note for note in dataset.notes if "near duplicates" in note)
    assert note.startswith("80 of 140 images are copies")
    (path,) = cache_home.rglob("duplicates.csv")
    assert str(path) in note
    rows = read_csv(path)
    assert len(rows) == 120
    assert {row["left_out"] for row in rows} == {""}


def test_copies_of_test_images_are_left_out_of_train_and_listed(tmp_path, cache_home):
    make_noise(tmp_path / "train", a=10, b=10)
    make_noise(tmp_path / "val", 1, a=6, b=6)
    make_noise(tmp_path / "test", 2, a=5, b=5)
    shutil.copy(tmp_path / "test/a/000.png", tmp_path / "train/a/seen.png")
    shutil.copy(tmp_path / "val/b/000.png", tmp_path / "train/b/seen.png")
    shutil.copy(tmp_path / "test/b/001.png", tmp_path / "val/b/seen.png")
    dataset = load_dataset("folder", tmp_path)
    assert sizes(dataset) == [20, 12, 10]
    assert not any(
        "seen" in path for split in (dataset.train, dataset.validation) for path in split.ids
    )
    (told,) = dataset.notes
    assert "2 images of train are left out" in told
    assert "1 images of validation are left out" in told
    (path,) = cache_home.rglob("duplicates.csv")
    assert {row["path"] for row in read_csv(path) if row["left_out"]} == {
        "train/a/seen.png", "train/b/seen.png", "val/b/seen.png",
    }  # fmt: skip
    assert len(read_csv(path)) == 6


def test_a_split_that_only_copies_another_is_refused(tmp_path, refusal):
    make_noise(tmp_path / "train", a=10, b=10)
    make_noise(tmp_path / "test", 1, a=4, b=4)
    shutil.copytree(tmp_path / "test", tmp_path / "val")
    message = refusal("folder", tmp_path)
    assert "validation has too few images of a (0), b (0)" in message
    assert "8 images of validation are left out" in message


def test_copies_in_two_classes_are_kept_and_told(tmp_path):
    make_noise(tmp_path, a=10, b=10)
    for i in range(3):
        shutil.copy(tmp_path / f"a/00{i}.png", tmp_path / f"b/other {i}.png")
    dataset = load_dataset("folder", tmp_path)
    assert sum(sizes(dataset)) == 23
    assert any("6 images have copies in another class" in note for note in dataset.notes)


def test_a_class_of_copies_of_one_image_is_refused(tmp_path, refusal):
    make_noise(tmp_path, a=10, b=1)
    for i in range(5):
        shutil.copy(tmp_path / "b/000.png", tmp_path / f"b/{i}.png")
    message = refusal("folder", tmp_path)
    assert "too few images of b (0)" in message
    assert "copies" in message


@pytest.mark.parametrize("given", [False, True])
def test_a_class_whose_images_all_look_alike_is_used_all_the_same(tmp_path, given):
    places = [tmp_path / "train", tmp_path / "test"] if given else [tmp_path]
    make_noise(tmp_path, 9, one=1)
    pixels = np.array(Image.open(tmp_path / "one/000.png"))
    shutil.rmtree(tmp_path / "one")
    for k, place in enumerate(places):
        make_noise(place, k, a=10)
        (place / "b").mkdir()
        for i in range(6):
            pixels[i, 6 * k + i] += 1
            Image.fromarray(pixels).save(place / f"b/{i}.png")
    dataset = load_dataset("folder", tmp_path)
    assert sum(sizes(dataset)) == 16 * len(places)
    assert any("Images of b are too much alike" in note for note in dataset.notes)


def make_alike(root, start, count, name="b{:03}.png"):
    """Write images that are nearly the same."""
    root.mkdir(parents=True, exist_ok=True)
    pixels = np.full((32, 32, 3), 128, "uint8") + np.arange(32, dtype="uint8")[:, None]
    for i in range(start, start + count):
        pixels[i % 32, i // 32] += 1
        Image.fromarray(pixels).save(root / name.format(i))


@pytest.mark.parametrize("seed", range(4))
def test_copies_of_images_that_are_too_much_alike_stay_in_one_split(tmp_path, seed):
    make_alike(tmp_path / "form", 0, 24)
    make_noise(tmp_path, other=24)
    for i in range(10):
        shutil.copy(tmp_path / f"form/b{i:03}.png", tmp_path / f"other/copy{i}.png")
    dataset = load_dataset("folder", tmp_path, split_seed=seed)
    assert any("too much alike" in note for note in dataset.notes)
    assert any("in another class" in note for note in dataset.notes)
    content = [
        {(tmp_path / path).read_bytes() for path in split.ids}
        for split in (dataset.train, dataset.validation, dataset.test)
    ]
    assert len(set.union(*content)) == sum(map(len, content))


def test_files_that_cannot_be_used_tie_no_groups_together(tmp_path):
    for place, patients in (("train", range(6)), ("test", range(6, 9))):
        make_noise(tmp_path / place, len(patients), a=12)
        for k in patients:
            make_alike(tmp_path / place / "b", 4 * k, 4, f"p{k}_" + "{}.png")
    sound = load_dataset("folder", tmp_path, group_by=r"(p\d)_")
    for place, k in (("train", 0), ("test", 6)):
        (tmp_path / place / "b" / f"p{k}_x.png").write_bytes(b"damaged")
    dataset = load_dataset("folder", tmp_path, group_by=r"(p\d)_", skip_damaged=True)
    assert sum(sizes(dataset)) == sum(sizes(sound)) == 60


@pytest.mark.parametrize("damaged", [False, True])
def test_a_damaged_file_does_not_hide_that_names_suggest_groups(tmp_path, damaged):
    rng = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / name).mkdir()
        for clip in range(10):
            scene = rng.integers(30, 200, (8, 8, 3))
            for frame in range(6):
                noise = scene + rng.integers(-25, 26, (8, 8, 3))
                image = Image.fromarray(noise.astype("uint8")).resize((32, 32), 0)
                image.save(tmp_path / name / f"clip{name}{clip:02}_frame{frame}.png")
    if damaged:
        (tmp_path / "a" / "broken.png").write_bytes(b"damaged")
    dataset = load_dataset("folder", tmp_path, skip_damaged=damaged)
    assert any("group" in note and "_frame" in note for note in dataset.notes)


# Groups


def groups_in(dataset, of):
    return [{of(path) for path in split.ids}
            for split in (dataset.train, dataset.validation, dataset.test)]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "of"),
    [
        (r"/p(\d+)_", lambda path: path.split("/")[1][:3]),
        (r"p\d+", lambda path: path.split("/")[1][:3]),
        (r"p(?:\d+)|x", lambda path: path.split("/")[1][:3]),
    ],
)
def test_images_of_a_group_stay_in_one_split(tmp_path, pattern, of):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for patient in range(20):
            for k in range(4):
                noise = rng.integers(0, 256, (16, 16, 3), dtype="uint8")
                Image.fromarray(noise).save(tmp_path / name / f"p{patient:02}_{k}.png")
    dataset = load_dataset("folder", tmp_path, group_by=pattern)
    held = groups_in(dataset, of)
    assert len(set.union(*held)) == sum(map(len, held)) == 20
    assert sizes(dataset) == [128, 16, 16]
    for split in (dataset.train, dataset.validation, dataset.test):
        assert np.ptp(np.bincount(split.labels)) == 0
    other = load_dataset("folder", tmp_path, group_by=pattern, split_seed=1)
    assert groups_in(other, of) != held


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("(", ["group_by: '('", "no regular expression"]),
        ("patient", ["group_by: 'patient'", "no group in any path", "a/000.png"]),
        (r"\.png", ["group_by", "all images in one group"]),
        ("^([ab])/", ["too few images of a (0)", "a group, count once"]),
    ],
)
def test_a_pattern_that_makes_no_groups_is_refused(tmp_path, refusal, pattern, parts):
    make_noise(tmp_path, a=10, b=10)
    message = refusal("folder", tmp_path, group_by=pattern)
    assert all(part in message for part in parts)


def test_groups_across_splits_on_disk_are_left_out_of_train(tmp_path):
    make_noise(tmp_path / "train", a=10, b=10)
    make_noise(tmp_path / "test", 1, a=2, b=2)
    dataset = load_dataset("folder", tmp_path, group_by=r"(\d+)\.png")
    assert sizes(dataset) == [14, 2, 4]
    assert any("4 images of train are left out" in note for note in dataset.notes)


def test_groups_are_of_files_alone(refusal):
    assert "group_by" in refusal("digits", group_by="x")


# The fingerprint


def test_the_fingerprint_is_of_content_whatever_its_place_names_and_size(tmp_path):
    make_noise(tmp_path / "here", a=10, b=10)
    shutil.copytree(tmp_path / "here", tmp_path / "away" / "there")
    here = load_dataset("folder", tmp_path / "here")
    assert here.fingerprint == load_dataset("folder", tmp_path / "away" / "there").fingerprint
    assert here.fingerprint == load_dataset("folder", tmp_path / "here", image_size=16).fingerprint
    (tmp_path / "here/a/000.png").rename(tmp_path / "here/a/000b.png")
    assert here.fingerprint == load_dataset("folder", tmp_path / "here").fingerprint
    prints = {here.fingerprint, load_dataset("folder", tmp_path / "here", split_seed=1).fingerprint}
    make_noise(tmp_path / "other images", 1, a=10, b=10)
    make_noise(tmp_path / "more images", a=10, b=11)
    make_noise(tmp_path / "other classes", a=10, c=10)
    for name in ("other images", "more images", "other classes"):
        prints.add(load_dataset("folder", tmp_path / name).fingerprint)
    assert len(prints) == 5
    assert len({here.subset(count).fingerprint for count in (4, 5, 99)} - prints) == 2


def test_an_image_that_changes_under_its_name_changes_the_fingerprint(tmp_path):
    make_noise(tmp_path, a=10, b=10)
    before = load_dataset("folder", tmp_path).fingerprint
    make_noise(tmp_path, 1, a=1)
    assert load_dataset("folder", tmp_path).fingerprint != before


def test_of_very_many_images_only_exact_copies_are_looked_for(tmp_path, monkeypatch):
    make_noise(tmp_path, cat=10, dog=10)
    for name in ("cat/copy.png", "dog/copy.png"):
        (tmp_path / name).write_bytes((tmp_path / name[:3] / "000.png").read_bytes())
    for i in range(10):  # near copies, of the same numbers as groups
        with Image.open(tmp_path / f"cat/00{i}.png") as image:
            image.save(tmp_path / f"cat/00{i}_2.webp", quality=95)
    with monkeypatch.context() as patch:
        patch.setattr(scan, "MOST_COMPARED", 5)
        many = load_dataset("folder", tmp_path)
    few = load_dataset("folder", tmp_path)  # which the first scan made no thumbnails for
    assert "12 of 32 images are copies" in few.notes[0]
    assert "2 of 32 images are copies" in many.notes[0]
    assert many.notes[1] == NOT_COMPARED
