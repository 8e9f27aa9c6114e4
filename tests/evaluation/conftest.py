"""A small data set and a backbone that knows colours."""

import pytest

from pnpovss.datasets.base import Dataset
from pnpovss.segmenter import Segmenter
from tests.support.colours import Oracle, colour_dataset
from tests.support.fakes import colour_backbone


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    return colour_dataset(tmp_path / "data")


@pytest.fixture
def oracle() -> Oracle:
    return Oracle()


@pytest.fixture
def backbone():
    return colour_backbone()


@pytest.fixture
def segmenter(backbone) -> Segmenter:
    return Segmenter(backbone)
