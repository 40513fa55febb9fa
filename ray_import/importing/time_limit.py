"""The CPU time that a process may spend on a batch."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """Ends this process with SIGPROF if the body takes more than `seconds` of CPU time.

    The kernel does it, by the default action of SIGPROF: a thread, or a handler in Python, would wait for the
    interpreter's lock, which code in C (a regular expression) holds until it is done. CPU time, because waiting for
    the destination is no fault of the batch, and neither is a busy machine.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
