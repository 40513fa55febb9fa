"""From `--to` to a sink."""

from dataclasses import dataclass
from pathlib import Path

from ray_import.errors import ConfigError
from ray_import.sink.port import Sink
from ray_import.sink.sqlite import SqliteSink

_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Destination:
    """A destination's address, which travels to the workers; each of them opens it for itself."""

    url: str
    path: Path

    def open(self, *, create: bool = True) -> Sink:
        """Connects. With `create`, makes what is not there yet."""
        return SqliteSink(self.path, create=create)


def is_absolute(url: str) -> bool:
    """Whether the address means the same from every working directory."""
    return Path(url.removeprefix(_SQLITE)).expanduser().is_absolute()


def parse_destination(url: str) -> Destination:
    """Understands `sqlite:///relative.db` and `sqlite:////absolute.db`; raises ConfigError."""
    rest = url.removeprefix(_SQLITE)
    if rest == url or not rest or rest == ":memory:":
        raise ConfigError(
            f"--to {url} is no destination that is known.",
            "Use sqlite:///chunks.db, or sqlite:////an/absolute/path.db.",
        )
    try:
        path = Path(rest).expanduser().absolute()
        is_folder = path.is_dir()
    except (OSError, RuntimeError, ValueError):
        raise ConfigError(f"--to {url} is no path that can be.") from None
    if is_folder:
        raise ConfigError(f"--to {url} names a folder.", "Name a file in it.")
    return Destination(f"{_SQLITE}{path}", path)
