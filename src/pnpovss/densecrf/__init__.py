"""A Dense CRF that installs everywhere: numba on the CPU, torch on a GPU.

The fully connected CRF with Gaussian pairwise terms of Krähenbühl and Koltun (2011), as `pydensecrf` computes it. It
stands on its own: nothing else of this package is imported but its exceptions.

    from pnpovss.densecrf import Bilateral, DenseCRF, Gaussian

    crf = DenseCRF(photo, [Gaussian(sxy=3, compat=7), Bilateral(sxy=50, srgb=5, compat=10)])   # uint8 (h, w, 3)
    result = crf.infer(probabilities=softmax, iterations=10)                                   # float32 (C, h, w)
    result.q       # float32 (C, h, w): probability of each label
    result.labels  # int32 (h, w): the most probable one

`infer_batch` does the same for several images of one size. `docs/crf.md` tells how it works, what it needs and how it
compares.
"""

from pnpovss.densecrf.batch import infer_batch
from pnpovss.densecrf.densecrf import Backend, CRFResult, DenseCRF
from pnpovss.densecrf.terms import Bilateral, Gaussian, Term

__all__ = ["Backend", "Bilateral", "CRFResult", "DenseCRF", "Gaussian", "Term", "infer_batch"]
