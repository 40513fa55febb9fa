"""What came of a run over many users."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray_import.sink.port import LACKING_STATES, WHOLE_STATES, RunUser


@dataclass(frozen=True, slots=True)
class RunReport:
    """The end of a run: every user, and how it ended; how many files were passed over, where users were looked for."""

    run_id: str
    what: str
    destination: str
    users: tuple[RunUser, ...]
    bytes_read: int
    seconds: float
    workers: int
    passed_over: Mapping[str, int] | None = None

    @property
    def states(self) -> Counter[str]:
        """How many users are in each state."""
        return Counter(user.state for user in self.users)

    @property
    def exit_code(self) -> int:
        """0 where every user is complete and without a warning, else 1."""
        return 1 if self.lacking or self.warned else 0

    @property
    def warned(self) -> list[RunUser]:
        """The users who are complete, but whose row of --profile-table could not be updated."""
        return [user for user in self.users if user.error and user.state in WHOLE_STATES]

    @property
    def lacking(self) -> list[RunUser]:
        """The users who failed, or of whom something is missing."""
        return [user for user in self.users if user.state in LACKING_STATES]

    def as_dict(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "run_id": self.run_id,
            "what": self.what,
            "destination": self.destination,
            "users": {"all": len(self.users), **dict(sorted(self.states.items()))},
            "bytes_read": self.bytes_read,
            "seconds": round(self.seconds, 3),
            "workers": self.workers,
            "failed": [
                {
                    "user_id": user.user_id,
                    "source": user.source,
                    "state": user.state,
                    "attempts": user.attempts,
                    "error": user.error,
                }
                for user in self.lacking
            ],
            **({"warnings": warnings} if (warnings := [_warning(user) for user in self.warned]) else {}),
            **({} if self.passed_over is None else {"passed_over": dict(self.passed_over)}),
        }


def _warning(user: RunUser) -> dict[str, Any]:
    return {"user_id": user.user_id, "warning": user.error}
