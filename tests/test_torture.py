"""The short form of `make torture`: each check a few times; what is timed is not judged."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COUNTS = {
    **{"kill": 6, "signals": 6, "saving": 20, "damage": 100, "full": 2, "read-only": 12},
    **{"locks": 5, "images": 60, "connections": 2000, "leaks": 600},
}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("check", COUNTS)
def test_a_few_tries_of_a_check_hold(check, tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, ROOT / "benchmarks/reliability", check),
            *("--count", str(COUNTS[check]), "--reports", tmp_path),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode in (0, 1), done.stderr[-5000:]
    with open(tmp_path / "reliability.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert not [row for row in rows if row["holds"] == "no" and row["timed"] == "no"]
    assert (tmp_path / "reliability.md").exists()
    if all(row["holds"] == "not tried" for row in rows):
        pytest.skip(rows[0]["found"])
