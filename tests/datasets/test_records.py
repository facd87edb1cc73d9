"""Records: what is made of files is made of records, whatever ends their conversion."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_cifar10.cli import main
from cnn_cifar10.datasets import (
    DataOptions,
    DatasetError,
    ImageError,
    list_files,
    load_dataset,
    records,
    survey_folder,
)
from cnn_cifar10.datasets.records import write_records

pytest.importorskip("array_record")


@pytest.fixture
def photos(tmp_path):
    """A table of noisy images, with splits, groups, copies and odd names."""
    rng = np.random.default_rng(0)
    rows = ["file,label,split,group"]
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(60):
        name, split = f"{'é猫x'[i % 3]} {i}.jpg", ("train", "test")[i >= 48]
        pixels = rng.integers(0, 256, (20, 24, 3), dtype="uint8")
        Image.fromarray(pixels).save(folder / name, quality=95)
        rows.append(f"{name},{'ab'[i % 2]},{split},{i // 6}")
    (folder / "copy.jpg").write_bytes((folder / "é 0.jpg").read_bytes())
    (folder / "list.csv").write_text("\n".join([*rows, "copy.jpg,a,test,"]), encoding="utf-8")
    return folder


def convert(folder, place, **options):
    return write_records(list_files(DataOptions(folder))[1], place, progress=False, **options)


def contents(place):
    return {path.name: path.read_bytes() for path in place.iterdir() if path.name[0] != "."}


def test_records_are_the_data_set_that_their_files_are(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "SHARD_BYTES", 5000)
    assert convert(photos, tmp_path / "r") == 61
    assert len(contents(tmp_path / "r")) > 5
    for options in (
        {},
        {"split_seed": 3, "group_by": r"(\d+)\.jpg", "image_size": 12, "fit": "pad"},
    ):
        whole, packed = (
            load_dataset("folder", each, **options) for each in (photos, tmp_path / "r")
        )
        assert packed.title == "r"
        assert packed.fingerprint == whole.fingerprint
        assert (packed.class_names, packed.sizes) == (whole.class_names, whole.sizes)
        assert [note[:60] for note in packed.notes] == [note[:60] for note in whole.notes]
        for name in ("train", "validation", "test"):
            first, second = whole.split(name), packed.split(name)
            assert first.ids.tolist() == second.ids.tolist()
            np.testing.assert_array_equal(first.labels, second.labels)
            np.testing.assert_array_equal(first.images[:], second.images[:])


def test_a_killed_conversion_goes_on_to_the_same_bytes(photos, tmp_path, monkeypatch):
    """Killed in the first shard, while one takes its place, in a later one, before the index."""
    monkeypatch.setattr(records, "SHARD_BYTES", 5000)
    convert(photos, tmp_path / "whole")
    program = Path(__file__).parent / "programs" / "converts.py"
    sizes = []
    for step in (3, 5, 40, 0):
        command = [sys.executable, program, photos, tmp_path / "killed", str(step)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == -signal.SIGKILL, (done.stdout, done.stderr)
        sizes.append(len(contents(tmp_path / "killed")))
        with pytest.raises(DatasetError, match="not finished"):
            load_dataset("folder", tmp_path / "killed")
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]
    convert(photos, tmp_path / "killed")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert not list((tmp_path / "killed").glob(".part*"))


def test_shards_of_images_that_changed_are_written_anew(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "SHARD_BYTES", 5000)
    convert(photos, tmp_path / "r")
    before = contents(tmp_path / "r")
    (photos / "x 5.jpg").write_bytes((photos / "x 8.jpg").read_bytes())
    convert(photos, tmp_path / "r")
    after = contents(tmp_path / "r")
    assert 0 < len(before.keys() - after.keys()) < len(before) - 1
    convert(photos, tmp_path / "new")
    assert contents(tmp_path / "new") == after


def of_another_kind(path, **others):
    """Change what an index says of its records."""
    with np.load(path) as index:
        columns = {**index}
    about = {**json.loads(records._unpack(columns["about"])[0]), **others}
    columns["about"] = records._pack([json.dumps({k: v for k, v in about.items() if v})])
    np.savez(path, **columns)


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda shard, index: shard.unlink(), ("00001-", "missing", "; convert the images again")),
        (lambda shard, index: shard.write_bytes(b"short"), ("00001-", "has 5 bytes, not")),
        (lambda shard, index: damage(index), ("index.npz", "damaged", "remove it, and convert")),
        (lambda shard, index: of_another_kind(index, notes=None), ("damaged ('notes')",)),
        (lambda shard, index: of_another_kind(index, shards=[["a", 1, 1]]), ("do not agree",)),
        (lambda shard, index: index.unlink(), ("not finished", "convert the images again")),
    ],
)
def test_records_that_are_not_whole_are_refused(
    photos, tmp_path, monkeypatch, refusal, change, words
):
    monkeypatch.setattr(records, "SHARD_BYTES", 5000)
    convert(photos, tmp_path / "r")
    whole = contents(tmp_path / "r")
    shard = next((tmp_path / "r").glob("00001-*"))
    change(shard, tmp_path / "r" / "index.npz")
    message = refusal("folder", tmp_path / "r")
    assert all(word in message for word in words)
    if shard.exists() and shard.stat().st_size == 5:
        shard.unlink()
    convert(photos, tmp_path / "r")
    assert contents(tmp_path / "r") == whole


def test_a_damaged_shard_is_named_when_it_is_read(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "SHARD_BYTES", 5000)
    convert(photos, tmp_path / "r")
    shard = next((tmp_path / "r").glob("00001-*"))
    damage(shard)
    splits = load_dataset("folder", tmp_path / "r")
    with pytest.raises(ImageError) as caught:
        [split.images[:] for split in (splits.train, splits.validation, splits.test)]
    assert shard.name in str(caught.value)
    assert "damaged" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_images_are_an_error_or_left_out(photos, tmp_path):
    (photos / "x 2.jpg").write_bytes(b"text")
    with pytest.raises(DatasetError, match="1 of 61 files cannot be used"):
        convert(photos, tmp_path / "r")
    assert convert(photos, tmp_path / "r", skip_damaged=True) == 60
    notes = load_dataset("folder", tmp_path / "r").notes
    assert any("1 of 61 files cannot be used and are left out" in note for note in notes)


def test_an_image_that_changes_meanwhile_is_named(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "read_file", lambda path: b"another")
    with pytest.raises(DatasetError, match="was changed while it was converted"):
        convert(photos, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_records_of_other_images_are_not_replaced(photos, tmp_path):
    place = tmp_path / "r"
    convert(photos, place)
    before = contents(place)
    shutil.copytree(photos, tmp_path / "others")
    with pytest.raises(DatasetError, match="r: holds the records of other images; name a new"):
        convert(tmp_path / "others", place)
    (tmp_path / "made").mkdir()
    (tmp_path / "made/train.array_record").touch()  # by another program
    with pytest.raises(DatasetError, match="holds the records of other images"):
        convert(photos, tmp_path / "made")
    assert contents(place) == before
    assert [*contents(tmp_path / "made")] == ["train.array_record"]


def test_a_folder_of_other_files_is_not_written_to(photos):
    with pytest.raises(DatasetError, match="name a new folder for records"):
        convert(photos, photos)


def test_records_are_inspected_and_converted_as_files_are(photos, tmp_path):
    convert(photos, tmp_path / "r")
    survey = survey_folder(DataOptions(tmp_path / "r"), progress=False)
    assert len(survey.scan) == 61
    assert len(survey.duplicates.exact) == 1
    convert(tmp_path / "r", tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "r")


def test_the_command_says_what_it_made_and_what_it_cannot(photos, tmp_path, capsys):
    place = tmp_path / "r"
    assert main(["convert", str(photos), str(place)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "61 images of 2 classes",
        f"records: {place}",
    ]
    assert main(["convert", str(photos), str(place), "--dataset", "digits"]) == 2
    assert "choose folder or imagenet" in capsys.readouterr().err


@pytest.mark.slow
def test_training_on_records_ends_in_the_weights_of_training_on_files(photos, tmp_path):
    from cnn_cifar10.configs import make_config
    from cnn_cifar10.training import train

    convert(photos, tmp_path / "r")
    weights = []
    for place in (photos, tmp_path / "r"):
        config = make_config(
            dataset="folder", data_dir=str(place), image_size=16, model="custom_cnn",
            model_options={"width": 2, "stages": 1, "depth": 1}, augment="crop+flip",
            batch_size=8, epochs=2, deterministic=True,
        )  # fmt: skip
        run = train(config, tmp_path / "runs" / place.name, verbose=0)
        weights.append(run.load_model().get_weights())
    for first, second in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, second)
