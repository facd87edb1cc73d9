"""`cnn-cifar10 predict` on what people have: any folder, any name, files that cannot be read."""

import csv
import json
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_cifar10.cli import main
from cnn_cifar10.inference import Classifier


@pytest.fixture(scope="module")
def pngs(digits):
    """A function that writes test digits as image files of these names in a folder."""

    def write(folder, *names):
        for i, name in enumerate(names):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(digits.test.images[i % 100]).save(path, format="PNG")
        return folder

    return write


@pytest.fixture
def predict(artifact, capfdbinary):
    """A function that runs the command: exit code, lines of standard output, standard error."""

    def run(*arguments):
        code = main(["predict", "--model", str(artifact), *map(str, arguments)])
        out, err = (text.decode() for text in capfdbinary.readouterr())
        return code, out.splitlines(), err

    return run


@pytest.fixture(scope="module")
def threshold(artifact, digits):
    """What the best class of half of the images reaches."""
    return float(np.median(Classifier.open(artifact).probabilities(digits.test.images[:9]).max(1)))


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_one_image_gets_one_line_of_its_top_classes(predict, tmp_path):
    Image.fromarray(np.full((90, 160, 3), 40, "uint8")).save(tmp_path / "large.jpg")
    code, (line,), err = predict(tmp_path / "large.jpg", "--top", 2)
    assert (code, err) == (0, "")
    assert line.startswith(f"{tmp_path / 'large.jpg'}: ")
    assert line.count("%") == 2


def test_it_averages_and_is_unsure_when_asked_to(predict, pngs, tmp_path):
    image = pngs(tmp_path, "a.png") / "a.png"
    (plain,) = json.loads("".join(predict(image, "--json")[1]))
    (unsure,) = json.loads("".join(predict(image, "--json", "--mirror", "--threshold", 1)[1]))
    assert plain["class"] == plain["top"][0]["class"]
    assert unsure["class"] == "unsure"
    assert unsure["probability"] == unsure["top"][0]["probability"] != plain["probability"]
    assert ".png: unsure; " in predict(image, "--threshold", 1)[1][0]


@pytest.mark.parametrize(
    "left",
    [
        "._a.png",
        ".ipynb_checkpoints/a-checkpoint.png",
        "__MACOSX/b/._c.png",
        "b/@eaDir/c.png/SYNOPHOTO_THUMB_M.jpg",
        "$RECYCLE.BIN/d.png",
        ".thumbnails/normal/e.png",
    ],
)
def test_what_systems_leave_behind_is_not_classified(left, predict, pngs, tmp_path):
    pngs(tmp_path, "a.png", "b/c.png", left)
    (tmp_path / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    code, lines, _ = predict(tmp_path)
    assert code == 0
    assert [line.split(": ")[0] for line in lines] == [f"{tmp_path}/a.png", f"{tmp_path}/b/c.png"]


def _truncate(path):
    path.write_bytes(path.read_bytes()[:200])


FAULTS = {
    "truncated": _truncate,
    "empty": lambda path: path.write_bytes(b""),
    "page": lambda path: path.write_text("<html>not found</html>"),
    "link to nothing": lambda path: (path.unlink(), path.symlink_to("absent.png")),
    "pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "link to a device": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_that_cannot_be_read_costs_no_other_its_answer(fault, predict, pngs, tmp_path):
    names = [f"{i:02d}.png" for i in range(70)]  # more than two batches
    pngs(tmp_path, *names)
    FAULTS[fault](tmp_path / "65.png")
    code, lines, err = predict(tmp_path, "--csv", tmp_path / "all.csv")
    assert code == 1
    assert [line.split(": ")[0] for line in lines] == [
        str(tmp_path / name) for name in names if name != "65.png"
    ]
    first, second = err.splitlines()
    assert first == "cnn-cifar10: 1 of 70 images cannot be read:"
    assert second.startswith(f"  {tmp_path / '65.png'}: ")
    (row,) = (row for row in read_csv(tmp_path / "all.csv") if row["error"])
    assert (row["file"], row["class"]) == (str(tmp_path / "65.png"), "")
    assert second.endswith(row["error"])
    rows = json.loads("".join(predict(tmp_path, "--json")[1]))
    assert len(rows) == 70
    assert rows[65] == {"file": row["file"], "error": row["error"]}


@pytest.mark.parametrize("fault", ["pipe", "link to a device", "empty"])
def test_one_named_alone_gets_one_line(fault, predict, pngs, tmp_path):
    FAULTS[fault](pngs(tmp_path, "a.png") / "a.png")
    code, lines, err = predict(tmp_path / "a.png")
    assert (code, lines) == (2, [])
    assert err.startswith(f"cnn-cifar10: {tmp_path / 'a.png'}: ")
    assert err.count("\n") == 1


def test_of_many_that_cannot_be_read_twenty_are_named(predict, pngs, tmp_path):
    pngs(tmp_path, "good.png")
    for i in range(30):
        (tmp_path / f"bad{i:02d}.jpg").touch()
    code, lines, err = predict(tmp_path)
    assert (code, len(lines)) == (1, 1)
    assert len(err.splitlines()) == 22
    assert err.splitlines()[-1] == "  and 10 more; --csv FILE lists them all"


NAMES = ["猫.png", "שלום.png", b"caf\xe9.png", "a\nb.png", "100% \x1b[31m.png", "_x_ $y$.png"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_can_be_printed_and_written(name, predict, pngs, tmp_path):
    photos = pngs(tmp_path / "photos", os.fsdecode(name), "other.png")
    path = photos / os.fsdecode(name)
    code, lines, _ = predict(
        *(photos, "--csv", tmp_path / "all.csv", "--sort-into", tmp_path / "sorted"),
        *("--embeddings", tmp_path / "all.npz"),
    )
    assert (code, len(lines)) == (0, 2)
    shown = {line.split(": ")[0] for line in lines}
    assert shown == {row["file"] for row in read_csv(tmp_path / "all.csv")}
    assert str(path) in np.load(tmp_path / "all.npz")["paths"]
    links = [link for link in (tmp_path / "sorted").rglob("*") if link.is_symlink()]
    assert path.name in {link.name for link in links}
    rows = json.loads("".join(predict(photos, "--json")[1]))
    assert str(path) in {row["file"] for row in rows}


def test_a_console_of_few_letters_shows_others_as_escapes(artifact, pngs, tmp_path):
    pngs(tmp_path, "猫.png")
    command = [sys.executable, "-m", "cnn_cifar10", "predict", "--model", artifact, tmp_path]
    done = subprocess.run(
        command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "latin-1"}
    )
    assert done.returncode == 0, done.stderr
    assert rb"\u732b.png: " in done.stdout


def test_the_table_has_every_probability(predict, pngs, tmp_path, artifact, threshold):
    paths = sorted(pngs(tmp_path, *(f"{i:02d}.png" for i in range(40))).iterdir())
    expected = Classifier.open(artifact).classify_files(paths)
    code, lines, _ = predict(tmp_path, "--csv", tmp_path / "all.csv", "--threshold", threshold)
    rows = read_csv(tmp_path / "all.csv")
    assert (code, len(lines)) == (0, 40)
    assert [row["file"] for row in rows] == list(map(str, paths))
    columns = [f"probability of {digit}" for digit in range(10)]
    assert list(rows[0]) == ["file", "class", "probability", "error", *columns]
    for row, prediction in zip(rows, expected, strict=True):
        probability = prediction.probabilities.max()
        assert row["class"] == ("unsure" if probability < threshold else prediction.label)
        assert float(row["probability"]) == pytest.approx(probability, rel=1e-4)
        given = [float(row[column]) for column in columns]
        np.testing.assert_allclose(given, prediction.probabilities, rtol=1e-4)


@pytest.mark.parametrize("copy", [False, True])
def test_images_are_sorted_into_folders_and_stay_where_they_are(
    copy, predict, pngs, tmp_path, threshold
):
    photos = pngs(tmp_path / "photos", *(f"{part}/{i}.png" for part in "abc" for i in range(9)))

    def state():
        stats = {path: path.lstat() for path in photos.rglob("*")}
        return {path: (s.st_mode, s.st_ino, s.st_size, s.st_mtime_ns) for path, s in stats.items()}

    before, target = state(), tmp_path / "sorted"
    code, _, _ = predict(
        *(photos, "--sort-into", target, "--threshold", threshold, "--csv", tmp_path / "all.csv"),
        *(["--copy"] if copy else []),
    )
    assert code == 0
    assert state() == before
    placed = [path for path in target.rglob("*") if not path.is_dir()]
    assert len(placed) == 27
    labels = {row["file"]: row["class"] for row in read_csv(tmp_path / "all.csv")}
    assert {"unsure"} < set(labels.values())
    assert sorted(path.parent.name for path in placed) == sorted(labels.values())
    for path in placed:
        assert path.is_symlink() is not copy
        if not copy:
            assert labels[str(path.readlink())] == path.parent.name
    assert {path.stem.partition("-")[0] for path in placed} == set("012345678")


def test_embeddings_are_of_the_images_that_can_be_read(predict, pngs, tmp_path, artifact):
    pngs(tmp_path, *(f"{i:02d}.png" for i in range(40)))
    (tmp_path / "05.png").write_bytes(b"")
    assert predict(tmp_path, "--embeddings", tmp_path / "all.npz")[0] == 1
    with np.load(tmp_path / "all.npz") as file:
        paths, embeddings, names = (file[key] for key in ("paths", "embeddings", "class_names"))
    assert names.tolist() == list("0123456789")
    assert len(paths) == len(embeddings) == 39
    assert embeddings.dtype == np.float32
    expected = Classifier.open(artifact, embed=True).classify_files(paths)
    assert embeddings.tolist() == [each.embedding.tolist() for each in expected]


def test_an_interruption_leaves_what_was_answered(artifact, pngs, tmp_path):
    photos = pngs(tmp_path / "photos", *(f"{i:03d}.png" for i in range(400)))
    program = Path(__file__).parent / "programs" / "predicts_slowly.py"
    table, archive = tmp_path / "all.csv", tmp_path / "all.npz"
    words = ["--model", artifact, photos, "--csv", table, "--embeddings", archive, "--json"]
    process = subprocess.Popen(
        [sys.executable, program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert any(line.startswith(str(photos / "040.png")) for line in process.stderr)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    count = len(rows := json.loads(out))
    assert 40 < count < 400
    assert f"cnn-cifar10: interrupted; {count} of 400 images answered" in err
    with np.load(archive) as file:
        assert file["paths"].tolist() == [row["file"] for row in rows]
        assert len(file["embeddings"]) == count
    lines = table.read_text().splitlines()
    assert len(lines) == 1 + count
    assert {line.count(",") for line in lines} == {13}


@pytest.mark.parametrize("terminals", [("stderr",), ("stdout", "stderr"), ()])
def test_a_bar_is_shown_where_the_answers_are_not(terminals, artifact, pngs, tmp_path):
    pngs(tmp_path, *(f"{i}.png" for i in range(5)))
    ours, theirs = os.openpty()
    termios.tcsetwinsize(ours, (24, 80))
    streams = {n: theirs if n in terminals else subprocess.PIPE for n in ("stdout", "stderr")}
    words = ["predict", "--model", artifact, tmp_path, "--top", "1"]
    done = subprocess.run([sys.executable, "-m", "cnn_cifar10", *words], **streams, check=True)
    os.write(theirs, b"end")
    shown = os.read(ours, 4000).decode()
    assert ("Classifying: " in shown) is (terminals == ("stderr",))
    assert shown.count(".png: ") == (5 if "stdout" in terminals else 0)
    if not terminals:
        assert (done.stdout.count(b"\n"), done.stderr) == (5, b"")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("photos --top 0", "--top must be 1 or more, received 0"),
        ("empty", "empty: holds no images (.jpg, "),
        ("photos empty", "empty: holds no images (.jpg, "),
        ("photos --copy", "--copy needs --sort-into DIR"),
        ("photos --csv old.csv", "old.csv: is there already; remove it or name another file"),
        ("photos --embeddings old.csv", "old.csv: is there already; remove it or name another"),
        ("photos --csv absent/a.csv", "absent/a.csv"),
        ("photos --csv a.csv --embeddings absent/a.npz", "absent/a.npz: its folder does not exist"),
        ("photos --csv a.npz --embeddings a.npz", "--csv and --embeddings name the same file"),
        ("photos --sort-into photos", "photos: is there already; name a new or empty folder"),
        ("photos --sort-into old.csv", "old.csv: is there already; name a new or empty folder"),
        ("photos --sort-into photos/s", "photos/s: lies among the images; name a folder beside"),
        ("photos --sort-into link/s", "link/s: lies among the images; name a folder beside"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_classified(
    words, message, predict, pngs, tmp_path, monkeypatch
):
    monkeypatch.chdir(pngs(tmp_path, "photos/a.png"))
    Path("empty").mkdir()
    Path("old.csv").touch()
    Path("link").symlink_to("photos")
    before = sorted(Path().rglob("*"))
    code, lines, err = predict(*words.split())
    assert (code, lines) == (2, [])
    assert message in err
    assert err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


def test_a_reader_who_has_enough_is_no_error(artifact, pngs, tmp_path):
    pngs(tmp_path, *(f"{i}.png" for i in range(80)))
    command = f'"{sys.executable}" -m cnn_cifar10 predict --model "{artifact}" "{tmp_path}"'
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; {command} --csv "{tmp_path}/all.csv" | head -n 1'],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
