"""Image classification with Keras, from the first convolution to a served model."""

import os

from cnn_cifar10.utils import quiet_tensorflow

__version__ = "0.1.0"

if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "3":  # as processes inherit it from a command
    quiet_tensorflow()
