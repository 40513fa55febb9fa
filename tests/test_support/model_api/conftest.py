"""A fake API for each test."""

from collections.abc import Iterator

import pytest

from tests.support.model_api.server import ModelApi, model_api


@pytest.fixture
def api() -> Iterator[ModelApi]:
    with model_api() as made:
        yield made
