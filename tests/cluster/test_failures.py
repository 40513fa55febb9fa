"""What went wrong, by type: what passes is worth another try."""

import subprocess
import sys
import threading

import pytest
import ray
import ray.exceptions as of_ray

from ray_import.cluster.failures import cannot_be_made, to_ours
from ray_import.cluster.session import Session
from ray_import.errors import ClusterError, ConfigError, ImporterError, PayloadLost


def raised(cause: Exception) -> of_ray.RayError:
    return of_ray.RayTaskError("read_export", "where it was", cause).as_instanceof_cause()


@pytest.mark.parametrize("error", [of_ray.ObjectStoreFullError("a store"), of_ray.OutOfDiskError("a disk")])
def test_what_finds_no_room_is_worth_another_try(error: of_ray.RayError) -> None:
    for ours in (to_ours(error), to_ours(raised(error))):
        assert isinstance(ours, PayloadLost)
        assert ours.retry
        assert "are full" in ours.message


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (of_ray.ActorUnavailableError("gone", None), PayloadLost),
        (raised(of_ray.ObjectLostError("", "", "")), PayloadLost),
        (raised(ConfigError("a setting")), ConfigError),
        (raised(ValueError("somebody's words")), ClusterError),
        (of_ray.RaySystemError(Exception("somebody's words")), ClusterError),
        (of_ray.UnserializableException("somebody's words"), ClusterError),
    ],
)
def test_each_error_becomes_one_of_ours(error: of_ray.RayError, expected: type[ImporterError]) -> None:
    ours = to_ours(error)
    assert type(ours) is expected
    assert "words" not in str(ours)


class NeedsMoreThanItsArgs(Exception):
    """As the errors of some HTTP clients: pickle makes it anew from `args`, which are not enough."""

    def __init__(self, message: str, *, response: str) -> None:
        super().__init__(message)
        self.response = response


class CannotBePickled(Exception):
    """Holds what no pickle takes."""

    def __init__(self) -> None:
        super().__init__(threading.Lock())


@pytest.mark.ray
@pytest.mark.parametrize("needs_more", [True, False])
def test_an_error_that_cannot_be_sent_is_a_fault_of_the_worker(session: Session, needs_more: bool) -> None:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers need not find the tests

    def fails(needs_more: bool) -> None:
        raise NeedsMoreThanItsArgs("words", response="words") if needs_more else CannotBePickled()

    with pytest.raises(of_ray.RayError) as caught:
        ray.get(ray.remote(fails).options(max_retries=0).remote(needs_more))
    ours = to_ours(caught.value)
    assert "cannot be sent to another process" in ours.message
    assert "words" not in str(ours)


def test_only_a_worker_that_never_was_there_cannot_be_made() -> None:
    assert cannot_be_made(of_ray.RayActorError(actor_init_failed=True)) is not None
    assert cannot_be_made(of_ray.RayActorError()) is None
    assert cannot_be_made(of_ray.OutOfMemoryError("")) is None


FILL_A_STORE_WHOSE_DISK_IS_FULL = """
from ray_import.cluster.environment import prepare_environment
prepare_environment()
import ray
from ray_import.cluster.pool import put_payload
from ray_import.cluster.session import MIN_OBJECT_STORE_BYTES
from ray_import.cluster.session import Session
from ray_import.errors import PayloadLost
full = {"local_fs_capacity_threshold": 0.0001, "local_fs_monitor_interval_ms": 50}
usual = {"object_store_memory": MIN_OBJECT_STORE_BYTES, "include_dashboard": False, "log_to_driver": False}
ray.init(address="local", num_cpus=0, _system_config=full, **usual)
held = []
try:
    while True:
        held.append(put_payload(bytes(4_000_000)))
except PayloadLost as error:
    print(error.message)
"""


@pytest.mark.ray
def test_a_payload_that_finds_no_room_raises_an_error_of_ours() -> None:
    program = [sys.executable, "-c", FILL_A_STORE_WHOSE_DISK_IS_FULL]
    assert "are full" in subprocess.run(program, capture_output=True, text=True, check=True).stdout
