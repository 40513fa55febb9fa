"""Whatever asks an import to stop is one thing, but for what was to be ignored before."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest

import ray_import.__main__
from ray_import.errors import Interrupted
from ray_import.pipeline.interruption import Interruption
from tests.cli.commands import environment


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


def test_interruption_does_nothing_when_it_is_not_in_the_main_thread() -> None:
    before, hook = [signal.getsignal(number) for number in Interruption._SIGNALS], sys.unraisablehook
    errors: list[BaseException] = []

    def run() -> None:
        try:
            with Interruption() as interruption:
                interruption.listen()
                interruption.ignore()
        except BaseException as error:  # noqa: BLE001 - in a thread nobody else sees it
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert errors == []
    assert (before, hook) == ([signal.getsignal(number) for number in Interruption._SIGNALS], sys.unraisablehook)


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


def test_ctrl_c_of_a_terminal_while_the_source_is_opened_is_told_in_a_word(tmp_path: Path) -> None:
    """A terminal sends it to the whole group: the process of the import gets it from the supervisor, too."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        process = subprocess.Popen(
            [sys.executable, "-m", "ray_import", "run", f"http://127.0.0.1:{silent.getsockname()[1]}/export.zip"],
            cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        asking, _ = silent.accept()
        with asking:
            for _ in range(20):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGINT)
                threading.Event().wait(0.005)
            _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (3, "interrupted\n")


class InterruptsImport:
    """Ctrl-C while `ray_import.cli.app` is imported."""

    def find_spec(self, name: str, _path: object, _target: ModuleType | None = None) -> None:
        if name == "ray_import.cli.app":
            raise KeyboardInterrupt


def test_ctrl_c_while_the_command_is_imported_is_told_in_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "ray_import.cli.app", raising=False)
    monkeypatch.setattr(sys, "meta_path", [InterruptsImport(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        ray_import.__main__.main()
    assert (ended.value.code, capsys.readouterr().err) == (3, "interrupted\n")
