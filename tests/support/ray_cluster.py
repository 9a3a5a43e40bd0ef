"""A Ray cluster of processes on this machine: a head without processors, and nodes of one each."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

# As `stemtune.engine` starts Ray, with a token of these tests' own.
ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


class Nodes:
    """The nodes of a cluster.

    Attributes:
        environment: Variables with which a stage runs on the cluster.
    """

    def __init__(self, cluster: Any, count: int) -> None:
        self._cluster, self._count = cluster, count
        self._nodes: list[Any] = []
        self.environment = ENVIRONMENT | {
            "STEMTUNE_ENGINE": "ray",
            "RAY_ADDRESS": cluster.address,
        }

    def fill_up(self) -> None:
        """Starts nodes in the place of those that were killed."""
        self._nodes = [node for node in self._nodes if _raylet(node).poll() is None]
        while len(self._nodes) < self._count:
            self._nodes.append(self._cluster.add_node(num_cpus=1))

    def workers(self, task: str) -> list[psutil.Process]:
        """Returns the processes that run a task or hold an actor of a name."""
        return [worker for node in self._nodes for worker in _workers(node, task)]

    def kill_node_of(self, task: str) -> None:
        """Kills the process above all others of a node that runs a task of a name."""
        raylet = _raylet(next(node for node in self._nodes if _workers(node, task)))
        raylet.kill()
        # Its workers take a zombie for alive.
        raylet.wait()


@contextmanager
def running(nodes: int) -> Iterator[Nodes]:
    """Yields the nodes of a cluster, so many."""
    os.environ.update(ENVIRONMENT)
    # Ray reads the environment when it is imported.
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    try:
        made = Nodes(cluster, nodes)
        made.fill_up()
        yield made
    finally:
        cluster.shutdown()
        for name in ENVIRONMENT:
            del os.environ[name]


def _raylet(node: Any) -> subprocess.Popen[bytes]:
    return node.all_processes["raylet"][0].process


def _workers(node: Any, task: str) -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process(_raylet(node).pid).children(recursive=True)
        if " ".join(process.cmdline()).startswith(f"ray::{task}")
    ]
