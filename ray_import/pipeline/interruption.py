"""Whatever asks an import to stop, as one thing."""

import signal
import sys
import threading
from types import FrameType
from typing import Self

from ray_import.errors import Interrupted

_AGAIN_AFTER_SECONDS = 0.01


class Interruption:
    """Ctrl-C, SIGTERM (`ray job stop`, a shutdown) and SIGHUP as one KeyboardInterrupt, and no second one.

    While the import is ended cleanly, and Ray goes down, nothing interrupts that. Signals that the thread blocks are
    left to whoever waits for them: to ignore one discards it where it is pending. Python handles signals in the main
    thread only: in any other one this does nothing, and whoever runs the main thread decides.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __enter__(self) -> Self:
        self._listens = threading.current_thread() is threading.main_thread()
        self._comes_again = False
        if not self._listens:
            return self
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._before = {number: signal.getsignal(number) for number in self._SIGNALS if number not in blocked}
        self._alarm_before = signal.signal(signal.SIGALRM, self._alarm)
        self._hook_before, sys.unraisablehook = sys.unraisablehook, self._unraisable
        self.listen()
        return self

    def __exit__(self, kind: type[BaseException] | None, raised: BaseException | None, *_: object) -> None:
        """What `ray.init` sets for SIGTERM while it is at work ends the process with the signal's number."""
        if self._listens:
            self.ignore()
            sys.unraisablehook = self._hook_before
            signal.signal(signal.SIGALRM, self._alarm_before)
            for number, handler in self._before.items():
                signal.signal(number, handler)
        if kind is KeyboardInterrupt or (isinstance(raised, SystemExit) and raised.code == signal.SIGTERM):
            raise Interrupted("Interrupted before the import began.") from None

    def listen(self) -> None:
        """To be called again once Ray is up: `ray.init` sets a handler of its own."""
        if not self._listens:
            return
        for number, handler in self._before.items():
            if handler is not signal.SIG_IGN:  # nohup, or the background of a script
                signal.signal(number, self._interrupt)

    def ignore(self) -> None:
        """From here on there is nothing to interrupt."""
        if not self._listens:
            return
        if self._comes_again:  # the timer may be another's
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._comes_again = False
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def _interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        self.ignore()
        raise KeyboardInterrupt

    def _alarm(self, number: int, frame: FrameType | None) -> None:
        if self._comes_again:
            self._interrupt(number, frame)
        if callable(self._alarm_before):
            self._alarm_before(number, frame)

    def _unraisable(self, raised: "sys.UnraisableHookArgs") -> None:
        """Where Python has to swallow it, in a `__del__` of Ray's, say, it is raised again a moment later."""
        if issubclass(raised.exc_type, KeyboardInterrupt):
            self._comes_again = True
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_AFTER_SECONDS)
        else:
            self._hook_before(raised)
