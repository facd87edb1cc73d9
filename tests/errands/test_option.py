"""An option of the command line is one field of `TrainingConfig`, with its range."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "cnn_cifar10"
FIELD = '    patience: int = _option(3, "epochs to be patient for", above=0, below=9)\n'


def test_one_field_is_seen_in_help_and_its_range_is_kept(tmp_path):
    copy = shutil.copytree(PACKAGE, tmp_path / "cnn_cifar10")
    path = copy / "configs" / "training.py"
    lines = path.read_text().splitlines(keepends=True)
    place = next(i for i, line in enumerate(lines) if line.startswith("    epochs: int"))
    path.write_text("".join([*lines[:place], FIELD, *lines[place:]]))

    def command(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "cnn_cifar10", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )

    text = " ".join(command("train", "--help").stdout.split())
    assert "--patience PATIENCE epochs to be patient for (default: 3)" in text
    for value, range in (("0", "above 0"), ("9", "below 9")):
        refused = command("train", "--dataset", "digits", "--patience", value)
        assert refused.returncode == 2
        assert refused.stderr == f"cnn-cifar10: patience must be {range}, received {value}\n"
