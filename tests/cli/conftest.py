"""A program to call, with a model whose attention is set by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from fakes import colour_backbone, fake_spec
from pnpovss.backbones import base
from pnpovss.cli.main import app

Call = Callable[..., Result]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run the program in an empty folder; "fake" is a model that knows red, green and blue."""
    monkeypatch.setitem(base._registry, "fake", fake_spec(colour_backbone()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """flag.png, 32 x 32: red left, blue right."""
    return save_flag(tmp_path / "flag.png")


def save_flag(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, :16, 0] = 255
    pixels[:, 16:, 2] = 255
    Image.fromarray(pixels).save(path)
    return path


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
