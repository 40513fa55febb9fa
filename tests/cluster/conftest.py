"""A real Ray for the tests of the pool; what a test starts, it stops by its own process ids."""

from collections.abc import Iterator

import pytest

from ray_import.cluster.session import Session, ray_session


@pytest.fixture(scope="session")
def session() -> Iterator[Session]:
    """One local Ray with two CPUs for all tests of the pool: starting one takes seconds."""
    with ray_session(2) as up:
        yield up
