"""Work shared out to processes of one thread each, which end when the run does, however that ends."""

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable
from dataclasses import fields
from multiprocessing.connection import wait

import torch

from training.workspace import Workspace


def in_parts(task: Callable[..., None], work: Workspace, workers: int, *arguments: int) -> None:
    """Run `task(work, part, parts, *arguments)` in as many single-threaded processes, or here if one is enough.

    Args:
        task: a function of a module.
        work: each process makes its own from the same fields.
        workers: number of processes.
        *arguments: of the task, the same for all.

    Raises:
        RuntimeError: one of them failed.
    """
    if workers == 1:
        task(work, 0, 1, *arguments)
        return
    fresh = tuple(vars(work)[field.name] for field in fields(work))
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_run_part, args=(task, fresh, part, workers, *arguments)) for part in range(workers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if failed := [p for p in processes if p.exitcode]:
        raise RuntimeError(f"{len(failed)} of {workers} workers failed; see above, then run the same command again")


def _run_part(task: Callable[..., None], fresh: tuple, part: int, parts: int, *arguments: int) -> None:
    threading.Thread(target=_end_with_the_run, daemon=True).start()
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    task(Workspace(*fresh), part, parts, *arguments)


def _end_with_the_run() -> None:
    """End this process when its parent is gone.

    A killed run is begun again by the same command; workers of the first one would write the same files beside it.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None  # of a process that multiprocessing started
    wait([parent.sentinel])
    os._exit(1)
