"""The numbered steps from nothing to the tables that are needed (`ray_import/sql/`)."""

from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

Dialect = Literal["sqlite", "postgres"]

OTHER_VERSION = "other_version"
"""The `SinkError.code` of a destination whose tables are older or newer than this ray-import needs."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step. It leaves the schema at `version`."""

    version: int
    name: str
    sql: str


def migrations(dialect: Dialect) -> list[Migration]:
    """All steps, in their order."""
    found = files("ray_import").joinpath("sql", dialect).iterdir()
    return sorted(
        (Migration(int(file.name[:4]), file.name, file.read_text()) for file in found if file.name.endswith(".sql")),
        key=lambda migration: migration.version,
    )


LATEST_POSTGRES = migrations("postgres")[-1].version
LATEST_SQLITE = migrations("sqlite")[-1].version
