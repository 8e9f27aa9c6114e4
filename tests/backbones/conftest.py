"""A checkpoint to spoil."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint `whole` of the test's module."""
    return Path(shutil.copytree(whole, tmp_path / "checkpoint"))
