"""Opens each hostile folder by the command line, in a process each; prints a line of JSON each.

opens_hostile.py WORK COMMAND KIND...: kinds of `exports` for `predict`, of `runs` for others.
"""

import contextlib
import importlib
import io
import json
import os
import shutil
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import hostile

from cnn_cifar10.cli import main

work, command, *kinds = sys.argv[1:]
work, IMAGE = Path(work), Path(__file__).parents[3] / "cnn_cifar10/serving/examples/cat.jpg"


def words(folder):
    places = ["--report", str(work / "report"), "--results", str(work / "results.csv")]
    return {
        "predict": ["predict", "--model", str(folder), str(IMAGE)],
        "serve": ["serve", "--model", str(folder), "--port", "0"],
        "evaluate": ["evaluate", str(folder), *places],
        "export": ["export", str(folder), "--report", str(work / "report")],
        "train": [
            *("train", "--dataset", "digits", "--start", str(folder), "--epochs", "1"),
            *("--output", str(work / "out"), *places),
        ],
    }[command]


def go(folder):
    """Run the command; return its exit code and what it said."""
    said, before = io.StringIO(), time.perf_counter()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = main(words(folder))
    return {"code": code, "said": said.getvalue(), "seconds": time.perf_counter() - before}


# Imported before the processes part, so that it is not counted.
if command in ("predict", "serve"):
    make = hostile.make_export
    importlib.import_module("onnxruntime")
else:
    make = hostile.make_run
    importlib.import_module("cnn_cifar10.reporting")
    importlib.import_module("cnn_cifar10.training")
if command == "serve":
    importlib.import_module("cnn_cifar10.serving")

for kind in kinds:
    folder = make(work, kind)
    there, back = os.pipe()
    sys.stdout.flush()
    if not (child := os.fork()):
        try:
            with os.fdopen(back, "w") as file:
                json.dump(go(folder), file)
        except BaseException:  # as a user would see it
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(back)
    with os.fdopen(there) as file:
        answer = file.read()
    _, status, used = os.wait4(child, 0)
    answer = json.loads(answer) if answer else {"code": status, "said": "no answer", "seconds": -1}
    print(json.dumps({"kind": kind, **answer, "megabytes": used.ru_maxrss // 1024}), flush=True)
    shutil.rmtree(folder)
