"""Build the page where neither Keras nor the network can be reached."""

import os
import socket
import sys
import time

socket.socket.connect = lambda *given: os._exit(3)
sys.modules.update(dict.fromkeys(["keras", "tensorflow", "jax", "torch", "seaborn"]))

from cnn_cifar10.inference import Classifier  # noqa: E402
from cnn_cifar10.serving.page import build_page  # noqa: E402

build_page({"custom_cnn": Classifier.open()})
time.sleep(1)  # for threads
