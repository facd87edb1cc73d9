"""Create the application for a model, and print which deep learning libraries that imported.

Argument: the folder of an exported model.
"""

import sys

from cnn_cifar10.inference import Classifier
from cnn_cifar10.serving.app import create_app

create_app({"model": Classifier.open(sys.argv[1])})
print({"tensorflow", "keras", "jax", "torch"} & set(sys.modules))
