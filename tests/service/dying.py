"""`ray-import` whose imports end their process with SIGKILL: `python -m tests.service.dying …`."""

import os
import signal
from typing import Any

from ray_import.terminal import working
from ray_import.terminal.app import main


def die(*_arguments: Any, **_named: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    setattr(working, "import_exports", die)  # noqa: B010 - it does not export it
    main()
