"""Joining the cluster that RAY_ADDRESS names.

`ray.init` waits for minutes where something else than the head of a cluster answers, and no signal ends that. So the
head is asked first, by a gRPC call with a deadline, which signals interrupt. What is wrong is known by the types of
exceptions and by gRPC's status codes, never by their texts.
"""

import json
import logging
import socket
from typing import Any

import grpc
import ray
from ray._private.grpc_utils import init_grpc_channel
from ray._private.services import get_ray_address_from_environment
from ray._private.utils import check_version_info, compute_version_info
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

from ray_import.cluster.environment import checked_address
from ray_import.errors import ClusterError

ANSWER_WITHIN_SECONDS = 15.0
CONNECT_WITHIN_SECONDS = 5.0
"""Only to tell apart why there was no answer. Both together, and what `ray.init` does then, stay below 30 s."""

TOKEN_CODES = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
SILENT_CODES = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

PORTS = "Name the port of ray start (6379 by default); 8265 is the dashboard's and 10001 Ray Client's."
HOW_TO_AUTHENTICATE = "Set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH, as they are on the head."


def join(named: str) -> None:
    """Connects this process to the cluster whose head is at `named`: HOST:PORT, or `auto` for one of this machine.

    Raises ConfigError for another form of address and ClusterError with the cause within 30 s.
    """
    address = head_address(named)
    check_head(address)
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except Exception as error:
        raise ClusterError(
            f"The Ray cluster at {address} answers, but this machine cannot join it ({type(error).__name__}).",
            f"Does a node of this cluster run on this machine? ray start --address={address} starts one.",
        ) from error


def head_address(named: str) -> str:
    """HOST:PORT of the head that RAY_ADDRESS=`named` means. Raises ConfigError or ClusterError."""
    return _running_head() if named == "auto" else checked_address(named)


def _running_head() -> str:
    try:
        return str(get_ray_address_from_environment("auto", None))
    except ConnectionError:
        raise ClusterError(
            "RAY_ADDRESS=auto: no Ray runs on this machine.",
            "Start one with ray start --head, or unset RAY_ADDRESS to use a temporary one.",
        ) from None


def check_head(address: str) -> None:
    """Asks the head at `address` for its versions. Raises ClusterError where it is none, or not one to join."""
    try:
        metadata = _cluster_metadata(address)
    except grpc.RpcError as error:
        raise _refusal(address, error.code()) from None
    except ray.exceptions.AuthenticationError:
        raise ClusterError(
            f"RAY_AUTH_MODE=token is set, but there is no token for the Ray at {address}.", HOW_TO_AUTHENTICATE
        ) from None
    except (OSError, RuntimeError, ValueError) as error:  # Ray reads the certificates of RAY_USE_TLS
        raise ClusterError(
            f"The settings for Ray's TLS cannot be used ({type(error).__name__}).",
            "Check RAY_USE_TLS, RAY_TLS_SERVER_CERT, RAY_TLS_SERVER_KEY and RAY_TLS_CA_CERT.",
        ) from None
    if metadata:
        _check_versions(address, metadata)


def _cluster_metadata(address: str) -> dict[str, Any]:
    """What the head keeps about its cluster; empty as long as it is starting. Raises grpc.RpcError."""
    channel = init_grpc_channel(address, [("grpc.enable_http_proxy", 0)])
    try:
        stub = gcs_service_pb2_grpc.InternalKVGcsServiceStub(channel)
        question = gcs_service_pb2.InternalKVGetRequest(key=b"CLUSTER_METADATA", namespace=b"cluster")
        answer = stub.InternalKVGet(question, timeout=ANSWER_WITHIN_SECONDS)
        return json.loads(answer.value) if answer.value else {}
    finally:
        channel.close()


def _check_versions(address: str, metadata: dict[str, Any]) -> None:
    """By Ray's own rule, which RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL changes."""
    try:
        check_version_info(metadata, "this machine")
    except RuntimeError:
        ray_here, python_here = compute_version_info()
        raise ClusterError(
            f"The Ray cluster at {address} has Ray {metadata['ray_version']} and Python {metadata['python_version']};"
            f" this machine has Ray {ray_here} and Python {python_here}.",
            "Use the same versions of both on all machines.",
        ) from None


def _refusal(address: str, code: grpc.StatusCode) -> ClusterError:
    if code in TOKEN_CODES:
        return ClusterError(f"The Ray cluster at {address} refused the token, or there is none.", HOW_TO_AUTHENTICATE)
    if code in SILENT_CODES:
        return _silence(address, timed_out=code is grpc.StatusCode.DEADLINE_EXCEEDED)
    return ClusterError(f"{address} is not the head of a Ray cluster ({code.name}).", PORTS)


def _silence(address: str, *, timed_out: bool) -> ClusterError:
    """Why there was no answer, by a connection without a protocol."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_WITHIN_SECONDS).close()
    except socket.gaierror:
        return ClusterError(f"The host of RAY_ADDRESS is unknown: {host}.", "Check its name, and this machine's DNS.")
    except TimeoutError:
        return ClusterError(f"No connection to {address}: no answer.", "Is a firewall in between, or the host down?")
    except OSError:
        return ClusterError(
            f"No Ray listens at {address}: the connection was refused.",
            "Start it (ray start --head), or unset RAY_ADDRESS to use a temporary Ray.",
        )
    if timed_out:
        return ClusterError(
            f"{address} accepts connections, but does not answer within {ANSWER_WITHIN_SECONDS:.0f} s.",
            f"Is the head overloaded, or is it another port? {PORTS}",
        )
    return ClusterError(
        f"{address} is not the head of a Ray cluster, or it expects TLS.",
        f"{PORTS} For TLS, set RAY_USE_TLS=1.",
    )
