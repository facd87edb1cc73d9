"""Fused batch normalization, patch whitening, partial identity, auxiliary heads."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("cnn_cifar10")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization that runs TensorFlow's fused kernel where it can.

    Same weights, arguments and results (to rounding) as
    `keras.layers.BatchNormalization`, which composes the operation from a
    dozen elementwise steps. On the TensorFlow backend, 4-D channels-last inputs
    go through one `FusedBatchNormV3` kernel instead; everywhere else the stock
    implementation runs. Statistics are float32 under mixed precision.

    Args:
        **kwargs: As for `keras.layers.BatchNormalization`.

    Reference:
        [Ioffe and Szegedy, 2015](https://arxiv.org/abs/1502.03167)
    """

    def call(self, inputs, training=None, mask=None):
        if not self._can_fuse(inputs, mask):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        channels = self.moving_mean.shape
        training = bool(training and self.trainable)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma if self.scale else tf.ones(channels),
            offset=self.beta if self.center else tf.zeros(channels),
            mean=tf.constant([]) if training else self.moving_mean,
            variance=tf.constant([]) if training else self.moving_variance,
            epsilon=self.epsilon,
            is_training=training,
        )
        if training:
            # The kernel divides the variance by n - 1, Keras by n.
            count = ops.cast(ops.size(inputs) // channels[0], "float32")
            variance = variance * (count - 1.0) / count
            for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return outputs

    def _can_fuse(self, inputs, mask):
        return (
            keras.backend.backend() == "tensorflow"
            and mask is None
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and not (self.renorm or self.synchronized)
            and keras.backend.standardize_dtype(inputs.dtype) in ("float32", "bfloat16", "float16")
            and self.variable_dtype == "float32"
        )


@keras.saving.register_keras_serializable("cnn_cifar10")
class NormalizedConvolution(keras.layers.Layer):
    """A convolution and the frozen batch normalization behind it as one operation.

    The normalization scales the kernel, not each position, which saves a fifth to a quarter
    of a training step of networks whose time goes into memory. Weights are shared with both
    layers; gradients are the same to rounding.

    Args:
        convolution: `Conv2D` or `DepthwiseConv2D` without activation.
        normalization: `BatchNormalization` that is not trained.
        **kwargs: As for `keras.layers.Layer`.
    """

    def __init__(self, convolution, normalization, **kwargs):
        super().__init__(**kwargs)
        self.convolution, self.normalization = convolution, normalization

    def build(self, input_shape):
        for layer in (self.convolution, self.normalization):
            if not layer.built:  # in a model that is loaded
                layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, inputs):
        convolution, normalization = self.convolution, self.normalization
        scale = ops.rsqrt(normalization.moving_variance + normalization.epsilon)
        if normalization.scale:
            scale = scale * normalization.gamma
        shift = -normalization.moving_mean * scale
        if normalization.center:
            shift = shift + normalization.beta
        depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
        shape = convolution.kernel.shape[2:] if depthwise else (-1,)
        scaled = [convolution.kernel * ops.reshape(scale, shape)]
        if convolution.use_bias:
            scaled.append(convolution.bias * scale)
        weights = (scaled, []) if convolution.trainable else ([], scaled)
        outputs, _ = convolution.stateless_call(*weights, inputs)
        return outputs + ops.cast(shift, outputs.dtype)

    def compute_output_shape(self, input_shape):
        return self.convolution.compute_output_shape(input_shape)

    def get_config(self):
        parts = {"convolution": self.convolution, "normalization": self.normalization}
        parts = {name: keras.saving.serialize_keras_object(part) for name, part in parts.items()}
        return {**super().get_config(), **parts}

    @classmethod
    def from_config(cls, config):
        names = ("convolution", "normalization")
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in names}
        return cls(**{**config, **parts})


@keras.saving.register_keras_serializable("cnn_cifar10")
class PatchWhitening(keras.layers.Conv2D):
    """A convolution whose outputs are uncorrelated, of variance 1, on the images it was adapted to.

    Its kernels are the principal components of the images' patches, each divided by
    its standard deviation, and then once more with the opposite sign, so that a ReLU
    loses nothing. `adapt` computes them; training leaves them alone.

    Args:
        kernel_size: Side of a patch in pixels. Of images with c channels there are
            `2 * c * kernel_size**2` outputs.
        channels: Channels of the images.
        epsilon: Added to the variances: what varies less is not blown up to 1.
        **kwargs: As for `keras.layers.Layer`.

    Reference:
        [Page, 2019](https://myrtle.ai/how-to-train-your-resnet-8-bag-of-tricks/);
        both signs as in [Jordan, 2024](https://arxiv.org/abs/2404.00498)
    """

    def __init__(self, kernel_size=2, channels=3, epsilon=5e-4, **kwargs):
        super().__init__(
            2 * channels * kernel_size**2,
            kernel_size,
            use_bias=False,
            **{"trainable": False, **kwargs},
        )
        self.channels = channels
        self.epsilon = epsilon

    def adapt(self, inputs):
        """Compute the kernels.

        Args:
            inputs: Array `(n, height, width, channels)`, as this layer will see it.
        """
        size = self.kernel_size[0]
        patches = np.lib.stride_tricks.sliding_window_view(inputs, (size, size), axis=(1, 2))
        # The axes of a Keras kernel: rows, columns, channels.
        patches = np.moveaxis(patches, 3, -1).reshape(-1, self.filters // 2).astype("float64")
        variances, components = np.linalg.eigh(patches.T @ patches / len(patches))
        kernel = components / np.sqrt(variances + self.epsilon)
        kernel = kernel.reshape(size, size, self.channels, -1)
        self.kernel.assign(np.concatenate([kernel, -kernel], axis=-1))

    def get_config(self):
        config = keras.layers.Layer.get_config(self)
        return {
            **config,
            "kernel_size": self.kernel_size[0],
            "channels": self.channels,
            "epsilon": self.epsilon,
        }


@keras.saving.register_keras_serializable("cnn_cifar10")
class PartialIdentity(keras.initializers.VarianceScaling):
    """Kernels of which the first pass their inputs on unchanged, as far as there are inputs.

    Those that are left over are uniform, of variance 1 / (3 fan-in).

    Args:
        seed: Integer, or `None` for Keras's global seed.

    Reference:
        [Zagoruyko and Komodakis, 2017](https://arxiv.org/abs/1706.00388)
    """

    def __init__(self, seed=None):
        super().__init__(1 / 3, "fan_in", "uniform", seed=seed)

    def __call__(self, shape, dtype=None):
        rows, columns, inputs, outputs = shape
        passed = min(inputs, outputs)
        identity = np.zeros((rows, columns, inputs, passed))
        identity[rows // 2, columns // 2, np.arange(passed), np.arange(passed)] = 1.0
        others = super().__call__(shape, dtype)
        return ops.concatenate([ops.cast(identity, others.dtype), others[..., passed:]], axis=-1)

    def get_config(self):
        return {"seed": super().get_config()["seed"]}


_AUXILIARY_WEIGHT = 0.3


@keras.saving.register_keras_serializable("cnn_cifar10")
class AuxiliaryHeads(keras.Model):
    """A classifier with further heads that only its training sees.

    It is called, measured and saved as its first output; `fit` adds to the loss
    a share of the loss of each of the others.
    """

    def call(self, inputs, training=None, mask=None):
        outputs = super().call(inputs, training=training, mask=mask)
        return outputs if training else outputs[0]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if not training:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        main, *heads = y_pred
        loss = super().compute_loss(x, y, main, sample_weight, training)
        head_loss = keras.losses.get(self.loss)
        for head in heads:
            loss = loss + _AUXILIARY_WEIGHT * ops.mean(head_loss(y, head))
        return loss

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        main = y_pred[0] if isinstance(y_pred, (list, tuple)) else y_pred
        return super().compute_metrics(x, y, main, sample_weight)
