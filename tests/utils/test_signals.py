"""Signals: they wait for what must be finished, then do what they would have done."""

import os
import signal
import time

import pytest

from cnn_cifar10.utils import Postponed, Terminated, sigterm_raises

KINDS = [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]


def send(number):
    os.kill(os.getpid(), number)
    sum(range(1000))  # the interpreter looks for signals


@pytest.mark.parametrize(("number", "kind"), KINDS)
@pytest.mark.parametrize("acts", [True, False])
def test_a_signal_waits_until_it_may_act(number, kind, acts):
    before, done = signal.getsignal(number), []

    def finish():
        with sigterm_raises(), Postponed() as signals:
            send(number)
            done.append(signals.received)
            if acts:
                signals.act()
            done.append("the end")

    with pytest.raises(kind):
        finish()
    assert done == ([number] if acts else [number, "the end"])
    assert signal.getsignal(number) == before


def test_a_second_one_does_not_wait(capfd):
    said = []

    def finish():
        with Postponed(notice="wait"):
            send(signal.SIGINT)
            said.append(capfd.readouterr().err)
            send(signal.SIGINT)
            pytest.fail("waited")

    with pytest.raises(KeyboardInterrupt):
        finish()
    assert said == ["\nwait\n"]


def test_nothing_waits_before_there_is_something_to_finish():
    def finish():
        with Postponed(held=False):
            send(signal.SIGINT)
            pytest.fail("waited")

    with pytest.raises(KeyboardInterrupt):
        finish()


def test_who_ignores_a_signal_goes_on_ignoring_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as `nohup` does
    try:
        with Postponed() as signals:
            send(signal.SIGINT)
            assert signals.received is None
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("number", "kind"), [("SIGINT", "KeyboardInterrupt"), ("SIGTERM", "Terminated")]
)
def test_an_import_of_a_framework_swallows_no_signal(number, kind, run_program):
    assert run_program("imports_jax.py", SIGNAL=number) == f"{kind}\n"


@pytest.mark.parametrize(("number", "kind"), KINDS)
def test_a_signal_that_comes_while_an_object_is_deleted_is_not_lost(number, kind):
    class Deleted:
        def __del__(self):
            signal.raise_signal(number)

    went_on = []

    def go_on():
        with sigterm_raises():
            one = Deleted()
            del one
            went_on.append(True)  # Python has dropped the exception
            time.sleep(5)

    with pytest.raises(kind):
        go_on()
    assert went_on
