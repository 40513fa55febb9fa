import pickle
import re
from collections.abc import Iterator

import pytest

from ray_import import errors
from ray_import.errors import ImporterError


def tree(kind: type[ImporterError]) -> Iterator[type[ImporterError]]:
    """The kinds of ours: Ray makes kinds of its own of them, of the errors that its tasks raise."""
    yield kind
    for below in kind.__subclasses__():
        if not below.__module__.startswith("ray."):
            yield from tree(below)


ALL = sorted(tree(ImporterError), key=lambda kind: kind.__name__)
EVERY_ERROR = pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)

DRAWN = re.compile(r"^    (?P<branch>[│ ├└─]*)(?P<name>[A-Z]\w+)(?:\s|$)", re.MULTILINE)


def drawn_parents() -> dict[str, str]:
    """Each class of the drawing in the module's docstring, and the class that it hangs from."""
    drawing = (errors.__doc__ or "").split("\n\n")[1]
    parents: dict[str, str] = {}
    above: list[str] = []
    for found in DRAWN.finditer(drawing):
        depth = len(found["branch"]) // 3
        above[depth:] = [found["name"]]
        parents[found["name"]] = above[depth - 1] if depth else "Exception"
    return parents


def test_the_drawing_shows_the_tree_that_is() -> None:
    assert drawn_parents() == {kind.__name__: kind.__base__.__name__ for kind in ALL if kind.__base__}


def test_the_drawing_tells_the_exit_codes_that_are() -> None:
    told = dict(re.findall(r"(\w+)\s+exit code (\d)", errors.__doc__ or ""))
    own = {kind.__name__: str(kind.exit_code) for kind in ALL if "exit_code" in vars(kind)}
    assert told == own == {"ImporterError": "3", "ConfigError": "2", "ImportRunning": "2"}


@EVERY_ERROR
def test_an_error_crosses_processes_whole(kind: type[ImporterError]) -> None:
    for arguments in (("what happened",), ("what happened", "what to do")):
        there = pickle.loads(pickle.dumps(kind(*arguments)))
        assert type(there) is kind
        assert (there.message, there.hint) == (*arguments, "")[:2]
        assert str(there) == "\n".join(arguments)


def test_what_a_destination_told_crosses_processes_too() -> None:
    busy = pickle.loads(pickle.dumps(errors.SinkBusy("It is away.", "Later.", 2.0, "504")))
    assert (busy.retry_after_seconds, busy.code) == (2.0, "504")


@EVERY_ERROR
def test_an_error_states_its_exit_code_and_whether_to_try_again(kind: type[ImporterError]) -> None:
    assert kind.exit_code in (2, 3)
    assert isinstance(kind.retry, bool)
    assert kind.retry == (kind in (errors.ModelBusy, errors.PayloadLost, errors.SinkBusy, errors.SourceUnavailable))


@EVERY_ERROR
def test_an_error_is_known_by_its_module_and_every_kind_is_there(kind: type[ImporterError]) -> None:
    assert getattr(errors, kind.__name__) is kind
