"""A real Ray for the tests of the pool; what a test starts, it stops by its own process ids."""

from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from ray_import.cluster.session import Session, ray_session
from ray_import.errors import ClusterError
from tests.cluster.ray_head import STARTS


@pytest.fixture(scope="session")
def session() -> Iterator[Session]:
    """One local Ray with two CPUs for all tests of the pool: starting one takes seconds."""
    with ExitStack() as stack:
        yield _entered(stack)


def _entered(stack: ExitStack) -> Session:
    """On a busy machine Ray's own deadlines for its start may pass: they are not what is tested."""
    for _ in range(STARTS - 1):
        with suppress(ClusterError):
            return stack.enter_context(ray_session(2))
    return stack.enter_context(ray_session(2))
