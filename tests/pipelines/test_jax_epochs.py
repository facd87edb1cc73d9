"""Epochs as one program: the same training as step by step, on JAX."""

import json

import pytest


@pytest.mark.slow
def test_every_augmentation_is_compiled_with_the_draws_of_its_steps(run_program, quick_jax):
    run_program("compiled_augmentations.py", **quick_jax)


@pytest.mark.slow
def test_a_compiled_epoch_trains_as_its_steps_do(tmp_path, run_program):
    printed = run_program("compiled_epochs.py", tmp_path, KERAS_BACKEND="jax")
    found = json.loads(printed.splitlines()[-1])
    stepwise, compiled = found["histories"]
    for name in ("loss", "val_loss"):
        assert compiled[name][0] == pytest.approx(stepwise[name][0], abs=1e-4)
        assert compiled[name] == pytest.approx(stepwise[name], abs=0.02)  # rounding grows
    assert compiled["val_macro_f1"] == pytest.approx(stepwise["val_macro_f1"], abs=0.05)
    assert all(seconds > 0 for seconds in found["compile_seconds"])
