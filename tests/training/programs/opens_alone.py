"""Opens a model where this package is not, and prints its answers: MODEL.keras IMAGES.npy."""

import json
import sys


class Blocker:
    """Finds no cnn_cifar10."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "cnn_cifar10":
            raise ModuleNotFoundError(f"blocked: {name}", name="cnn_cifar10")


def main(model, images):
    sys.meta_path.insert(0, Blocker())

    import keras
    import numpy as np

    answers = keras.saving.load_model(model).predict(np.load(images), verbose=0).tolist()
    print(json.dumps({"backend": keras.backend.backend(), "answers": answers}))


if __name__ == "__main__":
    main(*sys.argv[1:])
