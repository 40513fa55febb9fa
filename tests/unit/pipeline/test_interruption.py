"""Signals while an import runs, in the main thread of the tests."""

import signal
import threading

from ray_import.pipeline.interruption import Interruption


def test_interruption_keeps_a_pending_signal_when_the_thread_blocks_it() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        with Interruption():
            pass
        assert signal.SIGTERM in signal.sigpending()
        assert signal.sigwait({signal.SIGTERM}) == signal.SIGTERM
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_interruption_gives_the_handlers_back_when_it_ends() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with Interruption() as interruption:
        assert all(signal.getsignal(number) not in before for number in numbers)
        interruption.ignore()
        assert all(signal.getsignal(number) is signal.SIG_IGN for number in numbers)
    assert [signal.getsignal(number) for number in numbers] == before
