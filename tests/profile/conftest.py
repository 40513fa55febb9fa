"""A destination and a fake API for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.model_api.server import model_api
from tests.support.profile.bench import Profiled


@pytest.fixture
def profiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Profiled]:
    with model_api() as api:
        for name, value in api.environment().items():
            monkeypatch.setenv(name, value)
        yield Profiled(tmp_path / "chunks.db", api)
