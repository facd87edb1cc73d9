"""Holds the lock of a folder until it is killed."""

import sys
import time
from pathlib import Path

from cnn_cifar10.utils import working_in

with working_in(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
