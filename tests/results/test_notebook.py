"""How a result shows itself in a notebook."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pnpovss import Segmenter
from pnpovss.results.colours import colour
from tests.support.fakes import colour_backbone
from tests.support.program_calls import save_flag


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    return save_flag(tmp_path / "flag.png")


def test_a_result_is_shown_in_a_line_a_picture_and_a_table(flag: Path):
    backbone = colour_backbone()
    segmenter = Segmenter(backbone, Segmenter(backbone).config.without("crf", "presence"))
    result = segmenter(flag, ["red", "<b>", "blue"], present=[0, 2], name_match=True)
    line = repr(result)
    assert line.startswith("<Segmentation of 32 x 32 pixels: red ")
    assert "blue" in line
    picture = np.array(Image.open(io.BytesIO(result._repr_png_())))
    assert tuple(picture[16, 2]) == colour(0)
    assert tuple(picture[16, 30]) == colour(2)
    html = result._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    assert "left out" in html
    assert f"{result.name_match[0]:.2f}" in html
    nothing = segmenter(flag, ["red"], present=[])
    assert repr(nothing) == "<Segmentation of 32 x 32 pixels: nothing found>"
    assert "left out" in nothing._repr_html_()


def test_show_is_a_figure_of_heat_maps(flag: Path):
    segmenter = Segmenter(colour_backbone(), None)
    result = segmenter(flag, ["red", "blue"], present=[0, 1])
    axes = result.show(flag).axes
    assert len(axes) >= 2
