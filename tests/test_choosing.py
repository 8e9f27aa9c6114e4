"""The commands that settings are chosen by: what they put together is what the package does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.boxes import Thing, change
from benchmarks.looks import EVERY, FEW, MANY, WAYS, Way, judge_ways, put_together, see
from pnpovss import Segmenter
from pnpovss.inputs import prepare

CAT = Path(__file__).parents[1] / "examples" / "cat.jpg"
THINGS = [Thing("cat", ((0.1, 0.1, 0.9, 0.9),), 0.4), Thing("sofa", (), 0.0)]


def test_looks_that_were_kept_give_the_maps_that_the_package_makes():
    image = Image.open(CAT).convert("RGB")
    settings = {"dropout.passes": 4, "dropout.drop": 0.05}
    segmenter = Segmenter.from_pretrained("mini", device="cpu", settings=settings, without=["presence", "views"])
    plain = segmenter.replace(config=segmenter.config.without("dropout", "gradcam"))
    seen = see(segmenter, plain, image, THINGS)
    presets = {"default": Way(FEW), "best": Way(MANY)}
    for preset, way in presets.items():
        own = Segmenter.from_pretrained("mini", device="cpu", preset=preset, without=["presence"])
        inputs = prepare(image, ["cat", "sofa"], own.backbone.card, own.config)
        [explained] = own.explain([inputs])
        torch.testing.assert_close(put_together(seen, way), explained.names, atol=2e-3, rtol=2e-3)  # kept as float16
    passes = put_together(seen, Way(EVERY[:1], 4))
    [four] = segmenter.explain([prepare(image, ["cat", "sofa"], segmenter.backbone.card, segmenter.config)])
    torch.testing.assert_close(passes, four.names / 4, atol=2e-3, rtol=2e-3)
    ways = {key: WAYS[key] for key in list(WAYS)[:2]}
    judged = judge_ways(seen, segmenter.config, ways)
    assert [[each.name for each in own] for own in judged.values()] == [["cat"], ["cat"]]
    same = [judged[key] for key in ways]
    assert change(same, same) == "+0.0 (0.0 to 0.0)"


@pytest.mark.extra("training")
def test_a_fit_finds_the_weights_that_the_names_were_drawn_by():
    from benchmarks.presence_choose import fit, weighed_anew  # scikit-learn is in that extra

    random = np.random.default_rng(0)
    weighed = random.normal(size=(500, 20, 4))
    true = np.array([2.0, 0.0, -1.0, 0.5, -1.5])
    odds = weighed @ true[:4] + true[4]
    there = random.random(odds.shape) < 1 / (1 + np.exp(-odds))
    np.testing.assert_allclose(fit(weighed, there), true, atol=0.2)
    scores = weighed_anew(weighed, there)
    assert scores[there].mean() > scores[~there].mean() + 0.2
    assert scores.mean() == pytest.approx(there.mean(), abs=0.02)
