"""`ray-import` with an impatient reader of sources, which asks a server once: `python -m tests.service.impatient …`."""

from ray_import.source.patience import PATIENCE
from ray_import.terminal.app import main

if __name__ == "__main__":
    object.__setattr__(PATIENCE, "attempts", 1)
    main()
