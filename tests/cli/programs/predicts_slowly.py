"""Run `cnn-cifar10 predict`, which takes its time after each image."""

import sys
import time

from cnn_cifar10.cli import main, predict

update = predict._Progress.update
predict._Progress.update = lambda progress: (update(progress), time.sleep(0.01))
sys.exit(main(["predict", *sys.argv[1:]]))
