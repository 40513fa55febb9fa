"""Machines that are not there yet: asked of the cluster's autoscaler, and waited for."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import ray
from ray.autoscaler.sdk import request_resources

from ray_import.cluster.session import Session, cluster_cpus
from ray_import.cluster.worker_slots import START_TIMEOUT_SECONDS, StartupTimeouts
from ray_import.destinations.base import Destination

MACHINE_SECONDS = 1800
"""Until a machine is up: minutes, and more where spot machines are rare."""


@dataclass(frozen=True, slots=True)
class Machines:
    """What a run asks the cluster for: CPUs for so many `workers`, 0 for what is there."""

    workers: int
    have_to_come: bool
    come_and_go: bool

    @classmethod
    def of(
        cls, session: Session, destination: Destination, workers: int | None, max_connections: int | None
    ) -> "Machines":
        """Only for workers that may be anywhere, and only where their number was said."""
        if session.local or destination.on_this_machine:
            return cls(0, have_to_come=False, come_and_go=False)
        wanted = min(workers or 0, max_connections or workers or 0)
        return cls(wanted, have_to_come=cluster_cpus() == 0, come_and_go=True)

    @property
    def patience(self) -> StartupTimeouts:
        """How long a worker is waited for, where one may need a machine that is not there yet, or not any more."""
        return StartupTimeouts(
            MACHINE_SECONDS if self.workers or self.have_to_come else START_TIMEOUT_SECONDS,
            MACHINE_SECONDS if self.come_and_go else START_TIMEOUT_SECONDS,
        )

    @contextmanager
    def asked_for(self) -> Iterator[None]:
        """While it lasts, an autoscaler keeps machines for the workers; without one, nothing comes of it.

        Workers that wait for a CPU would ask, too, but take every CPU that comes: no reader would find room. The
        cluster remembers the last that was asked for, by whomever, also when that process is killed.
        """
        if not self.workers:
            yield
            return
        request_resources(num_cpus=self.workers)
        try:
            yield
        finally:
            with suppress(ray.exceptions.RayError, RuntimeError):  # the head is gone
                request_resources(num_cpus=0)
