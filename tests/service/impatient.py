"""`ray-import` that soon gives up servers of exports and the API of Claude: `python -m tests.service.impatient …`."""

from ray_import.cli.app import main
from ray_import.profile.direct_calls import Caller
from ray_import.source.patience import PATIENCE

if __name__ == "__main__":
    object.__setattr__(PATIENCE, "attempts", 1)
    defaults = Caller.__init__.__kwdefaults__ or {}
    assert "patience_seconds" in defaults
    defaults["patience_seconds"] = 0.5
    main()
