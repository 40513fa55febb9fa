"""`ray-import` whose imports never end, and do not see a signal: `python -m tests.service.stuck …`."""

import logging
import threading
from typing import Any

from ray_import.cli import work_run
from ray_import.cli.app import main


def hang(*_arguments: Any, **_named: Any) -> None:
    """As while a name is resolved: no signal is handled."""
    logging.getLogger("ray_import.stuck").info("stuck")
    never = threading.Event()
    while True:
        try:
            never.wait()
        except KeyboardInterrupt:
            continue


if __name__ == "__main__":
    setattr(work_run, "import_exports", hang)  # noqa: B010 - it does not export it
    main()
