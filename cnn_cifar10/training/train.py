"""Training loop: a config to a trained model and its run on disk."""

import contextlib
import dataclasses
import functools
import gc
import logging
import math
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from cnn_cifar10.architectures import find_network, main_model, stock_model
from cnn_cifar10.configs import OPTIMIZERS, SCHEDULES, SELECTIONS, TrainingConfig, read_config
from cnn_cifar10.datasets import Dataset, load_dataset
from cnn_cifar10.pipelines import (
    CompiledEpochs,
    can_compile_epochs,
    evaluation_batch_size,
    evaluation_batches,
    get_policy,
    steps_per_epoch,
    training_batches,
)
from cnn_cifar10.training.averages import AveragedWeights
from cnn_cifar10.training.build import build_model
from cnn_cifar10.training.checkpoint import Checkpoints
from cnn_cifar10.training.compilation import CompileClock
from cnn_cifar10.training.distribution import Process, find_devices, join_processes
from cnn_cifar10.training.limits import check_size, is_out_of_memory
from cnn_cifar10.training.precision import choose_precision
from cnn_cifar10.training.prepare import HEAD_BATCH, prepare, start_model
from cnn_cifar10.training.progress import EpochLines
from cnn_cifar10.training.recorder import Fallen, Recorder, TrainingError
from cnn_cifar10.training.run import Run, RunError, open_run
from cnn_cifar10.utils import (
    HUB,
    InputError,
    Postponed,
    describe_hardware,
    format_hardware,
    git_commit,
    package_versions,
    references,
    replacing,
    require_package,
    working_in,
)

logger = logging.getLogger(__name__)

_NOTICE = "The step is finished and saved first; a second Ctrl-C ends at once."


def train(
    config: TrainingConfig,
    output: str | Path,
    *,
    dataset: Dataset | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    overwrite: bool = False,
    tensorboard: bool = False,
    save_every: float | None = None,
    distribute: str | int = "auto",
    verbose: int = 1,
) -> Run:
    """Train a model and write its run.

    The validation split picks the epoch whose weights are kept; the test split
    is not read. A run that was interrupted continues from its last state when it is called
    again with the same config and output: with the same numbers, except that the torch
    backend draws other units to drop. A run that is finished is returned as it is.

    Ctrl-C and SIGTERM wait until the step is done and its state is on disk; a second one does
    not wait. One process at a time trains a run.

    Where a device has too little memory, training goes on from the last state with half the
    batch, at the learning rate of such batches; `run.json` says the `batch_size`. A system that is
    short of memory itself may end the process before. Where numbers are no longer finite, or an
    epoch loses most of what was learned, it goes back to the last good state, once, with half the
    learning rate; `run.json` has it as `fall`.

    Args:
        config: What to train.
        output: Folder of the run; created where missing.
        dataset: The data, where it is loaded already; else `config` says.
        callbacks: Further Keras callbacks, such as those of MLflow or Weights & Biases. They
            see every epoch's logs. What they count begins anew in a run that continues.
        overwrite: Whether to replace a run that `output` holds.
        tensorboard: Whether to write TensorBoard logs under `output`.
        save_every: Seconds between two states; `None`: 10 to 300, so that saving takes less than
            3% of the time.
        distribute: Devices of this machine that share each batch: `"auto"` for all, `"none"` for
            one, or how many. It changes nothing but the time, and a run may go on with others.
            In a scope of `keras.distribution` or `tf.distribute`, `"auto"` leaves that as it is.
        verbose: 0 silent, 1 a progress bar, 2 a line an epoch.

    Returns:
        The finished `Run`.

    Raises:
        RunError: If `output` holds another run and `overwrite` is not set, or its disk is full.
        TrainingError: If training falls for the second time, or memory is too little for one image.
        DatasetError: If the data cannot be loaded.
        InputError: If the config names what does not exist, the network cannot take images
            of this size (see `check_size`), there are fewer devices than `distribute` says,
            or another process trains this run.

    Example:
        >>> run = train(make_config(dataset="digits", epochs=3), "models/digits")
        >>> run.facts()["epochs"]
        3
    """
    run = Run(Path(output))
    with join_processes() as process, contextlib.ExitStack() as stack:
        if process.index:
            # What it writes is of no use; states are the first process's.
            run = Run(Path(stack.enter_context(tempfile.TemporaryDirectory())))
            save_every = math.inf
        stack.enter_context(working_in(run.path))
        check_run(run, config, overwrite, tensorboard)
        is_finished = run.is_finished and not overwrite
        if process.share({"finished": b"yes" * is_finished})["finished"]:
            is_finished = True
        if dataset is None:
            if not is_finished:
                check_size(config)
            dataset = load_data(config)
        if is_finished and not process.index:
            _check_finished(run, config, dataset)
        elif not is_finished:
            with contextlib.closing(Checkpoints(run.checkpoints_path, save_every)) as checkpoints:
                how = callbacks, overwrite, tensorboard, distribute, verbose, process
                _train_as_memory_allows(_Task(run, config, dataset, checkpoints, *how))
    return Run(Path(output))


class _Task(NamedTuple):
    """What is trained, and how."""

    run: Run
    config: TrainingConfig
    dataset: Dataset
    checkpoints: Checkpoints
    callbacks: Sequence[keras.callbacks.Callback]
    overwrite: bool
    tensorboard: bool
    distribute: str | int
    verbose: int
    process: Process


def _check_finished(run, config, dataset):
    """Raise where a finished run is of other data or of another network."""
    facts = run.facts()
    if run.config() != config:
        raise _other_finished(run)
    if facts["fingerprint"] not in dataset.fingerprints:
        raise RunError(
            f"{run.path}: the data changed since this run was trained (its fingerprint is "
            "another); choose another output or overwrite it"
        )
    network = references.source_of(find_network(config.model).builder)
    if facts.get("network", network) != network and not references.is_own(network):
        raise RunError(
            f"{run.path}: {network['source']} changed since this run was trained; choose another "
            "output or overwrite it"
        )
    run.mend()
    Checkpoints(run.checkpoints_path).clear()  # of a process that was killed here


def _train_as_memory_allows(task):
    """Train what is left of a run: again after a fall, and with less memory if it takes that."""
    count = len(task.dataset.train)
    if not task.overwrite:
        _share_state(task)
    state = None if task.overwrite else task.checkpoints.load()
    known = state.facts if state else {}
    # What "auto" was where the run began, perhaps on another machine.
    precision = known.get("precision", choose_precision(task.config.precision, task.config.model))
    config = dataclasses.replace(
        task.config, precision=precision, start=None if state else task.config.start
    )
    machines = dict.fromkeys([*known.get("machines", ()), format_hardware(describe_hardware())])
    begin = functools.partial(task.run.begin, task.config, task.overwrite, known.get("id"))
    begin = functools.cache(begin)  # once: what is tried again goes on in the same folder
    fall, batch_size = known.get("fall"), known.get("batch_size", config.batch_size)
    while True:
        try:
            _train(task, _in_use(config, batch_size, fall, count), begin, fall, [*machines])
            return
        except Fallen as error:
            fall = error.fall
            logger.warning(
                "%s: it goes on from the last good state, at half the learning rate", error
            )
            _share_state(task)
        except Exception as error:  # each backend has its own for want of memory
            if not is_out_of_memory(error):
                raise
            size = min(batch_size, count) // 2
            if task.process.count > 1:
                raise TrainingError(f"out of memory: use --batch-size {size}") from error
            if not size:
                raise TrainingError(
                    "one image is more than the memory holds: use smaller images or another network"
                ) from error
            logger.warning(
                "out of memory: training goes on from the last state with batches of %d images "
                "instead of %d, at a learning rate of %.4g",
                size,
                batch_size,
                _in_use(config, size, fall, count).learning_rate,
            )
            batch_size = size
        gc.collect()


def _share_state(task):
    """Give the newest state of the first process to the others, where there are some."""
    if task.process.count > 1:
        folder = task.checkpoints.folder
        for name, data in task.process.share(task.checkpoints.read_newest()).items():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)


def _in_use(config, batch_size, fall, count):
    """Return the config with the batch size in use, and the learning rate that belongs to it.

    An epoch of smaller batches takes that many steps more.
    """
    share = min(batch_size, count) / min(config.batch_size, count)
    rate = config.learning_rate * share ** OPTIMIZERS[config.optimizer].scaling
    rate *= 0.5 if fall else 1
    return dataclasses.replace(config, batch_size=batch_size, learning_rate=rate)


def _train(task, config, begin, fall, machines):
    """Train what is left of a run with the config in use.

    Args:
        task: `_Task`.
        config: Its config, with the number format, the batch size and the learning rate in use.
        begin: Function that makes the run's folder and returns the run's id.
        fall: What is known of a fall before.
        machines: Hardware that it was trained on, this machine's last.
    """
    run, dataset, verbose = task.run, task.dataset, task.verbose
    fingerprints = dataset.fingerprints
    if config.use_validation:
        dataset = dataset.with_validation_in_train()
    batch = min(config.batch_size, len(dataset.train))
    devices = find_devices(
        task.distribute, math.gcd(batch, HEAD_BATCH) if config.head_epochs else batch
    )
    if verbose and len(devices.names) > 1:
        print(f"{len(devices.names)} devices share each batch: {', '.join(devices.names)}")
    with devices.scope():
        model, run_id = start_model(config, dataset, config.precision), begin()
        fitted, examples, seconds, before = prepare(
            model, config, dataset, head=not run.is_begun, verbose=verbose
        )
        network = references.source_of(find_network(config.model).builder)
        if not references.is_own(network):
            references.trust(network["sha256"])  # somebody asked for it: its models may need it
        own = _build_callbacks(config, examples.train)
        if task.tensorboard:
            own.append(keras.callbacks.TensorBoard(run.path / "tensorboard"))
        steps = steps_per_epoch(dataset.train, config.batch_size)
        with Postponed(held=False, notice=_NOTICE) as signals:
            recorder = Recorder(
                run,
                config,
                task.checkpoints,
                images_per_epoch=steps * batch,
                guess=np.bincount(dataset.train.labels).max() / len(dataset.train),
                fingerprints=fingerprints,
                network=network,
                seconds_before=seconds,
                before=before,
                fall=fall,
                others=own,
                run_facts={
                    **{"id": run_id, "config": task.config.to_dict()},
                    **{"precision": config.precision, "machines": machines},
                },
                signals=signals,
            )
            callbacks = [*own, *task.callbacks, recorder]
            compile_seconds = _fit(fitted, config, examples, recorder, callbacks, verbose)
            task.checkpoints.wait()
        fitted.set_weights(recorder.best_weights)

    artifact = build_model(dataclasses.replace(config, small_epochs=0), dataset, "float32")
    artifact.set_weights(model.get_weights())
    _save_artifact(run, artifact)
    facts = _facts(task, dataset, config.precision, artifact, recorder)
    if machines[:-1]:
        facts["hardware"]["before"] = machines[:-1]
    facts |= {"id": run_id, "fingerprint": fingerprints[0]}
    facts["compile_seconds"] = round(compile_seconds, 1)
    if config.batch_size != facts["config"]["batch_size"]:
        facts["batch_size"] = config.batch_size
    if len(devices.names) > 1:
        facts["devices"] = len(devices.names)
    if recorder.fall:
        facts["fall"] = recorder.fall
    run.finish(facts)
    task.checkpoints.clear()


def load_data(config: TrainingConfig) -> Dataset:
    """Return the data set that the config names, or the part of it."""
    dataset = load_dataset(
        config.dataset,
        config.data_dir,
        image_size=config.image_size,
        fit=config.fit,
        skip_damaged=config.skip_damaged,
        group_by=config.group_by,
    )
    return dataset if config.train_images is None else dataset.subset(config.train_images)


def check_run(
    run: Run, config: TrainingConfig, overwrite: bool = False, tensorboard: bool = False
) -> None:
    """Raise what would stop this training, before data are loaded.

    Raises:
        RunError: If the folder holds another run.
        InputError: If the config names what does not exist, or a package is missing.
    """
    if not overwrite:
        _check_same(run, config)
    get_policy(config.augment)
    network = find_network(config.model)
    if config.head_epochs and ":" not in config.model and "backbone" not in network.options:
        raise InputError(f"head_epochs: {config.model} has no pretrained features; leave it out")
    begins = overwrite or not (run.is_finished or run.is_begun)
    if begins and config.start and not config.start.startswith(HUB):
        if Path(config.start).resolve() == run.path.resolve():
            raise InputError(f"{run.path}: is the run to start from too; choose another output")
        open_run(config.start)
    if tensorboard:
        for package in ("tensorflow", "tensorboard"):
            require_package(package, "TensorBoard logs need", f"'cnn-cifar10[{package}]'")


def _check_same(run, config):
    """Raise where a folder holds a run that the config is not of."""
    with contextlib.suppress(InputError):
        if read_config(run.config_path) == config and not run.holds_old_state:
            return  # what else says so is compared when it is read
    if run.is_finished and run.config() != config:
        raise _other_finished(run)
    if run.is_begun and run.config() != config:
        raise RunError(
            f"{run.path}: holds an unfinished run of another config; finish that one, choose "
            "another output or overwrite it"
        )
    if run.holds_old_state:
        raise RunError(
            f"{run.path}: holds an unfinished run of version 0.1; finish it with that version, "
            "choose another output or overwrite it"
        )


def _other_finished(run):
    return RunError(
        f"{run.path}: holds a finished run of another config; choose another output or overwrite it"
    )


def _build_callbacks(config, split):
    """Return those of averaged weights, of the schedule and of early stopping, if asked for."""
    callbacks: list[keras.callbacks.Callback] = []
    if config.ema:
        callbacks.append(AveragedWeights(split, config.batch_size))
    if callback := SCHEDULES[config.schedule].callback:
        callbacks.append(references.load(callback)(config.select, SELECTIONS[config.select]))
    if config.early_stopping:
        stopping = {"patience": config.early_stopping, "mode": SELECTIONS[config.select]}
        callbacks.append(keras.callbacks.EarlyStopping(config.select, **stopping))
    return callbacks


def _fit(model, config, dataset, recorder, callbacks, verbose):
    """Fit a model, or go on with it, and return the seconds of compilation."""
    recorder.set_model(model)
    epochs_done, classes = recorder.restore(), dataset.num_classes
    recorder.check_space()
    if verbose:
        begun = f", goes on after epoch {epochs_done}" if epochs_done else ""
        print(f"{model.name}: {model.count_params():,} parameters{begun}", flush=True)
    options = {
        "batch_size": config.batch_size,
        "augment": config.augment,
        "seed": config.seed,
        "small_epochs": config.small_epochs,
    }
    validation = _validation_batches(config, dataset)
    steps = steps_per_epoch(dataset.train, config.batch_size)
    clock = CompileClock({epochs_done, config.small_epochs})
    callbacks = [clock, *callbacks, *([EpochLines(config.epochs)] if verbose == 2 else [])]

    def fit(batches, first, last, steps):
        model.fit(
            batches,
            validation_data=validation,
            initial_epoch=first,
            epochs=last,
            steps_per_epoch=steps,
            callbacks=callbacks,
            shuffle=False,
            verbose=1 if verbose == 1 else 0,
        )

    epochs = epochs_done if recorder.stopped else config.epochs
    if (done := recorder.steps_done) and epochs > epochs_done:
        if done < steps:
            first = epochs_done * steps + done
            batches = training_batches(dataset.train, classes, first_step=first, **options)
            fit(batches, epochs_done, epochs_done + 1, steps - done)
        else:
            _validate(model, validation, epochs_done, callbacks, config.epochs)
        epochs_done += 1
        if model.stop_training:
            return clock.seconds
    if can_compile_epochs(dataset.train):
        batches = CompiledEpochs(model, dataset.train, classes, first_epoch=epochs_done, **options)
        steps = 1
    else:
        first = epochs_done * steps
        batches = training_batches(dataset.train, classes, first_step=first, **options)
    fit(batches, epochs_done, epochs, steps)
    return clock.seconds + getattr(batches, "compile_seconds", 0.0)


def _validation_batches(config, dataset):
    if config.use_validation:
        return None
    size = max(config.batch_size, evaluation_batch_size(dataset.image_shape))
    return evaluation_batches(dataset.validation, dataset.num_classes, batch_size=size)


def _validate(model, batches, epoch, callbacks, epochs):
    """End an epoch whose steps are done, as `fit` does."""
    model.stop_training = False
    each = keras.callbacks.CallbackList(callbacks, model=model, epochs=epochs, steps=0, verbose=0)
    each.on_train_begin()
    each.on_epoch_begin(epoch)
    logs = {name: float(value) for name, value in model.get_metrics_result().items()}
    found = model.evaluate(batches, callbacks=each, return_dict=True, verbose=0)
    each.on_epoch_end(epoch, logs | {f"val_{name}": value for name, value in found.items()})
    each.on_train_end()


def _save_artifact(run, artifact):
    # Trained in bfloat16 or not, the artifact computes in float32, so that it
    # gives the same answers, and runs fast, on machines without bfloat16. Keras alone opens it.
    with replacing(run.model_path) as part:
        stock_model(main_model(artifact)).save(part)


def _facts(task, dataset, precision, artifact, recorder):
    config = task.config
    speeds = [row["images_per_second"] for row in recorder.history]
    return {
        "run": task.run.path.name,
        "model": config.model,
        "network": recorder.network,
        "dataset": dataset.title,
        "class_names": list(dataset.class_names),
        "input_shape": list(dataset.image_shape),
        "examples": {split: len(dataset.split(split)) for split in ("train", "validation", "test")},
        "notes": list(dataset.notes),
        "config": config.to_dict(),
        "fit": config.fit,
        "seed": config.seed,
        "parameters": main_model(artifact).count_params(),
        "epochs": len(recorder.history),
        "best_epoch": recorder.best_epoch,
        "seconds": round(recorder.history[-1]["seconds"], 1),
        # The first epoch includes compilation.
        "images_per_second": round(statistics.median(speeds[1:] or speeds)),
        "precision": precision,
        "backend": keras.backend.backend(),
        "hardware": describe_hardware(),
        "versions": package_versions(),
        "commit": git_commit(),
    }
