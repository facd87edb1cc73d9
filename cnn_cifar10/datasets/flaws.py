"""Images that are blurred, dark, light, of odd shape or size, or show little: by CleanVision."""

import importlib.util
import itertools
from collections.abc import Sequence

import numpy as np

from cnn_cifar10.datasets.images import FEW_FILES, load_image, read_file
from cnn_cifar10.datasets.scan import Scan, progress_bar
from cnn_cifar10.datasets.workers import call_each

_KINDS = ("blurry", "dark", "light", "low_information", "odd_aspect_ratio", "odd_size")
_SIZE = 256  # pixels of the longer side that CleanVision sees; it looks for blur at 64
_CHUNK = 64


def find_flaws(scan: Scan, progress: bool | None = None) -> dict[str, list[int]] | None:
    """Look at each image again, with CleanVision.

    Args:
        scan: What `scan_images` returned.
        progress: As for `scan_images`.

    Returns:
        A dict of `"blurry"`, `"dark"`, `"light"`, `"low_information"`, `"odd_aspect_ratio"` and
        `"odd_size"` to the positions of such images, the worst first; `None` where CleanVision
        is not installed.
    """
    if importlib.util.find_spec("cleanvision") is None:
        return None
    import pandas as pd
    from cleanvision.issue_managers.image_property_issue_manager import ImagePropertyIssueManager

    usable = np.flatnonzero(scan.heights)
    manager = ImagePropertyIssueManager()
    rows = pd.DataFrame(_measure_all([scan.paths[i] for i in usable], progress), index=usable)
    if rows.empty:
        return {kind: [] for kind in _KINDS}
    height, width = scan.heights[usable], scan.widths[usable]
    rows["size"] = np.sqrt(height * width)
    rows["aspect_ratio"] = np.minimum(height / width, width / height)
    flaws = {}
    for kind in _KINDS:
        measure, params = manager.image_properties[kind], manager.params[kind]
        scores = measure.get_scores(raw_scores=rows, issue_type=kind, **params)
        flawed = measure.mark_issue(scores, kind, params.get("threshold")).iloc[:, 0]
        worst = scores.iloc[:, 0][flawed].sort_values(kind="stable")
        flaws[kind] = worst.index.tolist()
    return flaws


def _measure_all(paths: Sequence[str], progress: bool | None) -> list[dict]:
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    rows: list[dict] = []
    with progress_bar(len(paths), progress, "Looking for blur and darkness") as bar:
        jobs = ((chunk,) for chunk in chunks)
        for found in call_each(_measure, jobs, apart=len(paths) > FEW_FILES):
            rows += found
            bar.update(len(found))
    return rows


def _measure(paths):
    from cleanvision.issue_managers.image_property_issue_manager import ImagePropertyIssueManager

    measures = ImagePropertyIssueManager().image_properties
    wanted = [measures[kind] for kind in ("blurry", "dark", "low_information")]
    rows = []
    for path in paths:
        image = load_image(read_file(path), path, (_SIZE, _SIZE)).image
        image.thumbnail((_SIZE, _SIZE))
        found = itertools.chain.from_iterable(each.calculate(image).items() for each in wanted)
        rows.append({name: float(value) for name, value in found})
    return rows
