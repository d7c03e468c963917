"""Shards on many machines: a pool of Ray's actors, each with a predictor of its own.

Only names travel: the paths of pictures to the actors, accounts back. Pictures are read, and
shards written, where the actor stands, so all machines see both under the same paths.
"""

import logging
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

from pose.shards import Account, Run, Shard, imported, write_shard
from pose.telemetry import forbid_telemetry

logger = logging.getLogger(__name__)


def run_on_ray(run: Run, *, workers: int | None = None) -> Generator[Account]:
    """Does what is unfinished; gives the account of each shard when its file is there.

    The cluster is the one the program is connected to, or that of RAY_ADDRESS; else Ray is started
    on this machine meanwhile. `workers` are by default one for each GPU, without any one for each
    CPU. A shard whose worker dies is given to another one. ValueError of one line.
    """
    left = run.unfinished()
    if not left:
        return
    with _cluster() as ray:
        most, gpus = worker_resources(run.settings.device, ray.cluster_resources())
        dataset = ray.data.from_items(
            [{"name": shard.name, "paths": list(shard.paths)} for shard in left],
            override_num_blocks=len(left),  # a block is what is given out, and repeated
        )
        dataset.context.enable_progress_bars = False
        dataset.context.print_on_execution_start = False
        answers = dataset.map(
            _Worker,
            fn_constructor_args=(partial(write_shard, run.settings, run.folder),),
            compute=ray.data.ActorPoolStrategy(
                size=min(workers or most, len(left)), max_tasks_in_flight_per_actor=1
            ),
            num_cpus=None if gpus else 1,
            num_gpus=gpus or None,
        )
        for answer in answers.iter_rows():
            if failure := answer.pop("failure"):
                raise ValueError(failure)
            yield Account(**answer)


def worker_resources(device: str, cluster: Mapping[str, float]) -> tuple[int, int]:
    """How many workers a cluster holds, and the GPUs of each; ValueError for a device it lacks."""
    gpus = int(cluster.get("GPU", 0))
    if device.startswith("cuda") and (device != "cuda" or not gpus):
        raise ValueError(
            f"device {device}: the cluster has {gpus} GPUs and gives each worker one of them; "
            f"say {'cuda' if gpus else 'cpu'}"
        )
    if gpus and device in ("auto", "cuda"):
        return gpus, 1
    return max(1, int(cluster.get("CPU", 1))), 0


class _Worker:
    """What an actor holds; Ray Data wants a class. An error for people is an answer like others,
    for Ray would bury it in words of its own."""

    def __init__(self, write: Callable[[Shard], Account]) -> None:
        self.write = write

    def __call__(self, shard: Mapping[str, Any]) -> dict[str, Any]:
        try:
            account = self.write(Shard(shard["name"], tuple(map(str, shard["paths"]))))
        except (ValueError, OSError) as error:
            return {**asdict(Account(0, 0, 0, 0, 0)), "failure": str(error)}
        return {**asdict(account), "failure": ""}


@contextmanager
def _cluster() -> Iterator[Any]:
    """Ray, connected; started and ended here if nobody did before."""
    forbid_telemetry()
    imported("ray.data")
    ray = imported("ray")
    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get("RAY_ADDRESS")
    local = {} if address else {"include_dashboard": False}
    logger.info("Ray: %s", f"connecting to {address}" if address else "started on this machine")
    ray.init(address or "local", logging_level=logging.ERROR, **local)
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it says of errors is raised
    try:
        yield ray
    finally:
        ray.shutdown()
