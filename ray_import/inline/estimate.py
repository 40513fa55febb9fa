"""Whether an import runs in this process or on Ray: one pure function of sizes, packing and CPUs."""

from dataclasses import dataclass
from typing import Literal

from ray_import.errors import ConfigError

Asked = Literal["auto", "inline", "ray"]
Executor = Literal["inline", "ray"]
Packing = Literal["plain", "zip", "unknown"]

MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class Costs:
    """What an import costs, in seconds and in CPU seconds per MB of JSON. `python -m benchmarks.executors` measures it.

    The driver reads, by itself: `read` for plain JSON, and `unpack` more for packed JSON. `work` is what is done with
    a batch in this process. Ray adds `ray_work` to that, in workers, and `hand_out`, in the driver.
    """

    ray_start_seconds: float = 3.9
    read: float = 0.0016
    unpack: float = 0.0020
    work: float = 0.0157
    hand_out: float = 0.0012
    ray_work: float = 0.0090


COSTS = Costs()


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds that an import takes in this process and on Ray."""

    inline_seconds: float
    ray_seconds: float


def estimate(size_bytes: int, packing: Packing, cpus: int, costs: Costs = COSTS) -> Estimate:
    """The estimate for `size_bytes` of JSON on `cpus` CPUs.

    On Ray the import takes as long as its slowest part: the driver, or all of the work on all CPUs.
    """
    megabytes = size_bytes / MEGABYTE
    read = costs.read + (0.0 if packing == "plain" else costs.unpack)
    driver = read + costs.hand_out
    on_ray = max(driver, (driver + costs.work + costs.ray_work) / max(cpus, 1))
    return Estimate(megabytes * (read + costs.work), costs.ray_start_seconds + megabytes * on_ray)


def crossover_bytes(packing: Packing, cpus: int, costs: Costs = COSTS) -> float | None:
    """From which size on Ray is estimated to be faster; None if it never is."""
    one = estimate(int(MEGABYTE), packing, cpus, costs)
    saved = one.inline_seconds - (one.ray_seconds - costs.ray_start_seconds)
    return MEGABYTE * costs.ray_start_seconds / saved if saved > 0 else None


@dataclass(frozen=True, slots=True)
class Situation:
    """What decides. `size_bytes` is of JSON, None if it is not known; `workers` is None if no number was asked for."""

    asked: Asked = "auto"
    size_bytes: int | None = None
    packing: Packing = "unknown"
    cpus: int = 1
    workers: int | None = None
    users: int = 1
    ray_address: bool = False
    inside_job: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The executor, and why, in words that complete a sentence about it."""

    executor: Executor
    why: str


def executor_for(situation: Situation, costs: Costs = COSTS) -> Choice:
    """Where the import runs. Raises ConfigError if the options exclude each other.

    `auto` takes Ray if a cluster is named, inside a job, for a number of workers, for several users, and where it is
    estimated to be faster.
    """
    one = situation
    if one.asked == "inline" and one.workers is not None:
        raise ConfigError("--workers needs Ray, but --executor inline has none.", "Leave one of them out.")
    if one.asked != "auto":
        return Choice(one.asked, f"--executor {one.asked}")
    reasons = (
        (one.inside_job, "inside a job"),
        (one.ray_address, "RAY_ADDRESS is set"),
        (one.workers is not None, "--workers"),
        (one.users > 1, f"{one.users:,} users"),
    )
    for holds, why in reasons:
        if holds:
            return Choice("ray", why)
    if one.size_bytes is None:
        return Choice("inline", "the size of the export is not known")
    expected = estimate(one.size_bytes, one.packing, one.cpus, costs)
    inline, ray = _seconds(expected.inline_seconds), _seconds(expected.ray_seconds)
    if expected.ray_seconds < expected.inline_seconds:
        return Choice("ray", f"estimated {ray}, without Ray {inline}")
    return Choice("inline", f"estimated {inline}, with Ray {ray}")


def _seconds(seconds: float) -> str:
    if seconds < 10:
        return f"{max(seconds, 0.1):.1f} s"
    return f"{seconds:,.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"
