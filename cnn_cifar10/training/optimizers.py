"""Optimizers, and Muon for convolutions."""

from typing import Any

import keras
from keras import ops

from cnn_cifar10.configs import OPTIMIZERS, TrainingConfig
from cnn_cifar10.utils import references

# Of the polynomial a x + b x^3 + c x^5, whose slope at 0 is as large as it can be.
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


@keras.saving.register_keras_serializable("cnn_cifar10")
class Muon(keras.optimizers.Optimizer):
    """Muon for convolutions' kernels, SGD with Nesterov momentum for all other weights.

    A kernel is viewed as a matrix of one column per filter. Its gradient, with
    momentum, is replaced by the nearest matrix with orthogonal columns or rows, so
    that every direction moves by the same amount, however small its gradient. Before
    each step the kernel is scaled to the norm √filters, so that the learning rate keeps
    its meaning throughout a run; a normalization should follow the convolution.

    `global_clipnorm` cuts the gradients of all weights before they reach a momentum. The step of
    a kernel has the same size whatever the gradient's, so there it only bounds how much one batch
    counts beside those before it; the steps of other weights become shorter.

    `keras.optimizers.Muon` applies it to dense layers' matrices, scales no kernel,
    and leaves convolutions to Adam.

    Args:
        learning_rate: What the singular values of a kernel's step are near, and SGD's
            learning rate: a number or a schedule.
        momentum: Of kernels, in [0, 1).
        sgd_momentum: Of the other weights, in [0, 1).
        newton_schulz_steps: Steps of the iteration that makes gradients orthogonal.
            With few of them singular values end up between about 0.5 and 1.5, which
            does.
        weight_decay: Share of a weight, times the learning rate, that a step takes off; without
            effect on kernels, whose norm is kept.
        **kwargs: As for `keras.optimizers.Optimizer`.

    Reference:
        [Jordan et al., 2024](https://kellerjordan.github.io/posts/muon/), as used in
        [airbench](https://github.com/KellerJordan/cifar10-airbench)
    """

    def __init__(
        self,
        learning_rate: Any = 0.1,
        momentum: float = 0.6,
        sgd_momentum: float = 0.85,
        newton_schulz_steps: int = 3,
        weight_decay: float | None = None,
        name: str = "muon",
        **kwargs: Any,
    ):
        super().__init__(learning_rate, weight_decay=weight_decay, name=name, **kwargs)
        self.momentum = momentum
        self.sgd_momentum = sgd_momentum
        self.newton_schulz_steps = newton_schulz_steps

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient, variable, learning_rate):
        gradient = ops.cast(gradient, variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype)
        is_kernel = len(variable.shape) == 4 and variable.shape[-1] > 1  # a depthwise one is not
        momentum = self.momentum if is_kernel else self.sgd_momentum
        velocity = self.momentums[self._get_variable_index(variable)]
        self.assign(velocity, velocity * momentum + gradient)
        gradient = gradient + momentum * velocity
        if is_kernel:
            filters = variable.shape[-1]
            direction = ops.reshape(gradient, (-1, filters))
            direction = orthogonalize(direction, self.newton_schulz_steps)
            scale = filters**0.5 / ops.norm(ops.reshape(variable, (-1,)))
            step = ops.reshape(direction, variable.shape)
            self.assign(variable, variable * scale - rate * step)
        else:
            self.assign_sub(variable, rate * gradient)

    def get_config(self):
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "sgd_momentum": self.sgd_momentum,
            "newton_schulz_steps": self.newton_schulz_steps,
        }


def orthogonalize(matrix: Any, steps: int = 3) -> Any:
    """Bring the singular values of a matrix near 1, and keep its singular vectors.

    A Newton-Schulz iteration in matrix products alone. Each of its steps multiplies the matrix by
    a polynomial of its Gram matrix, so the steps are taken on Gram matrices, which are small, and
    their product is applied at the end: for a kernel of 3x3 half the operations, the same result.

    Args:
        matrix: Tensor of two axes.
        steps: How often to iterate, once or more.

    Returns:
        Tensor of the same shape and dtype, its singular values between about 0.5 and
        1.5 where they were not too small.
    """
    a, b, c = _NEWTON_SCHULZ
    rows, columns = matrix.shape
    x = matrix / (ops.norm(matrix) + 1e-7)
    if rows > columns:
        x = ops.transpose(x)
    gram, product = ops.matmul(x, ops.transpose(x)), None
    identity = ops.eye(min(rows, columns), dtype=matrix.dtype)
    for step in range(steps):
        factor = a * identity + b * gram + c * ops.matmul(gram, gram)
        product = factor if product is None else ops.matmul(factor, product)
        if step < steps - 1:
            gram = ops.matmul(factor, ops.matmul(gram, factor))
    x = ops.matmul(product, x)
    return ops.transpose(x) if rows > columns else x


def build_optimizer(config: TrainingConfig, learning_rate: Any) -> keras.optimizers.Optimizer:
    """Return the config's optimizer; only kernels decay, not biases or normalization.

    It cuts gradients to the config's `clip_norm`, and keeps the average of its `ema`.

    Args:
        config: The config.
        learning_rate: A number, or a `keras.optimizers.schedules.LearningRateSchedule`.
    """
    entry, decay = OPTIMIZERS[config.optimizer], config.weight_decay or None
    fields = {name: getattr(config, name) for name in entry.fields}
    if config.clip_norm:
        fields["global_clipnorm"] = config.clip_norm
    if config.ema:
        fields |= {"use_ema": True, "ema_momentum": config.ema}
    optimizer = references.load(entry.build)(
        learning_rate=learning_rate, weight_decay=decay, **fields, **entry.options
    )
    if decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
