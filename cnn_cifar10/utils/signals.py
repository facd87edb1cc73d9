"""Ctrl-C and SIGTERM: postponed while something must be finished, then done as ever."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_AGAIN = 0.1  # seconds until a signal that was dropped comes again
_FRAMEWORKS = ("keras", "tensorflow", "jax", "torch")


class Terminated(KeyboardInterrupt):
    """SIGTERM, as an exception that ends what Ctrl-C ends."""


@contextlib.contextmanager
def sigterm_raises() -> Iterator[None]:
    """Let SIGTERM raise `Terminated` in a block, unless the program handles it already.

    Python drops an exception that is raised while an object is deleted; then the signal comes
    again, Ctrl-C too.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    before = sys.unraisablehook

    def send_again(dropped):
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            is_term = issubclass(dropped.exc_type, Terminated)
            number = signal.SIGTERM if is_term else signal.SIGINT
            threading.Timer(_AGAIN, os.kill, (os.getpid(), number)).start()
        else:
            before(dropped)

    signal.signal(signal.SIGTERM, _terminate)
    sys.unraisablehook = send_again
    try:
        yield
    finally:
        sys.unraisablehook = before
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(number, frame):
    raise Terminated


class Postponed:
    """Ctrl-C and SIGTERM wait in a block of the main thread; a second one does not.

    Where the block ends, or `act` is called, the one that came does what it would have done.

    Args:
        held: Whether they wait from the start, or once `hold` is called.
        notice: What is said when one has to wait.

    Attributes:
        received: The signal that waits, if one does.
    """

    def __init__(self, held: bool = True, notice: str = ""):
        self.received: int | None = None
        self._held, self._notice = held, notice
        self._before: dict[int, Any] = {}

    def hold(self) -> None:
        """Let signals wait from now on."""
        self._held = True

    def act(self) -> None:
        """Do what the signal would have done when it came."""
        number, self.received = self.received, None
        self._restore()
        if number is not None:
            signal.raise_signal(number)

    def __enter__(self) -> "Postponed":
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                before = signal.getsignal(number)
                if before not in (None, signal.SIG_IGN):
                    self._before[number] = before
                    signal.signal(number, self._receive)
        return self

    def __exit__(self, kind: type | None, *_: Any) -> None:
        self._restore()
        if kind is None or not issubclass(kind, KeyboardInterrupt):
            self.act()

    def _restore(self):
        while self._before:
            signal.signal(*self._before.popitem())

    def _receive(self, number: int, frame: FrameType | None) -> None:
        second, self.received = self.received is not None, number
        if second or not self._held:
            self.act()
        elif self._notice:
            os.write(2, f"\n{self._notice}\n".encode())  # `print` may be what was interrupted


def postpone_in_imports() -> None:
    """Let signals wait while Keras and its backends are imported, which may swallow Ctrl-C."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


class _Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in _FRAMEWORKS:
            return None
        finders = (finder for finder in sys.meta_path if finder is not _Finder)
        found = (finder.find_spec(name, path, target) for finder in finders)
        spec = next(filter(None, found), None)
        if spec and spec.loader:
            execute = spec.loader.exec_module

            def exec_module(module):
                with Postponed():
                    execute(module)

            spec.loader.exec_module = exec_module
        return spec
