"""Export formats: ONNX, ONNX with float16 weights, LiteRT, LiteRT int8, SavedModel.

A format is one object in `FORMATS`. Importing this loads neither Keras nor NumPy: the
command line's help lists the formats.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cnn_cifar10.utils import usable_cores

_CALIBRATION_IMAGES, _EXPLAINED_IMAGES = 500, 32
_FLOAT16_DIFFERENCE = 0.02  # of an embedding or an explanation, which has 1 at most
_FEW_WEIGHTS = 1024  # which stay in float32


@dataclass(frozen=True)
class Format:
    """An entry of `FORMATS`: all that is special about one export format.

    Args:
        file: Name of the file or folder in the run's folder.
        export: Function of a `keras.Model`, the path to write, the class names and the
            training images. It writes the format, loads it back, and returns a function
            from float32 images `(n, height, width, 3)` to probabilities `(n, classes)`.
        packages: What the export imports and must be installed.
        runtime: Package whose version stands beside the comparison, as `pip` names it.
        tag: Tag of the model card; `None` for none.
        use: Paragraphs of the model card on how to use the file, each with an empty line after.
        largest_difference: How far a probability may be from Keras's; the most probable
            class must be the same. `None` allows any.
        largest_loss: How much accuracy may be lost, where classes may differ.
    """

    file: str
    export: Callable
    packages: tuple[str, ...] = ()
    runtime: str = ""
    tag: str | None = None
    use: str = ""
    largest_difference: float | None = 1e-4
    largest_loss: float = 0.0

    def fault(self, row: dict[str, Any], reference: dict[str, Any]) -> str | None:
        """Return what is wrong with a row of the comparison with Keras's row; `None` if nothing."""
        if self.largest_difference is None:
            lost = reference["accuracy"] - row["accuracy"]
            if lost > self.largest_loss + 1e-9:  # rounding
                return f"{row['format']} loses {100 * lost:.1f} points of accuracy; leave it out"
        elif row["largest_difference"] > self.largest_difference or row["agreement"] < 1:
            return (
                f"{row['format']} differs from Keras by up to {row['largest_difference']:.2g} in "
                f"a probability, and in {1 - row['agreement']:.2%} of the classes"
            )
        return None


def _export_onnx(model, path, class_names, images):
    extended = _write_onnx(model, path)
    return _open_onnx(model, extended, path, class_names, images, Format.largest_difference)


def _export_onnx_float16(model, path, class_names, images):
    extended = _write_onnx(model, path)
    _store_in_float16(path)
    return _open_onnx(model, extended, path, class_names, images, _FLOAT16_DIFFERENCE)


def _write_onnx(model, path):
    """Write a model with its further outputs, and return it with them."""
    from cnn_cifar10.evaluation import with_class_activation

    _teach_erfc()
    extended = with_class_activation(model)
    _fix_tensors(extended)
    with warnings.catch_warnings():
        # Keras's patch of tf2onnx touches a name that NumPy is about to reuse.
        warnings.simplefilter("ignore", FutureWarning)
        extended.export(path, format="onnx", verbose=False, input_signature=_signature(model))
    return extended


def _fix_tensors(model):
    """Make arrays of tensors that layers keep, as KerasHub's do: ONNX would take them as inputs."""
    import tensorflow as tf

    for layer in model._flatten_layers():
        for name, value in [*vars(layer).items()]:
            if isinstance(value, tf.Tensor):
                setattr(layer, name, value.numpy())


def _teach_erfc():
    """Teach tf2onnx the operation Erfc, which is in the exact GELU of ConvNeXt and transformers."""
    import numpy as np
    from tf2onnx.handler import tf_op

    @tf_op("Erfc")
    class Erfc:
        @classmethod
        def version_9(cls, graph, node, **_):
            (shape,), (dtype,) = node.output_shapes, node.output_dtypes
            erf = graph.make_node("Erf", node.input, shapes=[shape], dtypes=[dtype])
            one = graph.make_const(f"{node.name}_one", np.array(1, "float32"))
            graph.remove_node(node.name)
            inputs, places = [one.output[0], erf.output[0]], {"shapes": [shape], "dtypes": [dtype]}
            graph.make_node("Sub", inputs, name=node.name, outputs=node.output, **places)


def _store_in_float16(path):
    """Store large float32 weights of an ONNX file in two bytes each; it computes as before."""
    import numpy as np
    import onnx

    document, casts = onnx.load(path), []
    for weights in document.graph.initializer:
        values = onnx.numpy_helper.to_array(weights)
        if values.dtype != "float32" or values.size < _FEW_WEIGHTS:
            continue
        name, stored = weights.name, f"{weights.name}_float16"
        with np.errstate(over="ignore"):  # what becomes infinite differs from Keras, and is refused
            halves = values.astype("float16")
        weights.CopyFrom(onnx.numpy_helper.from_array(halves, stored))
        casts.append(onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *document.graph.node]
    del document.graph.node[:]
    document.graph.node.extend(nodes)
    onnx.save(document, path)


def _open_onnx(model, extended, path, class_names, images, largest_difference):
    """Return what computes probabilities, if embeddings and explanations are Keras's as well."""
    import numpy as np

    from cnn_cifar10.evaluation import grad_cam
    from cnn_cifar10.inference import ArtifactError, Classifier, open_session

    session = open_session(path.read_bytes())
    embed = "embedding" in extended.output
    classifier = Classifier(session, tuple(class_names), model.input_shape[1:], embed=embed)
    images = images[:_EXPLAINED_IMAGES]
    predictions = classifier.classify(images)
    if embed:
        embeddings = np.stack([each.embedding for each in predictions])
        expected = extended.predict_on_batch(images)["embedding"]
        difference = np.abs(embeddings - expected).max() / max(1, np.abs(expected).max())
        if difference > largest_difference:
            raise ArtifactError(f"onnx: embeddings differ from Keras's by {difference:.2g}")
    classes = np.array([each.probabilities.argmax() for each in predictions])
    maps = classifier.explain(images, classes)
    if maps is not None:
        difference = np.abs(maps - grad_cam(model, images, classes)).max()
        if difference > largest_difference:
            raise ArtifactError(f"onnx: class activation differs from Grad-CAM by {difference:.2g}")
    return classifier.probabilities


def _export_litert(model, path, class_names, images, **options):
    from ai_edge_litert.interpreter import Interpreter

    model.export(path, format="litert", verbose=False, input_signature=_signature(model), **options)
    interpreter = Interpreter(str(path), num_threads=usable_cores())
    run = interpreter.get_signature_runner("serving_default")

    def predict(images):
        (probabilities,) = run(pixels=images).values()
        return probabilities

    return predict


def _export_litert_int8(model, path, class_names, images):
    import numpy as np
    import tensorflow as tf

    count = min(_CALIBRATION_IMAGES, len(images))
    chosen = np.sort(np.random.default_rng(0).choice(len(images), count, replace=False))
    calibration = images[chosen].astype("float32")
    return _export_litert(
        model,
        path,
        class_names,
        images,
        optimizations=[tf.lite.Optimize.DEFAULT],
        representative_dataset=lambda: ([calibration[i : i + 1]] for i in range(count)),
        target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]},
    )


def _export_saved_model(model, path, class_names, images):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec(model.input_shape, name="pixels")])
    def serve(pixels):
        probabilities = model(pixels, training=False)
        # TensorFlow Serving answers row by row, so each row has the names.
        names = tf.broadcast_to(tf.constant(class_names), tf.shape(probabilities))
        return {"probabilities": probabilities, "class_names": names}

    module = tf.Module()  # Keras's own archive holds every weight twice
    module.weights = [variable.value for variable in model.variables]
    version = str(path / "1")  # TensorFlow Serving wants a folder of numbered versions
    tf.saved_model.save(module, version, signatures={"serving_default": serve})
    run = tf.saved_model.load(version).signatures["serving_default"]
    return lambda images: run(pixels=tf.constant(images))["probabilities"].numpy()


def _signature(model):
    import keras

    return [keras.InputSpec(shape=model.input_shape, dtype="float32", name="pixels")]


_ONNX_USE = """\
    cnn-cifar10 predict --model FOLDER photo.jpg

```python
from cnn_cifar10.inference import Classifier

Classifier.open("FOLDER").classify_files(["photo.jpg"])[0].top(5)
```

"""
_LITERT = Format("model.tflite", _export_litert, ("ai_edge_litert",), "ai-edge-litert", "litert")

_ONNX = Format("model.onnx", _export_onnx, ("tf2onnx",), "onnxruntime", "onnx", _ONNX_USE)

FORMATS: dict[str, Format] = {
    "onnx": _ONNX,
    "onnx_float16": replace(
        _ONNX,
        file="model_float16.onnx",
        export=_export_onnx_float16,
        largest_difference=None,
        largest_loss=0.001,
    ),
    "litert": _LITERT,
    "litert_int8": replace(
        _LITERT,
        file="model_int8.tflite",
        export=_export_litert_int8,
        largest_difference=None,
        largest_loss=0.01,
    ),
    "saved_model": Format("saved_model", _export_saved_model),
}
"""The export formats by name. To add one, add an entry here."""
