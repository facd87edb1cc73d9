"""Converts a folder to records, and is killed at one of its steps."""

import os
import signal
import sys
from pathlib import Path

from cnn_cifar10.datasets import DataOptions, list_files, records


def main(photos, place, step):
    """Kill this process at the step-th image that is read or file that is put in its place.

    Step 0 is where the index is put in its place.
    """
    left = [int(step)]

    def counted(function):
        def call(*given):
            left[0] -= 1
            if not left[0] or (step == "0" and str(given[-1]).endswith(records.INDEX)):
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*given)

        return call

    records.SHARD_BYTES = 5000
    records.read_file, os.replace = counted(records.read_file), counted(os.replace)
    _, files = list_files(DataOptions(photos))
    records.write_records(files, Path(place), progress=False)


main(*sys.argv[1:])
