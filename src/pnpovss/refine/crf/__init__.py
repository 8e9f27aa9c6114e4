"""Dense CRF."""

from pnpovss.refine.crf.model import CRFResult, DenseCRF
from pnpovss.refine.crf.terms import Bilateral, Gaussian

__all__ = ["Bilateral", "CRFResult", "DenseCRF", "Gaussian"]
