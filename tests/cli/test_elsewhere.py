"""The command line on other systems: without /proc and what else is Linux's, with other paths."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_cifar10.configs import make_config
from cnn_cifar10.utils import references

ROOT = Path(__file__).parents[2]
TRAIN = "train --dataset digits --epochs 1 --quiet --precision auto --model-options width=4 depth=1"


@pytest.mark.slow
def test_commands_work_where_linux_is_not(tmp_path):
    place = tmp_path / "Übung 1 (été) & 'more'"
    place.mkdir()
    Image.fromarray(np.zeros((40, 30, 3), "uint8")).save(place / "photo ä.png")
    commands = [
        [*TRAIN.split(), "--output", "models/a run"],
        [*TRAIN.split(), "--output", "models/a run"],  # it is finished
        ["evaluate", "models/a run", "--report", "report ß"],
        ["predict", "photo ä.png", "--csv", "answers ü.csv"],
        ["predict", ".", "--sort-into", str(tmp_path / "sorted")],
        ["predict", ".", "--sort-into", str(tmp_path / "copied"), "--copy"],
    ]
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "programs" / "runs_elsewhere.py"],
        input="\n".join("\t".join(words) for words in commands),
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stdout.splitlines()[-1] == "codes 0 0 0 0 2 0", done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "Windows allows no links here; add --copy" in done.stderr
    assert "this run is finished; nothing is left to do" in done.stdout
    assert (place / "report ß" / "report.md").exists()


def test_a_file_of_code_may_have_a_drive():
    """Only the last colon is that of the name."""
    path, name = references.find_file("C:\\nets\\my_net.py:build")
    assert (str(path), name) == ("C:\\nets\\my_net.py", "build")
    config = make_config(model="C:/nets/my_net.py:build")
    assert config.name == "cifar10-my_net_build-seed0"
