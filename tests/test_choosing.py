"""The commands that settings are chosen by: what they put together is what the package does."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import views
from benchmarks.boxes import Thing, change
from benchmarks.looks import EVERY, FEW, MANY, WAYS, Way, judge_ways, put_together, see
from pnpovss import Segmenter
from pnpovss.inputs import prepare
from training.wordnet import WordNet

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


@pytest.mark.extra("training")
def test_a_noun_is_there_where_two_captions_say_it_and_in_doubt_beside_its_kin(tmp_path: Path):
    from benchmarks.words_choose import known_nouns, precisions  # scikit-learn is in that extra

    (tmp_path / "data.noun").write_text(
        "00000001 03 n 01 animal 0 000 | a living thing\n"
        "00000002 05 n 01 dog 0 001 @ 00000001 n 0000 | a pet\n"
        "00000003 05 n 01 cat 0 001 @ 00000001 n 0000 | another\n"
    )
    (tmp_path / "index.noun").write_text(
        "animal n 1 1 ~ 1 1 00000001\ncat n 1 1 @ 1 1 00000003\ndog n 1 1 @ 1 1 00000002\n"
    )
    (tmp_path / "noun.exc").write_text("")
    shown = [Counter(dog=2)] * 4 + [Counter(cat=5)] * 4 + [Counter(animal=1), Counter(dog=1), Counter(lobster=5)]
    nouns, labels = known_nouns(shown + [Counter(lobster=5)] * 3, WordNet(tmp_path))
    assert nouns == ["cat", "dog"]  # the lobster is held out of training; no two captions say animal
    assert labels[:, 0].tolist() == [-1] * 4 + [1] * 4 + [0, -1, -1] + [-1] * 3
    assert labels[:, 1].tolist() == [1] * 4 + [-1] * 4 + [0, 0, -1] + [-1] * 3
    scores = labels.astype(float)
    scores[8] = 2.0  # nobody knows of either
    assert precisions(scores, labels).tolist() == [1, 1]


def test_results_of_two_weights_are_not_put_together(tmp_path: Path):
    record = {"arms": {}, "names": {}, "truth": [0]}
    first, second = (tmp_path / f"views-voc2012-{number}of2.jsonl" for number in range(2))
    first.write_text(json.dumps({**record, "key": "a", "weights": "one"}) + "\n")
    second.write_text(json.dumps({**record, "key": "b", "weights": "one"}) + "\n")
    assert [each["key"] for each in views.read(tmp_path, "voc2012")] == ["a", "b"]
    second.write_text(json.dumps({**record, "key": "b", "weights": "other"}) + "\n")
    with pytest.raises(SystemExit, match="weights other, not of one: give --runs another folder"):
        views.read(tmp_path, "voc2012")


def test_a_record_that_a_kill_cut_off_is_measured_again(tmp_path: Path):
    out = tmp_path / "views-voc2012-0of1.jsonl"
    views.cut_to_lines(out)
    assert not out.exists()
    for left, kept in (('{"key": "a"}\n{"key": "b', ["a"]), ('{"key": "a"}\n{"key": "b"}\n', ["a", "b"]), ('{"k', [])):
        out.write_text(left)
        views.cut_to_lines(out)
        assert [each["key"] for each in views.read_records([out])] == kept
