"""`cnn-cifar10 inspect`."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(4):
            noise = rng.integers(0, 256, (8, 8, 3), dtype="uint8")
            Image.fromarray(noise).save(tmp_path / "photos" / name / f"{i}.png")
    return tmp_path / "photos"


def run(folder, *arguments):
    command = [sys.executable, "-m", "cnn_cifar10", "inspect", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_it_says_what_matters_and_where_the_page_is(photos):
    done = run(photos.parent, "photos", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[1].startswith("8 images of 2 classes")
    assert lines[-1] == "page: reports/photos-data/inspection.md"
    assert (photos.parent / "reports/photos-data/inspection.md").exists()


def test_json_prints_the_document_alone(photos):
    done = run(photos.parent, photos, "--json", "--quiet", "--output", "page")
    assert json.loads(done.stdout)["classes"] == {"cat": 4, "dog": 4}


@pytest.mark.parametrize("place", ["nowhere", "photos/cat/0.png", "empty"])
def test_what_cannot_be_inspected_is_one_line(photos, place):
    (photos.parent / "empty").mkdir()
    done = run(photos.parent, place, "--quiet")
    assert done.returncode == 2
    assert done.stderr.startswith("cnn-cifar10: ")
    assert len(done.stderr.splitlines()) == 1
    assert not (photos.parent / "reports").exists()
