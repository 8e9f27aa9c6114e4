import re
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pnpovss.cli.settings import parse_settings
from pnpovss.config import PRESETS, STEPS, Config
from pnpovss.hints.advice import for_fragments, for_jagged, for_over, for_under
from pnpovss.hints.looks_like import looks_like
from pnpovss.segmenter import Segmenter
from tests.support.fakes import FakeBackbone
from tests.support.masks import box
from tests.support.results import labelled


def segment(attention, names, **settings):
    backbone = FakeBackbone(attention, grid=8)
    steps = [step for step in ("dropout", "blur", "crf") if step not in settings]
    config = Config.preset("default", settings).without(*steps)
    return Segmenter(backbone, config)(Image.new("RGB", (160, 160), (90, 120, 70)), names)


def grid(*cells):
    values = np.zeros((8, 8), np.float32)
    for rows, columns in cells:
        values[rows, columns] = 1
    return values.tolist()


def test_a_sound_result_is_not_suspected():
    result = segment({"cat": grid((slice(1, 4), slice(1, 4))), "dog": grid((slice(4, 7), slice(4, 7)))}, ["cat", "dog"])
    assert looks_like(result) == []


def test_a_mask_over_the_whole_photo():
    [line] = looks_like(segment({"cat": np.ones((8, 8)).tolist()}, ["cat"]))
    assert line.startswith("looks like over-segmentation: 'cat' covers 100% of the photo")
    assert "--set threshold" in line


def test_a_name_that_is_not_there():
    [line] = looks_like(segment({"cat": grid((slice(1, 4), slice(1, 4)))}, ["cat", "dog"]))
    assert line.startswith("'dog' was hardly found anywhere")


def test_heat_beyond_the_mask():
    heat = np.full((8, 8), 0.3, np.float32)
    heat[2:4, 2:4] = 1.0
    [line] = looks_like(segment({"cat": heat.tolist()}, ["cat"], threshold=0.5))
    assert line.startswith("looks like under-segmentation: the model looks beyond the mask of 'cat'")


def test_names_that_light_up_the_same_places():
    same = grid((slice(1, 5), slice(1, 5)))
    lines = looks_like(segment({"cat": same, "dog": same}, ["cat", "dog"]))
    assert any(line.startswith("looks like confusion: 'cat' and 'dog' light up the same places") for line in lines)


def with_teeth(**settings):
    result = segment({"cat": grid((slice(1, 7), slice(1, 7)))}, ["cat"], **settings)
    ragged = box(60, 20, 140, 140, side=160)
    for column in range(20, 140, 4):
        ragged |= box(30, column, 60, column + 2, side=160)
    labels = ragged.astype(np.uint8)
    return replace(result, labels=labels)


ON = {"blur": {"sigma": 0.05}, "crf": {"gaussian_compat": 7}}


@pytest.mark.parametrize(
    ("settings", "told", "untold"),
    [
        ({}, ["the blur is off", "--set blur.sigma=0.05"], ["CRF", "more"]),
        ({"blur": ON["blur"]}, ["--set blur.sigma=0.08"], ["CRF", "turn"]),
        ({"crf": ON["crf"]}, ["--set crf.gaussian_compat=21", "--set crf.bilateral_compat=5"], ["blur", "turn"]),
        (ON, ["--set crf.gaussian_compat=21"], ["blur", "off", "turn"]),
        ({**ON, "crf": {"gaussian_compat": 90}}, ["--set crf.bilateral_compat=5"], ["blur", "gaussian"]),
    ],
)
def test_an_outline_with_teeth(settings, told, untold):
    [line] = [line for line in looks_like(with_teeth(**settings)) if "jagged" in line]
    assert line.startswith("looks jagged: the outline of 'cat'")
    for text in told:
        assert text in line
    for text in untold:
        assert text not in line


def suggested(line):
    """The settings in a line, as the command line reads them."""
    return parse_settings(re.findall(r"--set (\S+?)(?=[),\s]|$)", line))


@pytest.mark.parametrize("make", [for_over, for_under, for_jagged, for_fragments])
@pytest.mark.parametrize(
    "config",
    [
        *PRESETS.values(),
        *(Config().without(step) for step in STEPS),
        Config().without(*STEPS),
        Config().replace({"threshold": 0.95, "blur.sigma": 1, "crf.gaussian_compat": 500, "dropout.passes": 100}),
        Config().replace({"threshold": 0.0, "crf.gaussian_compat": 0}),
    ],
    ids=lambda config: None,
)
def test_what_is_suggested_can_be_set_and_changes_something(make, config):
    settings = suggested(make(config))
    for name, value in settings.items():
        if name != "dropout.weights":  # goes with the passes
            assert config.replace({name: value, **({"dropout.weights": None} if "passes" in name else {})}) != config
    assert (config.replace(settings) != config) is bool(settings)  # all together, too
    assert make(config)


def test_a_threshold_is_told_from_the_one_that_was_used():
    assert "threshold=0.3)" in for_over(Config())
    assert "threshold=0.45)" in for_over(Config().replace({"threshold": 0.3}))
    assert "threshold=0.1)" in for_under(Config())
    assert "threshold" not in for_under(Config().replace({"threshold": 0.0}))
    assert for_over(Config().replace({"threshold": 0.9})) == "name what else is in the photo"


def test_large_label_maps_cost_little():
    """On 12 megapixels the outlines of three names took 17 CPU seconds; what is told is the same."""
    labels = np.zeros((3000, 4000), np.uint8)
    labels[300:1200, 400:1400] = 1
    for left in range(400, 2900, 240):
        labels[1500:2900, left : left + 80] = 2
    start = time.process_time()
    lines = looks_like(labelled(labels, ["cat", "grass"]))
    assert time.process_time() - start < 5
    assert lines == looks_like(labelled(labels[::4, ::4], ["cat", "grass"]))
    assert any("'grass' is in 11 pieces" in line for line in lines)
