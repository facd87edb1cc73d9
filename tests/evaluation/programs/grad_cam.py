"""Grad-CAM, compared with maps computed by hand, on the backend of the environment."""

import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))

from test_gradcam import KERNEL, color_model, expected_maps, random_images

from cnn_cifar10.evaluation import grad_cam

images, classes = random_images(4), [0, 1, 2, 3]
for nested in (0, 2):
    maps = grad_cam(color_model(KERNEL, nested), images, classes)
    np.testing.assert_allclose(maps, expected_maps(images, KERNEL, classes), atol=1e-5)
