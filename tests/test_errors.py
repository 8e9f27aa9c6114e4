"""The errors of this package."""

import pickle

import pytest

from pnpovss import errors
from pnpovss.errors import MissingExtraError, PnpOvssError
from pnpovss.images.files import DamagedPhoto

KINDS = [getattr(errors, name) for name in errors.__all__ if name != "MissingExtraError"]
ERRORS = [*(kind("why") for kind in KINDS), MissingExtraError("a photo", "heif"), DamagedPhoto("it", ValueError("why"))]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_stay_what_they_are_in_another_process(error: PnpOvssError):
    there = pickle.loads(pickle.dumps(error))
    assert type(there) is type(error)
    assert (str(there), there.page, vars(there)) == (str(error), error.page, vars(error))
