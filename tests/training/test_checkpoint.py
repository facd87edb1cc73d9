"""Checkpoints: states on disk, their checksums, when they are due."""

import hashlib
import io
import time

import numpy as np
import pytest

from cnn_cifar10.training.checkpoint import Checkpoints, State
from cnn_cifar10.training.run import RunError


def state_of(number, best=None, best_epoch=0):
    facts = {"number": number, "best_epoch": best_epoch}
    return State(facts, [np.full((3, 4), number, "float32"), np.array(7)], best)


def files(folder, pattern="*"):
    return sorted(folder.glob(pattern))


def save(checkpoints, *states):
    for state in states:
        checkpoints.save(state)
    checkpoints.close()


def test_the_newest_state_is_loaded_as_it_was_saved(tmp_path):
    best = [np.arange(5.0)]
    save(Checkpoints(tmp_path), state_of(1), state_of(2, best, best_epoch=1))
    found = Checkpoints(tmp_path).load()
    assert found.facts["number"] == 2
    np.testing.assert_array_equal(found.variables[0], np.full((3, 4), 2))
    assert found.variables[0].dtype == "float32"
    assert found.variables[1] == 7
    np.testing.assert_array_equal(found.best[0], best[0])


def test_nothing_is_loaded_where_nothing_was_saved(tmp_path):
    assert Checkpoints(tmp_path / "absent").load() is None
    assert not (tmp_path / "absent").exists()


def test_two_states_are_kept_and_the_weights_they_refer_to(tmp_path):
    best = [np.arange(5.0)]
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, state_of(1, best, 1), state_of(2, best, 1), state_of(3, best, 1))
    assert len(files(tmp_path, "0*.npz")) == 2
    assert len(files(tmp_path, "best-*.npz")) == 1
    again = Checkpoints(tmp_path)
    assert again.load().facts["number"] == 3
    save(again, state_of(4, [np.zeros(5)], 4))
    assert len(files(tmp_path)) == 4
    save(Checkpoints(tmp_path), state_of(5))  # as after --overwrite
    assert len(files(tmp_path)) == 1


def test_best_weights_are_written_once(tmp_path):
    checkpoints, best = Checkpoints(tmp_path), [np.arange(5.0)]
    checkpoints.save(state_of(1, best, 1))
    checkpoints.wait()
    (path,) = files(tmp_path, "best-*")
    written = path.stat().st_mtime_ns
    save(checkpoints, state_of(2, best, 1))
    assert path.stat().st_mtime_ns == written


@pytest.mark.parametrize("which", ["0*", "best-*"])
def test_any_changed_byte_is_noticed_and_the_state_before_is_loaded(tmp_path, which, caplog):
    save(Checkpoints(tmp_path), state_of(1, [np.zeros(3)], 1), state_of(2, [np.ones(3)], 2))
    path = next(
        path
        for path in files(tmp_path, which)[::-1]
        if which == "0*" or Checkpoints(tmp_path).load().facts["best"] == path.name
    )
    whole = path.read_bytes()
    for position in np.random.default_rng(0).integers(0, len(whole), 40):
        changed = bytearray(whole)
        changed[position] ^= 1 << (position % 8)
        path.write_bytes(changed)
        assert Checkpoints(tmp_path).load().facts["number"] == 1
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert Checkpoints(tmp_path).load().facts["number"] == 1
    assert f"{path}: damaged; the state before it is tried" in caplog.text


def a_file(folder, **arrays):
    """Write a state that is no state, under the name that its bytes ask for."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return a_name(folder, file.getvalue())


def a_name(folder, data):
    (folder / f"00000001-{hashlib.sha256(data).hexdigest()[:32]}.npz").write_bytes(data)


def compressed(folder):
    file = io.BytesIO()
    np.savez_compressed(file, facts='{"best": ""}', **{"0": np.zeros(10**6)})
    a_name(folder, file.getvalue())


@pytest.mark.parametrize(
    ("write", "fault"),
    [
        (lambda folder: a_name(folder, b"no archive"), "File is not a zip file"),
        (compressed, "it is compressed"),
        (lambda folder: a_file(folder, other=1), "facts is not a file in the archive"),
        (lambda folder: a_file(folder, facts="{"), "Expecting property name"),
        (lambda folder: a_file(folder, facts="[]"), "it says nothing"),
        (lambda folder: a_file(folder, facts="{}"), "its best weights are 'None'"),
        (lambda folder: a_file(folder, facts='{"best": "../a"}'), "its best weights are '../a'"),
        (lambda folder: a_file(folder, facts=np.array([{}])), "Object arrays cannot be loaded"),
    ],
)
def test_a_strangers_state_is_refused_in_a_line(tmp_path, caplog, write, fault):
    write(tmp_path)
    with pytest.raises(RunError, match="all states are damaged; start again with --overwrite"):
        Checkpoints(tmp_path).load()
    assert fault in caplog.text
    assert "is no state" in caplog.text


def test_where_all_is_damaged_one_line_says_so(tmp_path):
    save(Checkpoints(tmp_path), state_of(1), state_of(2))
    for path in files(tmp_path):
        path.write_bytes(b"")
    with pytest.raises(RunError, match="all states are damaged; start again with --overwrite"):
        Checkpoints(tmp_path).load()


def test_what_a_killed_process_left_is_cleared(tmp_path):
    (tmp_path / "part.best.npz").write_bytes(b"half")
    save(Checkpoints(tmp_path), state_of(1))
    assert [path.name[:8] for path in files(tmp_path)] == ["00000001"]


def test_an_error_of_the_disk_is_not_lost(tmp_path):
    (tmp_path / "file").touch()
    checkpoints = Checkpoints(tmp_path / "file")
    checkpoints.save(state_of(1))
    with pytest.raises(FileExistsError):
        checkpoints.close()


def test_states_are_due_after_the_seconds_that_are_asked_for(tmp_path):
    checkpoints = Checkpoints(tmp_path, every=0.2)
    assert checkpoints.is_due(ends_epoch=True)
    checkpoints.save(state_of(1))
    checkpoints.wait()
    assert not checkpoints.is_due(ends_epoch=True)
    time.sleep(0.21)
    assert checkpoints.is_due(ends_epoch=True)
    checkpoints.save(state_of(1), ends_epoch=False)
    checkpoints.wait()
    assert checkpoints.is_due(ends_epoch=True)
    assert not checkpoints.is_due(ends_epoch=False)


@pytest.mark.parametrize(("cost", "seconds"), [(0.001, 10), (1.0, 50), (100.0, 300)])
def test_what_saving_costs_decides_how_often(tmp_path, monkeypatch, cost, seconds):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state_of(1), seconds=cost)
    checkpoints.wait()
    began = time.monotonic()
    within = min(2 * seconds, 300)
    for part, expected in ((0.98, False), (1.05, True)):
        monkeypatch.setattr(time, "monotonic", lambda part=part: began + part * seconds)
        assert checkpoints.is_due(ends_epoch=True) is expected
        monkeypatch.setattr(time, "monotonic", lambda part=part: began + part * within)
        assert checkpoints.is_due(ends_epoch=False) is expected
