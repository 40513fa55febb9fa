"""`ray-import` whose imports never end, and do not see a signal: `python -m tests.service.stuck …`."""

import threading
from typing import Any

from ray_import.terminal import working
from ray_import.terminal.app import main


def hang(*_arguments: Any, **_named: Any) -> None:
    """As while a name is resolved: no signal is handled."""
    never = threading.Event()
    while True:
        try:
            never.wait()
        except KeyboardInterrupt:
            continue


if __name__ == "__main__":
    working.import_exports = hang  # type: ignore[assignment]
    main()
