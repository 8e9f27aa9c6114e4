"""The Dense CRF runs on no more threads than it is told, and tells nobody else how many to use."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pnpovss.densecrf

SETTINGS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
BEFORE_AND_AFTER = """
import time
import numpy as np
import torch
from pnpovss.densecrf import DenseCRF
def threads_and_cores():
    a = torch.rand(600, 600)
    wall, used = time.perf_counter(), time.process_time()
    while time.process_time() - used < 0.6:
        a @ a
    return torch.get_num_threads(), (time.process_time() - used) / (time.perf_counter() - wall)
before, _ = threads_and_cores()
crf = DenseCRF(np.zeros((200, 300, 3), np.uint8))
crf.infer(probabilities=np.full((3, 200, 300), 1 / 3, np.float32))
print(before, *threads_and_cores())
"""
DEFAULT = """
import sys
if sys.argv[1:]:
    import torch
    torch.set_num_threads(int(sys.argv[1]))
from pnpovss.densecrf.numba_.workers import default_threads
print(default_threads())
"""


def run(program: str, *arguments: str, **settings: str) -> list[float]:
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**environment, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(word) for word in done.stdout.split()]


def test_torch_keeps_to_one_thread_after_the_first_dense_crf() -> None:
    """Numba's OpenMP layer, once started, made it as many as there are cores."""
    before, after, cores = run(BEFORE_AND_AFTER, OMP_NUM_THREADS="1")
    assert (before, after) == (1, 1)
    assert cores < 1.2


@pytest.mark.parametrize(
    ("settings", "torch_threads"),
    [({"OMP_NUM_THREADS": "1"}, ()), ({"OMP_NUM_THREADS": "1,2"}, ()), ({"NUMBA_NUM_THREADS": "1"}, ()), ({}, ("1",))],
)
def test_whoever_says_one_thread_is_obeyed(settings: dict[str, str], torch_threads: tuple[str, ...]) -> None:
    assert run(DEFAULT, *torch_threads, **settings) == [1]


def test_without_a_word_the_cores_are_used() -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert run(DEFAULT) == [cores]
    assert run(DEFAULT, OMP_NUM_THREADS="1000") == [cores]


def test_it_stands_on_its_own() -> None:
    """It imports nothing of this package but its errors."""
    for path in Path(pnpovss.densecrf.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            ours = [name for name in modules if name.startswith("pnpovss")]
            assert all(name == "pnpovss.errors" or name.startswith("pnpovss.densecrf") for name in ours), path
