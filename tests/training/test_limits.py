"""What a network cannot take is said in pixels; a batch that memory cannot hold is halved."""

import logging
import math
import shutil

import keras
import numpy as np
import pytest

from cnn_cifar10.architectures import list_models
from cnn_cifar10.configs import make_config
from cnn_cifar10.training import Run, TrainingError, check_size, limits, train
from cnn_cifar10.training.limits import is_out_of_memory
from cnn_cifar10.training.run import RunError
from cnn_cifar10.utils import InputError

FOLDER = {"dataset": "folder", "data_dir": "absent"}


def message_of(**fields):
    with pytest.raises(InputError) as raised:
        check_size(make_config(**{**FOLDER, **fields}))
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"model": "vgg16"},
            "vgg16 needs images of 32 pixels or more, image_size is 4: use --image",
        ),
        (
            {"model": "custom_cnn", "image_size": 6},
            "custom_cnn needs images of 8 pixels or more, image_size is 6: use --image-size 8",
        ),
        (
            {"model_options": {"stages": 5}},
            "custom_cnn needs images of 32 pixels or more, image_size is 4: use --image-size 32",
        ),
        (
            {"model": "transfer", "model_options": {"image_size": 16}},
            "transfer needs images of 32 pixels or more, image_size is 16: use --model-options "
            "image_size=32",
        ),
        pytest.param(
            {"model": "transfer", "model_options": {"image_size": 60, "backbone": "xception"}},
            "transfer needs images of 71 pixels or more, image_size is 60: use --model-options "
            "image_size=71",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_images_that_are_too_small_are_told_in_pixels(fields, message):
    assert message_of(**{"image_size": 4, **fields}).startswith(message)


@pytest.mark.parametrize(
    "model", ["baseline_cnn", "fastnet", pytest.param("googlenet", marks=pytest.mark.slow)]
)
def test_the_size_that_is_named_is_the_smallest_that_works(model):
    words = message_of(model=model, image_size=3).split()
    assert words[-2] == "--image-size"
    least = int(words[-1])
    check_size(make_config(**FOLDER, model=model, image_size=least))
    assert message_of(model=model, image_size=least - 1).endswith(f" {least}")


def test_small_epochs_need_more():
    words = message_of(model="vgg16", image_size=40, small_epochs=1)
    assert "needs images of 43 pixels or more" in words  # three quarters of which are 32


@pytest.mark.parametrize(
    "fields",
    [
        {},  # 64 pixels, as folders are read
        {"dataset": "imagenet"},
        {"dataset": "digits", "image_size": None, "data_dir": None},
        {"model": "transfer", "image_size": 8},  # which scales images itself
        {"model": "my_net.py:build", "image_size": 1},
        {"model": "transfer", "model_options": {"image_size": "large"}},  # said when it is built
    ],
)
def test_what_works_passes_and_nothing_is_read(fields):
    check_size(make_config(**{**FOLDER, **fields}))


@pytest.mark.slow
@pytest.mark.parametrize("model", list_models())
def test_every_network_takes_the_usual_sizes(model):
    for size in (64, 224):
        check_size(make_config(**FOLDER, model=model, image_size=size, batch_size=1))


def test_what_is_no_matter_of_size_is_said_as_it_is():
    assert message_of(model_options={"activation": "none"}).startswith(
        "custom_cnn cannot be built with {'activation': 'none'}"
    )
    assert message_of(model="vgg17").startswith("no model is named 'vgg17'")


@pytest.mark.parametrize("model", ["resnet18", "custom_cnn", "transfer"])
def test_batches_that_memory_cannot_hold_are_told_in_pixels(monkeypatch, model):
    monkeypatch.setattr("cnn_cifar10.training.limits._free_memory", lambda: 2e9)
    options = {"trainable_layers": -1, "image_size": 448} if model == "transfer" else {}
    fields = {"model": model, "image_size": 448, "model_options": options, "batch_size": 512}
    message = message_of(**fields)
    assert message.startswith(f"{model} needs about ")
    assert "for 512 images of 448 pixels, 2.0 GB are free: use --batch-size " in message
    words = message.replace("image_size=", "--image-size ").split()
    batch = int(words[words.index("--batch-size") + 1])
    check_size(make_config(**FOLDER, **{**fields, "batch_size": batch}))
    assert message_of(**{**fields, "batch_size": 2 * batch})
    side = int(words[-1])
    key = {
        "image_size": side,
        "model_options": {**options, **({"image_size": side} if options else {})},
    }
    check_size(make_config(**FOLDER, **{**fields, **key}))


@pytest.mark.parametrize(
    ("free", "cure"),
    [
        (2e9, "use --image-size 96"),  # a batch of one does not fit
        (5e6, "use a smaller network"),
    ],
)
def test_only_what_would_work_is_named(monkeypatch, free, cure):
    monkeypatch.setattr("cnn_cifar10.training.limits._free_memory", lambda: free)
    assert message_of(model="wide_resnet28_10", image_size=448, batch_size=12).endswith(cure)


def test_images_that_are_scaled_down_need_memory_too(monkeypatch):
    monkeypatch.setattr("cnn_cifar10.training.limits._free_memory", lambda: 2e9)
    fields = {
        "model": "transfer",
        "precision": "mixed_bfloat16",
        "batch_size": 8,
        "augment": "flip",
    }
    message = message_of(**fields, image_size=9000)
    assert "for 8 images of 9000 pixels, 2.0 GB are free: use --batch-size 1 or --image" in message
    check_size(make_config(**FOLDER, **fields, image_size=int(message.split()[-1])))


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"max": "3000000000", "current": "2000000000"}, 1_000_500_000),
        ({"max": "9000000000", "current": "1000000000"}, 4_096_000_000),  # the machine has less
        ({"max": "1000000000", "current": "2000000000"}, 0),
        ({"max": "max", "current": "2000000000"}, 4_096_000_000),
        ({"max": "3000000000"}, 4_096_000_000),
        ({}, 4_096_000_000),
    ],
)
def test_free_memory_is_what_a_container_leaves_of_it(tmp_path, monkeypatch, files, free):
    (tmp_path / "meminfo").write_text("MemTotal:  8000000 kB\nMemAvailable:  4000000 kB\n")
    stat = "anon 1400000000\nfile 600000\nactive_file 200000\ninactive_file 300000"
    for name, text in {**files, "stat": stat}.items():
        (tmp_path / f"memory.{name}").write_text(f"{text}\n")
    monkeypatch.setattr(limits, "_MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(limits, "_CONTAINER", tmp_path)
    monkeypatch.setattr(limits, "gpu_names", lambda: [])
    assert limits._free_memory() == free
    monkeypatch.setattr(limits, "gpu_names", lambda: ["a GPU"])
    assert limits._free_memory() == math.inf


def test_a_frozen_network_sees_few_images_at_once(monkeypatch):
    fields = {**FOLDER, "model": "transfer", "augment": "none", "image_size": 224}
    fields |= {"model_options": {"image_size": 224}, "batch_size": 256}
    monkeypatch.setattr("cnn_cifar10.training.limits._free_memory", lambda: 1e9)
    check_size(make_config(**fields))
    monkeypatch.setattr("cnn_cifar10.training.limits._free_memory", lambda: 1e8)
    with pytest.raises(
        InputError, match=r"of memory for 10 images of 224 pixels, .* --batch-size "
    ):
        check_size(make_config(**fields))


def test_frozen_layers_need_less_memory(monkeypatch):
    monkeypatch.setattr("cnn_cifar10.training.limits._free_memory", lambda: 1e9)
    fields = {**FOLDER, "model": "transfer", "batch_size": 32}
    size = {"image_size": 224}
    check_size(make_config(**fields, model_options=size))
    with pytest.raises(InputError, match="needs about"):
        check_size(make_config(**fields, model_options={**size, "trainable_layers": -1}))


SMALL = {
    "dataset": "digits",
    "model_options": {"width": 4, "stages": 1, "depth": 1},
    "epochs": 4,
    "batch_size": 120,
    "learning_rate": 0.08,
    "precision": "float32",
    "schedule": "cosine",
    "warmup": 0.0,
}


class ResourceExhaustedError(Exception):
    """As TensorFlow's is called."""


class OutOfMemoryError(RuntimeError):
    """As PyTorch's is called."""


ERRORS = [
    ResourceExhaustedError("OOM when allocating tensor with shape[120,32,32,4]"),
    RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 73400320 bytes."),
    RuntimeError("INTERNAL: Error dispatching computation: Out of memory allocating 9 bytes."),
    OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    MemoryError("Unable to allocate 8.00 GiB for an array"),
]


class Short(keras.callbacks.Callback):
    """Runs out of memory after the first batch of some epochs, if the batch is too large."""

    def __init__(self, epoch, fits, error=ERRORS[0], images=1258):
        super().__init__()
        self._at, self._fits, self._error, self._epoch = epoch, fits, error, 0
        self._images = images

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self._epoch >= self._at and self._images // self.params["steps"] > self._fits:
            raise self._error


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_of_memory_are_told_from_others(error):
    assert is_out_of_memory(error)
    assert not is_out_of_memory(ValueError("shapes do not match"))
    assert not is_out_of_memory(OSError("no space left on device"))


def test_the_batch_is_halved_and_training_goes_on(tmp_path, digits, caplog):
    config = make_config(**SMALL)
    with caplog.at_level(logging.WARNING):
        short = {"callbacks": [Short(2, 30)], "save_every": 0}
        run = train(config, tmp_path / "run", dataset=digits, verbose=0, **short)
    halved = [m for m in caplog.messages if "out of memory" in m]
    assert halved == [
        "out of memory: training goes on from the last state with batches of "
        f"{new} images instead of {old}, at a learning rate of {rate}"
        for old, new, rate in ((120, 60, 0.04), (60, 30, 0.02))
    ]
    assert run.config() == config
    facts, history = run.facts(), run.history()
    assert facts["batch_size"] == 30
    assert facts["config"]["batch_size"] == 120
    assert history["epoch"] == [1, 2, 3, 4]
    cosine = [0.04 * (1 + math.cos(math.pi * part / 4)) for part in (1, 2, 3, 4)]
    expected = [rate / (1 if epoch < 2 else 4) for epoch, rate in enumerate(cosine)]
    np.testing.assert_allclose(history["learning_rate"], expected, atol=1e-4)
    assert not Run(tmp_path / "run").checkpoints_path.exists()


def test_the_rate_of_a_halved_batch_is_what_the_optimizer_has_for_it(tmp_path, digits):
    fields = {"epochs": 2, "optimizer": "adam", "learning_rate": 0.001, "schedule": "constant"}
    run = train(
        make_config(**{**SMALL, **fields}),
        tmp_path / "run",
        dataset=digits,
        callbacks=[Short(1, 70)],
        save_every=0,
        verbose=0,
    )
    rates = run.history()["learning_rate"]
    np.testing.assert_allclose(rates, [0.001, 0.001 / math.sqrt(2)], rtol=1e-5)


@pytest.mark.slow
def test_a_run_that_continues_keeps_the_halved_batch(tmp_path, digits, interruption, caplog):
    short = Short(1, 70)
    config = make_config(**SMALL)
    with pytest.raises(KeyboardInterrupt):
        train(
            config,
            tmp_path / "run",
            dataset=digits,
            callbacks=[short, interruption(2, 1)],
            save_every=0,
            verbose=0,
        )
    caplog.clear()
    run = train(config, tmp_path / "run", dataset=digits, callbacks=[short], verbose=0)
    assert "out of memory" not in caplog.text
    assert run.facts()["batch_size"] == 60
    assert run.config() == config


def test_a_run_that_is_overwritten_begins_with_the_batch_that_is_asked_for(
    tmp_path, digits, digits_run, caplog
):
    shutil.copytree(digits_run.path, tmp_path / "run")
    run = train(
        make_config(**{**SMALL, "epochs": 2}),
        tmp_path / "run",
        dataset=digits,
        callbacks=[Short(1, 70)],
        overwrite=True,
        verbose=0,
    )
    assert run.facts()["batch_size"] == 60
    assert run.history()["epoch"] == [1, 2]
    assert caplog.text.count("out of memory") == 1
    with pytest.raises(RunError, match="holds a finished run"):
        train(make_config(**SMALL), run.path, dataset=digits, verbose=0)


@pytest.mark.slow
def test_half_the_learning_rate_belongs_to_half_of_a_split_smaller_than_a_batch(tmp_path, digits):
    config = make_config(**{**SMALL, "epochs": 1, "schedule": "constant"})
    few = digits.subset(64)  # of a batch of 120
    short = Short(0, 32, images=len(few.train))
    run = train(config, tmp_path / "run", dataset=few, callbacks=[short], verbose=0)
    assert run.facts()["batch_size"] == 32
    assert run.history()["learning_rate"] == pytest.approx([0.04])


def test_one_image_too_many_ends_training_in_one_line(tmp_path, digits):
    few = digits.subset(10)
    config = make_config(**{**SMALL, "epochs": 1})
    short = Short(0, 0)
    with pytest.raises(TrainingError, match="one image is more than the memory holds: use smaller"):
        train(config, tmp_path / "run", dataset=few, callbacks=[short], verbose=0)


def test_other_errors_are_not_tried_again(tmp_path, digits):
    short = Short(0, 60, ValueError("something else"))
    with pytest.raises(ValueError, match="something else"):
        train(make_config(**SMALL), tmp_path / "run", dataset=digits, callbacks=[short], verbose=0)
