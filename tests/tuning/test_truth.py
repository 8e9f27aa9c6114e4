"""The analysis against masks: it follows them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pnpovss.backbones import registry
from pnpovss.config import Config
from pnpovss.datasets.base import Dataset
from pnpovss.segmenter import Segmenter
from pnpovss.tuning.cells import cells_of
from pnpovss.tuning.collect import collect
from pnpovss.tuning.gather import gather
from pnpovss.tuning.truth import cell_counts
from tests.support.colours import COLOURS, colour_dataset, colour_space
from tests.support.fakes import fake_spec
from tests.support.program_calls import Call
from tests.support.tuning import two_heads


def test_masks_that_were_corrected_are_measured_anew(tmp_path: Path) -> None:
    data = colour_dataset(tmp_path / "data", 6)
    photos, segmenter = gather(data.root, dataset=data), Segmenter(two_heads(), Config.preset("default"))
    (tmp_path / "run").mkdir()
    collected, measured = collect(segmenter, photos, tmp_path / "run"), []

    def scores(data: Dataset) -> list[float]:
        measured.clear()
        cells = cells_of([(head,) for head in collected.heads], (0.15, 0.35))
        found = cell_counts(segmenter, collected, photos, cells, data, lambda what, done, of: measured.append(done))
        return [float(each.miou(np.ones((1, len(each))))[0]) for each in found]

    before = scores(data)
    assert (scores(data), measured) == (before, [])
    for sample in data:
        mask = np.asarray(Image.open(sample.mask))
        Image.fromarray(np.roll(mask, 5, axis=1)).save(sample.mask)
    after = scores(data)
    assert len(measured) == len(photos.photos)
    assert after != before
    assert (scores(data), measured) == (after, [])
    without = colour_space(background_id=None, ignored=frozenset({0, 255}))
    assert scores(Dataset(without, data.root, data.samples)) != after


def test_the_program_is_told_how_masks_lie(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._backbones._specs, "fake", fake_spec(two_heads()))
    data, upside_down = colour_dataset(tmp_path / "drawn", 6), Image.Exif()
    upside_down[0x0112] = 3
    for part in ("images", "masks"):
        (tmp_path / "data" / part).mkdir(parents=True)
    (tmp_path / "data/names.txt").write_text("\n".join(["background", *COLOURS]) + "\n")
    for sample in data:
        Image.open(sample.image).save(tmp_path / f"data/images/{sample.key}.jpg", exif=upside_down)
        shutil.copy(sample.mask, tmp_path / f"data/masks/{sample.key}.png")
    command = ["tune", "data", "--dataset", "folder", "--model", "fake", "--judge", "none", "--out", "run"]
    asked = call(*command)
    assert asked.exit_code == 2
    assert "--exif upright or --exif stored" in asked.output
    done = call(*command, "--exif", "stored", "--protocol", "authors", "--truth")
    assert done.exit_code == 0, done.output
    alone = call("tune", "data", "--model", "fake", "--exif", "stored", "--out", "other")
    assert alone.exit_code == 2
    assert "--exif and --protocol say how masks of a data set are read" in alone.output
