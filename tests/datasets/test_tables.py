"""Tables of images: columns by usual names, and errors that name the line."""

import os
import shutil

import numpy as np
import pytest

from cnn_cifar10.datasets import load_dataset
from cnn_cifar10.datasets.tables import is_table


def sizes(dataset):
    return [len(split) for split in (dataset.train, dataset.validation, dataset.test)]


@pytest.fixture
def photos(make_images, tmp_path):
    """A folder of 20 images without classes, `photos/000.png` and on."""
    make_images(tmp_path, photos=20)
    return tmp_path


def write(path, header, rows, delimiter=",", encoding="utf-8", end="\n"):
    lines = [delimiter.join(map(str, row)) for row in [header, *rows]]
    path.write_bytes((end.join(lines) + end).encode(encoding))
    return path


def rows_of(count=20, label=lambda i: "dog" if i % 2 else "cat"):
    return [(f"photos/{i:03}.png", label(i)) for i in range(count)]


@pytest.mark.parametrize(
    ("header", "options"),
    [
        (("file", "label"), {}),
        (("File Name", "Class"), {"encoding": "utf-8-sig"}),
        (("image_path", "category"), {"delimiter": ";", "end": "\r\n"}),
        (("PATH", "TARGET"), {"delimiter": "\t"}),
    ],
)
def test_a_table_names_files_and_labels(photos, header, options):
    table = write(photos / "labels.csv", header, rows_of(), **options)
    dataset = load_dataset("folder", table)
    assert dataset.class_names == ("cat", "dog")
    assert sizes(dataset) == [16, 2, 2]
    assert dataset.title == "labels.csv"
    for split in (dataset.train, dataset.validation, dataset.test):
        numbers = [int(path[7:10]) for path in split.ids]
        assert split.labels.tolist() == [number % 2 for number in numbers]
        assert split.images[:][:, 3, 3, 1].tolist() == numbers


def test_the_order_of_lines_and_columns_changes_nothing(photos):
    rows = [(i, label, file, "x,y") for i, (file, label) in enumerate(rows_of())]
    one = write(photos / "one.csv", ("file", "label"), rows_of())
    other = write(photos / "other.csv", ("id", "label", "file"), [row[:3] for row in rows[::-1]])
    assert load_dataset("folder", one).fingerprint == load_dataset("folder", other).fingerprint


def test_a_table_gives_splits_and_groups(photos):
    splits = ["Train"] * 14 + ["valid"] * 2 + ["TEST"] * 4
    rows = [(*row, split) for row, split in zip(rows_of(), splits, strict=True)]
    dataset = load_dataset("folder", write(photos / "a.csv", ("img", "y", "Subset"), rows))
    assert sizes(dataset) == [14, 2, 4]
    rows = [(*row, f"patient {i // 4}") for i, row in enumerate(rows_of())]
    dataset = load_dataset("folder", write(photos / "b.csv", ("img", "y", "Patient_ID"), rows))
    held = [{int(path[7:10]) // 4 for path in split.ids}
            for split in (dataset.train, dataset.validation, dataset.test)]  # fmt: skip
    assert [len(groups) for groups in held] == [3, 1, 1]
    assert len(set.union(*held)) == 5


def test_paths_may_be_absolute_or_written_on_windows(photos, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    rows = [(photos / file, label) for file, label in rows_of()]
    dataset = load_dataset("folder", write(elsewhere / "x.csv", ("file", "label"), rows))
    assert all(path.startswith(str(photos)) for path in dataset.train.ids)
    rows = [(f".\\{file}".replace("/", "\\"), label) for file, label in rows_of()]
    dataset = load_dataset("folder", write(photos / "y.csv", ("file", "label"), rows))
    assert all(path.startswith("photos/") for path in dataset.train.ids)


@pytest.mark.parametrize("inside", ["", "download"])
def test_the_only_table_of_a_folder_is_taken(photos, inside):
    write(photos / "labels.csv", ("file", "label"), rows_of())
    write(photos / "notes.csv", ("who", "when"), [("me", "today")])
    if inside:
        (photos / inside).mkdir()
        for name in ("labels.csv", "notes.csv", "photos"):
            shutil.move(photos / name, photos / inside / name)
    dataset = load_dataset("folder", photos)
    assert dataset.class_names == ("cat", "dog")
    assert any("labels.csv" in note for note in dataset.notes)


def test_of_several_tables_one_must_be_named(photos, refusal):
    for name in ("one.csv", "two.tsv"):
        write(photos / name, ("file", "label"), rows_of(), "\t")
    message = refusal("folder", photos)
    assert "one.csv, two.tsv" in message


def test_class_folders_win_over_a_table_beside_them(make_images, tmp_path):
    make_images(tmp_path, a=4, b=4)
    write(tmp_path / "labels.csv", ("file", "label"), [("a/000.png", "other")])
    dataset = load_dataset("folder", tmp_path)
    assert dataset.class_names == ("a", "b")
    assert any("to take the labels of labels.csv, name" in note for note in dataset.notes)


@pytest.mark.parametrize("text", ["", "\n", "\n,,\n"])
def test_a_table_of_nothing_is_empty(make_images, tmp_path, refusal, text):
    make_images(tmp_path, a=4, b=4)
    (tmp_path / "notes.csv").write_text(text)
    assert load_dataset("folder", tmp_path).class_names == ("a", "b")
    assert "notes.csv: is empty" in refusal("folder", tmp_path / "notes.csv")


def test_lines_that_repeat_others_are_told(photos):
    table = write(photos / "a.csv", ("file", "label"), rows_of() + rows_of(3))
    dataset = load_dataset("folder", table)
    assert sum(sizes(dataset)) == 20
    assert any("3 lines of a.csv repeat others" in note for note in dataset.notes)


def test_labels_of_any_script_stay_distinct(photos):
    labels = ["猫", "é", "e\u0301", "$x_1$"]
    table = write(photos / "a.csv", ("file", "label"), rows_of(label=lambda i: labels[i % 4]))
    dataset = load_dataset("folder", table)
    assert set(dataset.class_names) == {"猫", "é", "$x_1$"}  # the forms of é are one name
    np.testing.assert_array_equal(np.sort(np.bincount(dataset.train.labels)), [3, 3, 8])


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("", ["is empty"]),
        ("file,label\n", ["labels.csv: 0 classes ()"]),
        ("name,label\nphotos/000.png,a\n", ["the columns name, label", "`file` and `label`"]),
        ("photos/000.png,a\n", ["the columns photos/000.png, a", "`file` and `label`"]),
        ("path,image,label\n", ["path, image may each be the file"]),
        ("file,label\nphotos/000.png,a\n\nphotos/x.png,b\n", ["line 4: no such file 'photos/x"]),
        ("file,label\n,a\n", ["line 2: no such file ''"]),
        ("file,label\nphotos/000.png\n", ["line 2: no label"]),
        ("file,label\nphotos/000.png, \n", ["line 2: no label"]),
        ("file,label,split\nphotos/000.png,a,fold1\n", ["line 2: split 'fold1'", "validation"]),
        ("file,label,split\nphotos/000.png,a,\n", ["line 2: split ''"]),
        (
            "file,label,split\nphotos/000.png,a,test\nphotos/001.png,b,test\n",
            ["labels.csv: train has too few images of a (0), b (0)"],
        ),
        (
            "file,label\nphotos/000.png,a\n./photos/000.png,b\n",
            ["line 3: 'photos/000.png' is told otherwise in line 2"],
        ),
        (b"file,label\nphotos/000.png,caf\xe9\n", ["line 2: a label that is no UTF-8"]),
        ("file,label\nphotos/000.png,a\0b\n" + "x" * 200_000, ["line 3: cannot be read"]),
        ("file,label\n" + "gone.png,a\n" * 30, ["line 21: no such", "and 10 more"]),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_line(photos, refusal, content, parts):
    table = photos / "labels.csv"
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refusal("folder", table)
    assert message.startswith(str(photos))
    assert all(part in message for part in parts)


def test_what_is_no_table_is_said_so(photos, refusal):
    assert "no folder, CSV or TSV" in refusal("folder", photos / "photos" / "000.png")
    assert "no such file or folder" in refusal("folder", photos / "gone.csv")
    assert not is_table(photos / "photos" / "000.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_no_table(photos, refusal):
    os.mkfifo(photos / "pipe.csv")
    assert not is_table(photos / "pipe.csv")
    assert "no folder, CSV or TSV" in refusal("folder", photos / "pipe.csv")
