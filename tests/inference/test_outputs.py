"""Tables, sorted folders and embeddings: nothing is lost, mixed or overwritten."""

import csv
import os

import numpy as np
import pytest

from cnn_cifar10.datasets import ImageError
from cnn_cifar10.inference import Prediction, csv_rows, embeddings_file, sorted_images
from cnn_cifar10.utils import InputError


def predictions(names, count=None, threshold=0.0):
    """One prediction of each class in turn."""
    rows = np.eye(len(names), dtype="float32") * 0.5 + 0.5 / len(names)
    return [Prediction(rows[i % len(names)], names, threshold) for i in range(count or len(names))]


def read_rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_a_table_of_many_classes_has_the_most_probable_ones(tmp_path):
    names = tuple(f"class {i}" for i in range(60))
    with csv_rows(tmp_path / "a.csv", names, top=3) as write:
        write("a.jpg", predictions(names)[7])
        write("b.jpg", ImageError("b.jpg", "is empty"))
    header, row, fault = read_rows(tmp_path / "a.csv")
    assert header[4:] == ["class 2", "probability 2", "class 3", "probability 3"]
    assert row[:3] == ["a.jpg", "class 7", "0.508333"]
    assert row[4:6] == ["class 0", "0.00833333"]
    assert fault == ["b.jpg", "", "", "is empty", "", "", "", ""]


@pytest.mark.parametrize("names", [("file", "class"), ("error", "probability"), ("a,b", 'c"d')])
def test_names_of_classes_are_no_names_of_other_columns(names, tmp_path):
    with csv_rows(tmp_path / "a.csv", names) as write:
        write("a.jpg", predictions(names)[1])
    header, row = read_rows(tmp_path / "a.csv")
    assert len(set(header)) == len(header) == len(row) == 6
    assert row[1] == names[1]
    assert row[4:] == ["0.25", "0.75"]


def test_each_row_is_in_the_file_before_the_next_image(tmp_path):
    names = ("a", "b")
    with csv_rows(tmp_path / "a.csv", names) as write:
        for count, prediction in enumerate(predictions(names, 5), start=1):
            write("x.jpg", prediction)
            assert (tmp_path / "a.csv").read_text().count("\n") == 1 + count


@pytest.mark.parametrize("output", [csv_rows, embeddings_file])
def test_a_file_that_is_there_stays(output, tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(FileExistsError), output(tmp_path / "mine", ("a", "b")):
        pass
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    "names",
    [
        ("..", "."),
        ("a/b", "a_b", "a\\b"),
        ("Cat", "cat", "cat-2"),
        ("unsure", "other"),
        ("x" * 300, "x" * 299, "猫" * 100),
        ("con: 1", "what?", " ", "trailing. "),
    ],
)
def test_every_class_has_a_folder_of_its_own_inside_the_folder(names, tmp_path):
    (tmp_path / "a.jpg").write_text("a")
    target = tmp_path / "sorted"
    with sorted_images(target, names) as place:
        for prediction in predictions(names):
            place(str(tmp_path / "a.jpg"), prediction)
        place(str(tmp_path / "a.jpg"), predictions(names, threshold=0.99)[0])
    folders = list(target.iterdir())
    assert len({folder.name.casefold() for folder in folders}) == len(names) + 1
    assert all([file.name for file in folder.iterdir()] == ["a.jpg"] for folder in folders)
    assert {path.name for path in tmp_path.iterdir()} == {"a.jpg", "sorted"}


@pytest.mark.parametrize("name", ["a.jpg", "a-2.jpg", "x" * 251 + ".jpg", "猫" * 84 + ".x", "none"])
@pytest.mark.parametrize("copy", [False, True])
def test_images_of_one_name_are_all_kept(name, copy, tmp_path):
    paths = [tmp_path / folder / each for folder in "123" for each in (name, "a.jpg", "a-2.jpg")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(path))
    paths = sorted(set(paths))
    with sorted_images(tmp_path / "sorted", ("a", "b"), copy) as place:
        for path in paths:
            place(str(path), predictions(("a", "b"))[0])
    placed = list((tmp_path / "sorted" / "a").iterdir())
    assert sorted(path.read_text() for path in placed) == list(map(str, paths))
    assert {path.suffix for path in placed} == {path.suffix for path in paths}
    assert all(path.is_symlink() is not copy for path in placed)
    assert all(path.read_text() == str(path) for path in paths)


def test_half_a_copy_is_none(tmp_path, monkeypatch):
    def interrupted(source, target):
        target.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.copy2", interrupted)
    with pytest.raises(KeyboardInterrupt), sorted_images(tmp_path, ("a", "b"), copy=True) as place:
        place("x.jpg", predictions(("a", "b"), 1)[0])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_links_lead_to_images_that_were_named_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_text("a")
    with sorted_images(tmp_path / "deep" / "sorted", ("a", "b")) as place:
        place("a.jpg", predictions(("a", "b"))[1])
    assert (tmp_path / "deep" / "sorted" / "b" / "a.jpg").read_text() == "a"


def test_embeddings_have_paths_that_open_their_images(tmp_path):
    row = predictions(("a", "b"))[0].probabilities
    names = [os.fsdecode(b"\xff.jpg"), "猫.jpg"]
    with embeddings_file(tmp_path / "e.npz", ("a", "b")) as add:
        for i, name in enumerate(names):
            add(name, Prediction(row, ("a", "b"), embedding=np.full(3, i, "float32")))
        add("bad.jpg", ImageError("bad.jpg", "is empty"))
    with np.load(tmp_path / "e.npz") as file:
        assert file["paths"].tolist() == names
        assert file["embeddings"].tolist() == [[0, 0, 0], [1, 1, 1]]
        assert (file["embeddings"].dtype, file["class_names"].tolist()) == (np.float32, ["a", "b"])


@pytest.mark.parametrize("count", [0, 2])
def test_embeddings_so_far_are_kept_when_something_fails(count, tmp_path):
    row = predictions(("a", "b"))[0].probabilities

    def fail():
        with embeddings_file(tmp_path / "e.npz", ("a", "b")) as add:
            for _ in range(count):
                add("a.jpg", Prediction(row, ("a", "b"), embedding=np.ones(3, "float32")))
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        fail()
    with np.load(tmp_path / "e.npz") as file:
        assert len(file["embeddings"]) == len(file["paths"]) == count


def test_where_windows_allows_no_links_the_cure_is_named(tmp_path, monkeypatch):
    class Refused(OSError):
        winerror = 1314

    def refuse(self, target):
        raise Refused("a required privilege is not held by the client")

    monkeypatch.setattr("pathlib.Path.symlink_to", refuse)
    (prediction,) = predictions(("a", "b"), 1)
    with (
        sorted_images(tmp_path / "sorted", ("a", "b")) as write,
        pytest.raises(InputError, match="Windows allows no links here; add --copy"),
    ):
        write(str(tmp_path / "x.jpg"), prediction)
