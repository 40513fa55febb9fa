"""`ray-import` whose imports end their process with SIGKILL: `python -m tests.service.dying …`."""

import os
import signal
from typing import Any

from ray_import.cli import work_run
from ray_import.cli.app import main


def die(*_arguments: Any, **_named: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    setattr(work_run, "import_exports", die)  # noqa: B010 - it does not export it
    main()
