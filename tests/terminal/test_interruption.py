"""Whatever asks an import to stop is one thing, but for what was to be ignored before."""

import os
import signal
import sys
import threading
from collections.abc import Iterator

import pytest

from ray_import.errors import Interrupted
from ray_import.terminal.interruption import Interruption


@pytest.fixture
def hung_up_ignored() -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_once_and_what_was_set_before_is_set_again(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted), Interruption():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before


def test_a_sigterm_that_ray_takes_while_it_starts_is_an_interruption() -> None:
    with pytest.raises(Interrupted), Interruption():
        sys.exit(signal.SIGTERM)
    with pytest.raises(SystemExit), Interruption():
        sys.exit(1)


class InterruptedAtItsEnd:
    """Python swallows what is raised in its `__del__`."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_an_interruption_that_python_swallows_comes_again() -> None:
    hook, alarm = sys.unraisablehook, signal.getsignal(signal.SIGALRM)

    def waits() -> None:
        InterruptedAtItsEnd()
        assert threading.Event().wait(60), "it was not interrupted"

    with pytest.raises(Interrupted), Interruption():
        waits()
    assert (sys.unraisablehook, signal.getsignal(signal.SIGALRM)) == (hook, alarm)


def test_after_the_last_thing_that_may_be_interrupted_nothing_comes_again() -> None:
    with Interruption() as interruption:
        InterruptedAtItsEnd()
        interruption.ignore()
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_timer_of_somebody_else_runs_on() -> None:
    rang: list[int] = []
    handler = signal.signal(signal.SIGALRM, lambda number, _: rang.append(number))
    before = signal.setitimer(signal.ITIMER_REAL, 500.0)
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGALRM)
            interruption.ignore()
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
        assert rang == [signal.SIGALRM]
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *before)


class RaisesAtItsEnd:
    """Something else than an interruption."""

    def __del__(self) -> None:
        raise ValueError("at its end")


def test_what_else_python_swallows_is_told_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda raised: told.append(raised.exc_type))
    with Interruption():
        RaisesAtItsEnd()
    assert told == [ValueError]


@pytest.mark.usefixtures("hung_up_ignored")
def test_a_hangup_that_nohup_ignores_stays_ignored() -> None:
    with Interruption() as interruption:
        interruption.listen()
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
