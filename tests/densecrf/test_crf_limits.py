"""What a Dense CRF refuses, and how it behaves around compilation, threads and memory."""

import logging
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pnpovss.densecrf import Bilateral, DenseCRF, Gaussian, infer_batch
from pnpovss.densecrf.memory import free_memory
from pnpovss.errors import InvalidInputError, ResourceError
from tests.support.crf_oracles import scene

IMAGE, PROBABILITIES = scene(12, 16, 3)
BACKENDS = ["numba", "torch"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((12,), np.uint8), r"\(h, w, 3\) or \(h, w\).*\(12,\)"),
        (np.zeros((0, 16, 3), np.uint8), "not empty"),
        (np.zeros((12, 16, 3), np.int64), "uint8 or float.*int64"),
        (np.full((12, 16, 3), np.nan, np.float32), "NaN"),
    ],
)
def test_bad_images(backend: str, image: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        DenseCRF(image, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({}, "either probabilities or energies, got none"),
        ({"probabilities": PROBABILITIES, "energies": PROBABILITIES}, "got both"),
        ({"probabilities": PROBABILITIES[0]}, r"\(C, 12, 16\).*\(12, 16\)"),
        ({"probabilities": PROBABILITIES[:0]}, r"\(0, 12, 16\)"),
        ({"energies": PROBABILITIES.transpose(0, 2, 1)}, r"\(3, 16, 12\)"),
        ({"probabilities": PROBABILITIES - 0.5}, r"in \[0, 1\]"),
        ({"probabilities": PROBABILITIES * 3}, r"in \[0, 1\]"),
        ({"probabilities": PROBABILITIES * np.float32(np.nan)}, r"in \[0, 1\].*nan"),
        ({"energies": PROBABILITIES * np.float32(np.nan)}, "above -inf"),
        ({"energies": np.full_like(PROBABILITIES, -np.inf)}, "above -inf"),
        ({"energies": np.full_like(PROBABILITIES, np.inf)}, r"every label is \+inf .* at 192 pixels"),
        ({"energies": PROBABILITIES.astype(np.float64) + 1e300}, r"every label is \+inf .* at 192 pixels"),
        ({"probabilities": PROBABILITIES, "iterations": -1}, "0 or more, got -1"),
        ({"probabilities": PROBABILITIES, "iterations": 2.5}, "whole number"),
    ],
)
@pytest.mark.wrong_types
def test_bad_scores(backend: str, scores: dict, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        DenseCRF(IMAGE, backend=backend).infer(**scores)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussian(sxy=0), "positive"),
        (lambda: Gaussian(sxy=(1, 2, 3)), "one number or 2"),
        (lambda: Gaussian(sxy=float("nan")), "positive and finite"),
        (lambda: Bilateral(srgb=-1), "positive"),
        (lambda: Bilateral(compat=float("inf")), "finite"),
        (lambda: Bilateral(compat=np.zeros((2, 3))), r"\(2, 3\)"),
        (lambda: DenseCRF(IMAGE, [Bilateral(srgb=(1, 2))]).infer(probabilities=PROBABILITIES), "one number or 3"),
        (lambda: DenseCRF(IMAGE, [Gaussian(compat=np.eye(4))]).infer(probabilities=PROBABILITIES), "3 labels"),
        (lambda: DenseCRF(IMAGE, [Bilateral(srgb=1e-4)]).infer(probabilities=PROBABILITIES), "larger widths"),
        # This one killed the process.
        (lambda: DenseCRF(IMAGE, [Gaussian(sxy=1e-6)]).infer(probabilities=PROBABILITIES), "larger widths"),
        (lambda: DenseCRF(IMAGE, [Gaussian(sxy=1e-44)]).infer(probabilities=PROBABILITIES), "larger widths"),
        (lambda: DenseCRF(IMAGE, [Gaussian(sxy=1e-300)]), "positive"),
        (lambda: Gaussian(compat=1e21), "finite, 1e.20 at most"),
        (lambda: DenseCRF(IMAGE, threads=0), "threads must be 1 or more, got 0"),
        (lambda: DenseCRF(IMAGE, backend="cuda"), '"auto", "numba" or "torch", got .cuda.'),  # pyright: ignore[reportArgumentType]
        (lambda: infer_batch([], probabilities=[]), "one or more images"),
        (lambda: infer_batch([IMAGE], probabilities=[PROBABILITIES] * 2), "1 and 2"),
        (lambda: infer_batch([IMAGE, IMAGE[:5]], probabilities=[PROBABILITIES] * 2), "of one shape"),
    ],
)
@pytest.mark.wrong_types
def test_bad_terms_options_and_batches(make, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        make()


@pytest.mark.parametrize("backend", BACKENDS)
def test_too_little_memory_is_told_before_it_runs_out(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    crf = DenseCRF(IMAGE, backend=backend)
    with monkeypatch.context() as patch:
        patch.setattr("pnpovss.densecrf.memory.free_memory", lambda: 1000)
        with pytest.raises(ResourceError, match=r"3 labels at 16 x 12 pixels takes about .*MiB.* is available"):
            crf.infer(probabilities=PROBABILITIES)
    assert crf.infer(probabilities=PROBABILITIES).q.shape == PROBABILITIES.shape


@pytest.mark.parametrize("backend", BACKENDS)
def test_whoever_asks_before_each_iteration_can_end_it(backend: str) -> None:
    asked: list[int] = []

    def go_on() -> None:
        asked.append(1)
        if len(asked) == 7:
            raise InterruptedError

    crf = DenseCRF(IMAGE, backend=backend)
    crf.infer(probabilities=PROBABILITIES, iterations=4, go_on=go_on)
    assert len(asked) == 4
    with pytest.raises(InterruptedError):
        crf.infer(probabilities=PROBABILITIES, iterations=100, go_on=go_on)
    assert len(asked) == 7
    assert crf.infer(probabilities=PROBABILITIES).q.shape == PROBABILITIES.shape


def test_free_memory_is_the_least_that_the_machine_and_the_container_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  9000 kB\nMemAvailable:  4000 kB\n")
    monkeypatch.setattr("pnpovss.densecrf.memory._MEMINFO", meminfo)
    monkeypatch.setattr("pnpovss.densecrf.memory._CGROUP", tmp_path)
    assert free_memory() == 4_096_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() == 4_096_000
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert free_memory() == 2_000_000
    (tmp_path / "memory.stat").write_text("anon 100000\ninactive_file 700000\nactive_file 100000\nfile 900000\n")
    assert free_memory() == 2_800_000  # what was read from files is given back when it is wanted
    meminfo.unlink()
    assert free_memory() == 2_800_000


@pytest.mark.parametrize("labels", [2, 21])
@pytest.mark.parametrize("diagnostics", [False, True])
def test_memory_that_is_told_is_enough_for_a_photo(labels: int, diagnostics: bool) -> None:
    """Of what NumPy allocates; a photo's lattices have fewer points than are reckoned with."""
    image, probabilities = scene(220, 300, labels)
    crf = DenseCRF(image, threads=1)
    crf.infer(probabilities=probabilities, iterations=1)  # compiled
    crf = DenseCRF(image, threads=1)
    told = crf._engine.memory_needed(labels, diagnostics)
    tracemalloc.start()
    crf.infer(probabilities=probabilities, iterations=1, diagnostics=diagnostics)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < told < 3 * peak
    assert crf._engine.memory_needed(labels, diagnostics) < told  # the lattices are there


def test_many_threads_may_call_one_crf_and_several() -> None:
    image, probabilities = scene(140, 150, 3)
    expected = DenseCRF(image).infer(probabilities=probabilities, iterations=3).q
    one = DenseCRF(image, threads=2)
    with ThreadPoolExecutor(4) as pool:
        shared = list(pool.map(lambda _: one.infer(probabilities=probabilities, iterations=3).q, range(6)))
        own = list(
            pool.map(lambda _: DenseCRF(image, threads=2).infer(probabilities=probabilities, iterations=3).q, range(6))
        )
    for q in shared + own:
        assert np.array_equal(q, expected)


def _child(queue) -> None:
    image, probabilities = scene(140, 150, 3)
    queue.put(float(DenseCRF(image, threads=2).infer(probabilities=probabilities, iterations=1).q.sum()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_works_in_a_forked_child_of_a_process_that_used_it() -> None:
    _child(multiprocessing.SimpleQueue())
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_child, args=(queue,))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert queue.get() == pytest.approx(140 * 150, rel=1e-4)


def _first_call(environment: dict[str, str]) -> str:
    code = (
        "import logging, numpy as np; logging.basicConfig(level='INFO')\n"
        "from pnpovss.densecrf import DenseCRF, Gaussian\n"
        "crf = DenseCRF(np.zeros((4, 5, 3), np.uint8), [Gaussian()])\n"
        "print(crf.infer(probabilities=np.full((2, 4, 5), .5, np.float32)).q.sum())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == pytest.approx(20)
    return done.stderr


def test_the_first_call_tells_that_it_compiles_and_the_next_process_does_not(tmp_path: Path) -> None:
    told = _first_call({"NUMBA_CACHE_DIR": str(tmp_path)})
    assert re.search(r"INFO:pnpovss.densecrf:compiling the Dense CRF, once, about \d+ s", told)
    assert any(tmp_path.rglob("*.nbi"))
    assert "compiling" not in _first_call({"NUMBA_CACHE_DIR": str(tmp_path)})


def test_compiled_functions_that_nothing_can_cache_still_work(caplog: pytest.LogCaptureFixture) -> None:
    from pnpovss.densecrf.numba_.compiling import jit

    namespace: dict = {}
    exec("def double(x):\n    return 2 * x", namespace)  # a function without a file has no place for a cache
    with caplog.at_level(logging.WARNING, "pnpovss.densecrf"):
        assert jit(namespace["double"])(21) == 42
    assert "NUMBA_CACHE_DIR" in caplog.text


def test_an_installation_without_place_for_a_cache_uses_the_users_folder(tmp_path: Path) -> None:
    """A copy of the package whose `__pycache__` cannot be made, whoever runs this: a file stands in its place."""
    import pnpovss

    copy = tmp_path / "installed" / "pnpovss"
    shutil.copytree(Path(pnpovss.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    for folder in (copy / "densecrf").rglob("."):
        (folder / "__pycache__").write_text("no folder")
    users = tmp_path / "home"
    _first_call({"HOME": str(users), "XDG_CACHE_HOME": str(users), "PYTHONPATH": str(copy.parent)})
    assert any(users.rglob("*.nbi"))


@pytest.mark.slow
def test_largest_image_in_bounded_memory() -> None:
    import resource

    image, probabilities = scene(3000, 4000, 3)
    result = DenseCRF(image).infer(probabilities=probabilities, iterations=2)
    assert np.isfinite(result.q).all()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < 4 * 2**30
