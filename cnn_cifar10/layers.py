"""Layers that Keras lacks."""

import keras
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
