"""Known holes in the packages that are required."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from table import Found

_USAGE = 2  # exit code of a command that was called wrongly


def audit(count, seed):
    """Look the installed packages up in the index's list of known holes."""
    with tempfile.TemporaryDirectory() as place:
        output = Path(place) / "found.json"
        command = [sys.executable, "-m", "pip_audit", "--local", "--skip-editable", "--timeout=30"]
        command += ["--progress-spinner=off", "--format=json", f"--output={output}"]
        done = subprocess.run(command, capture_output=True, text=True)
        text = output.read_text() if output.exists() else ""
    what, bar = "packages with known holes", "none"
    if not text:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        is_broken = done.returncode == _USAGE or "No module named" in lines[-1]
        held, of = (0, 1) if is_broken else (None, 0)  # else the index did not answer
        yield Found(what, bar, held, of, f"not asked: {lines[-1][-200:]}")
        return
    asked = json.loads(text)["dependencies"]
    packages = [each for each in asked if "version" in each]
    if not packages:
        known = f"the index knows nothing of these {len(asked)} packages"
        yield Found(what, bar, None, 0, known)
        return
    holes = [
        f"{each['name']} {each['version']}: {', '.join(hole['id'] for hole in each['vulns'])}"
        for each in packages
        if each["vulns"]
    ]
    unknown = f"{len(asked) - len(packages)} packages are not known to the index"
    held = len(packages) - len(holes)
    yield Found(what, bar, held, len(packages), "; ".join([unknown, *holes]))
