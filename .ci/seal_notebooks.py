"""Write reports/notebooks.json: what each code cell of the notebooks held after its last full run.

`make notebooks` runs this. A test compares, so that a cell or an output that is edited by
hand afterwards, without a run, is noticed.
"""

import hashlib
import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "reports" / "notebooks.json"


def seal(cell):
    """Return a digest of a code cell's source and outputs."""
    outputs = [{**output, "metadata": {}} for output in cell["outputs"]]
    content = json.dumps(["".join(cell["source"]), outputs], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def seals(path):
    """Return the seals of a notebook's code cells by their ids."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {cell["id"]: seal(cell) for cell in cells if cell["cell_type"] == "code"}


if __name__ == "__main__":
    record = {path.stem: seals(path) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
