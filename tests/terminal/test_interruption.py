"""Whatever asks an import to stop is one thing, but for what was to be ignored before."""

import os
import signal
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


@pytest.mark.usefixtures("hung_up_ignored")
def test_a_hangup_that_nohup_ignores_stays_ignored() -> None:
    with Interruption() as interruption:
        interruption.listen()
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
