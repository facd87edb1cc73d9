"""Fine-tune EfficientNet-Lite0 on class folders, as Keras's guide to transfer learning does.

    python benchmarks/plain_finetuning.py FOLDER --image-size 224

FOLDER holds train/, val/ and test/ with class folders in each. Of this project it takes the
backbone with its ImageNet weights alone. The last line is JSON: the figures on test.
"""

import argparse
import json

import keras
import numpy as np
from sklearn.metrics import accuracy_score, f1_score

from cnn_cifar10.architectures import create_model

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("folder")
parser.add_argument("--image-size", type=int, default=224)
parser.add_argument("--epochs", type=int, default=5, help="of the head, then as many of all")
parser.add_argument("--learning-rate", type=float, default=1e-4, help="when all is trained")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
keras.utils.set_random_seed(args.seed)


def read(split, shuffle=False):
    """Return the batches of one split."""
    folder, size = f"{args.folder}/{split}", (args.image_size, args.image_size)
    return keras.utils.image_dataset_from_directory(
        folder, image_size=size, shuffle=shuffle, seed=args.seed, verbose=False
    )


train, validation, test = read("train", shuffle=True), read("val"), read("test")
classes, shape = len(train.class_names), (args.image_size, args.image_size, 3)
train, validation, test = (each.prefetch(4) for each in (train, validation, test))
backbone = create_model("transfer", shape, classes, image_size=args.image_size)
backbone = backbone.get_layer("features")  # from raw pixels, as in keras.applications

inputs = keras.Input(shape)
x = keras.layers.RandomFlip("horizontal")(inputs)
x = backbone(x, training=False)  # batch normalization stays as it is
x = keras.layers.Dropout(0.2)(x)
model = keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(x))
best = keras.callbacks.ModelCheckpoint(
    "best.weights.h5", "val_accuracy", save_best_only=True, save_weights_only=True
)
for trains_backbone, learning_rate in ((False, 1e-3), (True, args.learning_rate)):
    backbone.trainable = trains_backbone
    adam = keras.optimizers.Adam(learning_rate)
    model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(train, validation_data=validation, epochs=args.epochs, callbacks=[best], verbose=2)
model.load_weights("best.weights.h5")
predicted = model.predict(test, verbose=0).argmax(axis=1)
labels = np.concatenate([batch for _, batch in test])
f1, accuracy = f1_score(labels, predicted, average="macro"), accuracy_score(labels, predicted)
print(json.dumps({"macro_f1": f1, "accuracy": accuracy, "test_images": len(labels)}))
