"""Batches: every example where it belongs, repeatable from the seed, in any process."""

import runpy
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from cnn_cifar10.datasets import ImageFiles, Split
from cnn_cifar10.pipelines import (
    Sharing,
    evaluation_batch_size,
    evaluation_batches,
    steps_per_epoch,
    training_batches,
)
from cnn_cifar10.pipelines import batches as pipeline
from cnn_cifar10.pipelines.batches import _calls


@pytest.fixture
def split():
    """90 examples whose pixels tell which they are."""
    labels = np.arange(90) % 3
    images = np.broadcast_to(np.arange(90, dtype="uint8")[:, None, None, None], (90, 8, 8, 3))
    return Split(images.copy(), labels)


def take(batches, count):
    iterator = iter(batches)
    arrays = [next(iterator) for _ in range(count)]
    return [tuple(map(keras.ops.convert_to_numpy, batch)) for batch in arrays]


def test_an_epoch_holds_every_example_once_with_its_label(split):
    batches = take(training_batches(split, 3, batch_size=30), 3)
    seen = np.concatenate([images[:, 0, 0, 0] for images, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    np.testing.assert_array_equal(np.sort(seen), np.arange(90))
    np.testing.assert_array_equal(labels, np.eye(3)[seen % 3])
    assert batches[0][0].dtype == "uint8"
    assert batches[0][1].dtype == "float32"


def test_epochs_differ_in_order_and_augmentation(split):
    batches = take(training_batches(split, 3, batch_size=45, augment="flip+cutout"), 4)
    first, second = (np.concatenate([b[0] for b in batches[i : i + 2]]) for i in (0, 2))
    order = [epoch.min(axis=(1, 2, 3)) for epoch in (first, second)]
    assert (order[0] != order[1]).any()
    boxes = [(epoch == 128).sum(axis=(1, 2, 3)) for epoch in (first, second)]
    assert (boxes[0] != boxes[1]).any()


def test_a_seed_repeats_its_batches_and_another_does_not(split):
    one, same, other = (
        take(training_batches(split, 3, batch_size=40, augment="crop+cutmix", seed=seed), 5)
        for seed in (5, 5, 6)
    )
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])
    assert any((a[0] != b[0]).any() for a, b in zip(one, other, strict=True))


def test_a_later_first_step_continues_the_same_stream(split):
    whole = take(training_batches(split, 3, batch_size=20, augment="crop"), 9)
    rest = take(training_batches(split, 3, batch_size=20, augment="crop", first_step=6), 3)
    for a, b in zip(whole[6:], rest, strict=True):
        np.testing.assert_array_equal(a[0], b[0])


@pytest.mark.parametrize("first_step", [0, 2, 5])
def test_the_first_epochs_images_are_small(split, first_step):
    whole = take(training_batches(split, 3, batch_size=45, augment="crop", small_epochs=2), 6)
    sides = [images.shape[1:] for images, _ in whole]
    assert sides == [(6, 6, 3)] * 4 + [(8, 8, 3)] * 2
    assert whole[0][0].dtype == "uint8"
    rest = training_batches(
        split, 3, batch_size=45, augment="crop", small_epochs=2, first_step=first_step
    )
    for a, b in zip(whole[first_step:], take(rest, 6 - first_step), strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])


def test_small_images_are_means_of_the_large():
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), dtype="uint8")
    batches = training_batches(Split(images, np.zeros(10, int)), 2, batch_size=10, small_epochs=1)
    small, whole = take(batches, 2)
    small, whole = (np.sort(x[0].mean(axis=(1, 2)), axis=0) for x in (small, whole))
    np.testing.assert_allclose(small, whole, atol=6)
    flat = Split(np.full((10, 8, 8, 3), 7, "uint8"), np.zeros(10, int))
    ((images, _),) = take(training_batches(flat, 2, batch_size=10, small_epochs=1), 1)
    assert (images == 7).all()


def test_alternating_flips_show_every_example_from_both_sides_in_two_epochs(split):
    images = split.images.copy()
    images[:, :, 0] = 255  # tells the left from the right
    batches = training_batches(
        Split(images, split.labels), 3, batch_size=30, augment="alternating_flip"
    )
    mirrored = []
    for epoch in np.split(np.arange(12), 4):
        seen = [take_[0] for take_ in take(batches, 12)[epoch[0] : epoch[-1] + 1]]
        seen = np.concatenate(seen)
        order = np.argsort(seen[:, 0, 3, 0])
        mirrored.append(seen[order, 0, -1, 0] == 255)
    assert 0.3 < mirrored[0].mean() < 0.7
    np.testing.assert_array_equal(mirrored[1], ~mirrored[0])
    np.testing.assert_array_equal(mirrored[2], mirrored[0])


@pytest.mark.slow
def test_another_process_sees_the_same_bytes_and_ends_while_batches_are_read_ahead(run_program):
    digest = runpy.run_path(Path(__file__).parent / "programs" / "digest.py")["digest"]
    assert run_program("digest.py", timeout=60).strip() == digest.hexdigest()


def test_reading_ahead_ends_with_the_process(split, monkeypatch):
    monkeypatch.setattr("cnn_cifar10.pipelines.batches._calls.refused", False)
    stream = iter(training_batches(split, 3, batch_size=30))
    next(stream)
    _calls.end()
    later = [next(stream)[0].numpy() for _ in range(40)]
    assert (later[-1] == 0).all()


def test_evaluation_is_every_example_in_order_unchanged(split):
    for _ in range(2):
        batches = [tuple(map(np.asarray, b)) for b in evaluation_batches(split, 3, batch_size=40)]
        assert [len(images) for images, _ in batches] == [40, 40, 10]
        np.testing.assert_array_equal(np.concatenate([b[0] for b in batches]), split.images)
        np.testing.assert_array_equal(
            np.concatenate([b[1] for b in batches]), np.eye(3)[split.labels]
        )


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((1280,), 1024),  # features
        ((8, 8, 3), 1024),
        ((32, 32, 3), 512),
        ((224, 224, 3), 10),
        ((200, 400, 3), 6),
        ((9000, 9000, 3), 1),
    ],
)
def test_large_images_are_evaluated_few_at_once(shape, size):
    assert evaluation_batch_size(shape) == size


def test_a_split_smaller_than_a_batch_is_one_batch(split):
    assert steps_per_epoch(split, 500) == 1
    (images, _), _ = take(training_batches(split, 3, batch_size=500), 2)
    assert len(images) == 90


def test_steps_leave_out_the_incomplete_batch(split):
    assert steps_per_epoch(split, 40) == 2


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_the_number_of_workers_that_read_files_changes_no_batch(tmp_path, monkeypatch, backend):
    files = image_files(tmp_path, 30)
    monkeypatch.setattr("keras.backend.backend", lambda: backend)
    monkeypatch.setattr("cnn_cifar10.datasets.images.FEW_FILES", 0)
    found = []
    for cores in (1, 2, 3):  # one core has no workers
        monkeypatch.setattr("cnn_cifar10.datasets.images.usable_cores", lambda cores=cores: cores)
        batches = training_batches(Split(files, np.arange(30) % 3), 3, batch_size=8, augment="crop")
        if backend == "tensorflow":
            found.append(take(batches, 6))
        else:
            found.append([tuple(map(np.asarray, batches[i])) for i in range(6)])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a[0], b[0])
            np.testing.assert_array_equal(a[1], b[1])


def image_files(folder, count):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), "uint8")
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{i}.png")
    return ImageFiles([folder / f"{i}.png" for i in range(count)], (8, 8))


class TestOtherBackends:
    """The plain-Keras path, on this backend."""

    @pytest.fixture(autouse=True)
    def _no_tf_data(self, monkeypatch):
        monkeypatch.setattr("keras.backend.backend", lambda: "jax")

    def test_it_yields_the_same_batches_as_tf_data(self, split, monkeypatch):
        options = {"batch_size": 20, "augment": "crop+flip+mixup", "seed": 2, "first_step": 3}
        sequence = training_batches(split, 3, **options)
        assert isinstance(sequence, keras.utils.PyDataset)
        assert sequence.num_batches is None
        plain = [tuple(map(keras.ops.convert_to_numpy, sequence[i])) for i in range(3)]
        monkeypatch.undo()
        for a, b in zip(plain, take(training_batches(split, 3, **options), 3), strict=True):
            np.testing.assert_array_equal(a[0], b[0])
            np.testing.assert_array_equal(a[1], b[1])

    def test_evaluation_ends(self, split):
        sequence = evaluation_batches(split, 3, batch_size=40)
        assert sequence.num_batches == 3
        np.testing.assert_array_equal(
            np.concatenate([sequence[i][0] for i in range(3)]), split.images
        )


class TestSharing:
    """Batches of several devices and processes."""

    @pytest.fixture
    def share(self, monkeypatch):
        def share(*sharing):
            monkeypatch.setattr(pipeline, "find_sharing", lambda: Sharing(*sharing))

        return share

    def test_the_last_batch_is_filled_up_with_images_that_do_not_count(self, split, share):
        share(4)
        found = take(evaluation_batches(split, 3, batch_size=38), 3)
        assert [len(images) for images, _, _ in found] == [40, 40, 12]
        images, labels, weights = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        np.testing.assert_array_equal(images[:90], split.images)
        assert not images[90:].any()
        assert not labels[90:].any()
        losses = np.arange(92.0)
        assert np.mean(losses * weights) == pytest.approx(np.mean(losses[:90]))

    def test_what_comes_out_even_is_as_on_one_device(self, split, share):
        share(3)
        found = take(evaluation_batches(split, 3, batch_size=40), 3)
        images = [images for images, _ in found]
        assert [len(each) for each in images] == [42, 42, 6]
        np.testing.assert_array_equal(np.concatenate(images), split.images)

    @pytest.mark.parametrize("augment", ["crop+flip", "crop+mixup+cutmix"])
    def test_processes_have_the_parts_of_each_batch(self, split, share, monkeypatch, augment):
        monkeypatch.setattr(keras.backend, "backend", lambda: "another")
        options = {"batch_size": 30, "augment": augment, "first_step": 2, "small_epochs": 1}
        whole = [training_batches(split, 3, **options)[index] for index in range(2)]
        for process in range(3):
            share(6, process, 3)
            parts = training_batches(split, 3, **options)
            own = slice(10 * process, 10 * process + 10)
            for index, batch in enumerate(whole):
                for part, array in zip(parts[index], batch, strict=True):
                    np.testing.assert_array_equal(part, array[own])

    def test_processes_evaluate_the_parts_of_each_batch(self, split, share, monkeypatch):
        monkeypatch.setattr(keras.backend, "backend", lambda: "another")
        share(4)
        whole = [evaluation_batches(split, 3, batch_size=40)[index] for index in range(3)]
        for process in range(2):
            share(4, process, 2)
            parts = evaluation_batches(split, 3, batch_size=40)
            for index, batch in enumerate(whole):
                own = slice(*np.array([process, process + 1]) * (len(batch[0]) // 2))
                for part, array in zip(parts[index], batch, strict=True):
                    np.testing.assert_array_equal(part, array[own])
