"""Epochs compiled into one program, on JAX: data and augmentation are on the device.

The shorter a step, the more of its time an accelerator waits for its host. Here
the host only draws an epoch's random numbers, and starts it. Of several devices each
has all data, and computes its share of every batch.
"""

import time
from typing import Any

import keras
import numpy as np

from cnn_cifar10.datasets import Split
from cnn_cifar10.pipelines.batches import TrainingSteps, steps_per_epoch
from cnn_cifar10.pipelines.sharing import find_sharing

_LARGEST = 2**31  # bytes of images to keep on a device


def can_compile_epochs(split: Split) -> bool:
    """Return whether epochs on a split can be compiled, and gain by it: on accelerators."""
    if keras.backend.backend() != "jax" or not isinstance(split.images, np.ndarray):
        return False
    if not isinstance(keras.distribution.distribution(), keras.distribution.DataParallel | None):
        return False  # what parts of a model are where is for others to say
    import jax

    # A processor is its own host.
    return jax.default_backend() != "cpu" and split.images.nbytes <= _LARGEST


class CompiledEpochs(keras.utils.PyDataset):
    """Makes `fit` run an epoch as one step, of the same arithmetic as `training_batches`.

    Args:
        model: Compiled `keras.Model`; give its `fit` these epochs and
            `steps_per_epoch=1`.
        split: `Split` whose images are held in memory.
        num_classes: Number of classes.
        first_epoch: Epoch to start at, from 0.
        **options: `batch_size`, `augment`, `seed` and `small_epochs`, as for
            `training_batches`.

    Attributes:
        compile_seconds: What compilation has taken so far.
    """

    def __init__(
        self,
        model: keras.Model,
        split: Split,
        num_classes: int,
        *,
        first_epoch: int = 0,
        **options: Any,
    ):
        super().__init__()
        self._model, self._next = model, first_epoch
        self._steps = TrainingSteps(split, num_classes, **options)
        self._count = steps_per_epoch(split, options["batch_size"])
        self._data = [_place(each) for each in (split.images, split.labels)]
        self._programs: dict[bool, Any] = {}
        self.compile_seconds = 0.0
        model.train_function = self._run_epoch

    @property
    def num_batches(self) -> int | None:
        return None

    def __getitem__(self, index):
        # What `fit` needs for a step. It would share the plan of an epoch among devices by steps.
        sharing = find_sharing()
        return (np.zeros(sharing.devices // sharing.processes),)

    def plan(self, epoch: int) -> tuple[bool, np.ndarray, Any]:
        """Return what makes up an epoch.

        Args:
            epoch: Number of the epoch, from 0.

        Returns:
            Whether its images are small; which examples each step reads, `(steps, batch_size)`;
            and the augmentation's draws of the steps.
        """
        steps = range(epoch * self._count, (epoch + 1) * self._count)
        plans = [self._steps.plan(step) for step in steps]
        stacked = keras.tree.map_structure(lambda *arrays: np.stack(arrays), *plans)
        return (epoch < self._steps.small_epochs, *stacked)

    def _run_epoch(self, state, iterator):
        import jax

        next(iterator)
        small, *plan = self.plan(self._next)
        self._next += 1
        plan = keras.tree.map_structure(lambda array: _place(array, 1), plan)
        arguments = (state, self._data, plan)
        if small not in self._programs:
            began = time.perf_counter()
            places = keras.tree.map_structure(lambda array: array.sharding, state)
            program = jax.jit(
                lambda *given: self._epoch(*given, small),
                donate_argnums=0,
                out_shardings=(None, places),
            )
            self._programs[small] = program.lower(*arguments).compile()
            self.compile_seconds += time.perf_counter() - began
        return self._programs[small](*arguments)

    def _epoch(self, state, data, plan, small):
        import jax

        images, labels = data

        def step(state, one):
            chosen, draws = one
            classes = keras.ops.one_hot(labels[chosen], self._steps.num_classes)
            batch = self._steps.transform(images[chosen], classes, draws, small)
            logs, state = self._model.train_step(state, batch)
            return state, logs

        state, logs = jax.lax.scan(step, state, tuple(plan))
        # Metrics are means over the epoch so far.
        return keras.tree.map_structure(lambda values: values[-1], logs), state


def _place(array, axis=None):
    """Put an array on all devices, one axis of it shared among them or none."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return keras.ops.convert_to_tensor(array)
    axes = [distribution.batch_dim_name if i == axis else None for i in range(array.ndim)]
    layout = keras.distribution.TensorLayout(axes, distribution.device_mesh)
    return keras.distribution.distribute_tensor(array, layout)
