"""What a Dense CRF refuses, and how it behaves around compilation, threads and memory."""

import logging
import multiprocessing
import os
import re
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pnpovss.densecrf import Bilateral, DenseCRF, Gaussian, infer_batch
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
        ({"probabilities": PROBABILITIES, "iterations": -1}, "0 or more, got -1"),
        ({"probabilities": PROBABILITIES, "iterations": 2.5}, "whole number"),
    ],
)
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
        (lambda: DenseCRF(IMAGE, threads=0), "threads must be 1 or more, got 0"),
        (lambda: DenseCRF(IMAGE, backend="cuda"), '"auto", "numba" or "torch", got .cuda.'),  # pyright: ignore[reportArgumentType]
        (lambda: infer_batch([], probabilities=[]), "one or more images"),
        (lambda: infer_batch([IMAGE], probabilities=[PROBABILITIES] * 2), "1 and 2"),
        (lambda: infer_batch([IMAGE, IMAGE[:5]], probabilities=[PROBABILITIES] * 2), "of one shape"),
    ],
)
def test_bad_terms_options_and_batches(make, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        make()


@pytest.mark.parametrize("backend", BACKENDS)
def test_too_little_memory_is_told_before_it_runs_out(backend: str) -> None:
    with pytest.raises(ResourceError, match=r"takes .*[GM]iB.* is available"):
        DenseCRF(IMAGE, backend=backend, memory_limit=1000).infer(probabilities=PROBABILITIES)


def test_too_many_lattice_points_are_told() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    with pytest.raises(ResourceError, match="points, too many"):
        DenseCRF(noise, [Bilateral(50, 1)], memory_limit=800_000).infer(probabilities=np.ones((1, 64, 64), np.float32))


def test_inference_too_large_is_told_after_the_lattice() -> None:
    image, _ = scene(64, 64, 1)
    scores = np.full((171, 64, 64), 1 / 171, np.float32)
    crf = DenseCRF(image, [Gaussian()], memory_limit=3_000_000)
    with pytest.raises(ResourceError, match="171 labels at 4096 pixels"):
        crf.infer(probabilities=scores)
    assert crf.infer(probabilities=scores[:2] * 80).q.shape == (2, 64, 64)  # and the lattice is kept


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
    assert re.search(r"INFO:pnpovss.crf:compiling the Dense CRF, once, about \d+ s", told)
    assert any(tmp_path.rglob("*.nbi"))
    assert "compiling" not in _first_call({"NUMBA_CACHE_DIR": str(tmp_path)})


def test_compiled_functions_that_nothing_can_cache_still_work(caplog: pytest.LogCaptureFixture) -> None:
    from pnpovss.densecrf import jit

    namespace: dict = {}
    exec("def double(x):\n    return 2 * x", namespace)  # a function without a file has no place for a cache
    with caplog.at_level(logging.WARNING, "pnpovss.crf"):
        assert jit.jit(namespace["double"])(21) == 42
    assert "NUMBA_CACHE_DIR" in caplog.text


@pytest.mark.skipif(os.name != "posix", reason="permissions of another kind")
def test_read_only_installation_caches_in_the_users_folder(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    package = Path(sys.modules["pnpovss.densecrf"].__file__ or "").parent / "__pycache__"
    mode = package.stat().st_mode
    package.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        _first_call({"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)})
    finally:
        package.chmod(mode)
    assert any(tmp_path.rglob("*.nbi"))


@pytest.mark.slow
def test_largest_image_in_bounded_memory() -> None:
    import resource

    image, probabilities = scene(3000, 4000, 3)
    result = DenseCRF(image).infer(probabilities=probabilities, iterations=2)
    assert np.isfinite(result.q).all()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < 8 * 2**30
