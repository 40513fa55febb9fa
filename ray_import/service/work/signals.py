"""Signals that ask a worker to stop, and the interruption of what its main thread does."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self


class StopSignals:
    """Sets `asked` at SIGTERM, SIGHUP and Ctrl-C. To be entered in the main thread, before other threads start.

    An import handles signals itself while it runs, and ignores them while it ends. So SIGTERM and SIGHUP are blocked in
    all threads, and taken by a thread that waits for them: none is lost. The main thread is interrupted by SIGINT.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._main = threading.main_thread().ident or 0
        self._is_interruptible = False
        self._is_ours = False  # a SIGINT that is on its way

    def __enter__(self) -> Self:
        numbers = {signal.SIGTERM}
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
            numbers.add(signal.SIGHUP)
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        signal.signal(signal.SIGINT, self._on_interrupt)
        threading.Thread(target=self._listen, args=(numbers,), name="signals", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """What comes now does not disturb the end of the process."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """What the main thread does here `interrupt` ends with KeyboardInterrupt."""
        self._is_ours = False
        self._is_interruptible = True
        try:
            yield
        finally:
            self._is_interruptible = False

    def interrupt(self) -> None:
        """Interrupts the main thread, if it may be interrupted. From any thread, any number of times."""
        if self._is_interruptible:
            self._is_ours = True
            signal.pthread_kill(self._main, signal.SIGINT)

    def _listen(self, numbers: set[signal.Signals]) -> None:
        while True:
            signal.sigwait(numbers)
            self.asked.set()

    def _on_interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_interruptible:
            self._is_interruptible = False  # once: nothing interrupts what is done about the interruption
            raise KeyboardInterrupt
        if not self._is_ours:  # one of ours may come when there is nothing to interrupt any more
            self.asked.set()
        self._is_ours = False
