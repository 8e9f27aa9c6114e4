"""A program to call, with a model whose attention is set by hand; imported by the conftest of folders that call it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pnpovss.backbones import registry
from pnpovss.cli.main import app
from pnpovss.datasets.base import Dataset
from tests.support.fakes import FakeBackbone, colour_backbone, fake_spec
from tests.support.program_calls import Call, save_flag


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run the program in an empty folder; "fake" is a model that knows red, green and blue."""
    monkeypatch.setitem(registry._backbones._specs, "fake", fake_spec(colour_backbone()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """flag.png, 32 x 32: red left, blue right."""
    return save_flag(tmp_path / "flag.png")


def program_over(
    monkeypatch: pytest.MonkeyPatch, folder: Path, backbone: FakeBackbone, dataset: Callable[[Path], Dataset]
) -> Callable[..., str]:
    """Run the program in a folder, with the model "fake", and whatever data set is named; gives what it prints."""
    monkeypatch.setitem(registry._backbones._specs, "fake", fake_spec(backbone))
    monkeypatch.setattr("pnpovss.datasets.open_dataset", lambda key, root, protocol, exif: dataset(root))
    monkeypatch.chdir(folder)

    def call(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, list(words))
        assert result.exit_code == code, result.output
        return result.output

    return call
