"""SIMD operations against the same in plain numba, and what happens where there are none."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pnpovss.densecrf import DenseCRF, Gaussian
from tests.support.crf_oracles import scene

VARIABLE = "PNPOVSS_DENSECRF_REGISTERS"
CASES = [(30, 41, 2), (30, 41, 7), (20, 23, 18)]  # registers of 4, of 8, and two of 16
INFER = """
import sys
import numpy as np
from pnpovss.densecrf import DenseCRF
from pnpovss.densecrf.numba_.registers import REGISTERS
from tests.support.crf_oracles import scene
from tests.densecrf.test_registers import CASES
assert REGISTERS == "plain"
for number, case in enumerate(CASES):
    image, probabilities = scene(*case)
    np.save(f"{sys.argv[1]}/{number}.npy", DenseCRF(image).infer(probabilities=probabilities).q)
"""


def test_plain_numba_gives_what_simd_gives(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", INFER, str(tmp_path)], env={**os.environ, VARIABLE: "plain"}, check=True)
    for number, case in enumerate(CASES):
        image, probabilities = scene(*case)
        simd, plain = DenseCRF(image).infer(probabilities=probabilities).q, np.load(tmp_path / f"{number}.npy")
        np.testing.assert_allclose(plain, simd, atol=1e-4)
        assert (plain.argmax(axis=0) == simd.argmax(axis=0)).all()


BROKEN = """
import logging, sys
logging.basicConfig()
from numba.core import cgutils
del cgutils.create_struct_proxy
from pnpovss.densecrf.numba_.registers import REGISTERS
print(REGISTERS)
"""


def test_a_numba_without_its_inner_doors_is_told_and_plain_code_runs() -> None:
    done = subprocess.run([sys.executable, "-c", BROKEN], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["plain"]
    assert "compiles no SIMD code of ours, so plain code runs" in done.stderr


def test_an_unknown_kind_is_refused() -> None:
    code = "import pnpovss.densecrf.numba_.registers"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, VARIABLE: "avx"}, capture_output=True, text=True
    )
    assert done.returncode
    assert f"{VARIABLE} must be simd or plain, got 'avx'" in done.stderr


@pytest.mark.parametrize("labels", [1, 4, 5, 8, 9, 16, 17])
def test_padded_labels_take_no_part(labels: int) -> None:
    image, probabilities = scene(9, 11, labels)
    q = DenseCRF(image, [Gaussian(3, 1)]).infer(probabilities=probabilities, iterations=2).q
    assert q.shape == (labels, 9, 11)
    np.testing.assert_allclose(q.sum(axis=0), 1, atol=1e-5)
