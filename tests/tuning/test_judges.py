"""CLIP and SigLIP as judges, and models that are read otherwise than by their names: random weights, real loading."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pnpovss
from pnpovss.backbones.base import Card, LoadOptions
from pnpovss.backbones.dual_encoder import DualEncoder, load_dual_encoder
from pnpovss.config import Config
from pnpovss.errors import ConfigError
from pnpovss.images import load_image
from pnpovss.names import parse_names
from pnpovss.segmenter import Segmenter
from pnpovss.tuning import judges
from pnpovss.tuning.collect import collect
from pnpovss.tuning.judges import DualJudge, make_judge
from pnpovss.tuning.photos import TuningPhotos
from pnpovss.tuning.tune import tune
from tests.support.dual_checkpoints import END, START, TEXT, WORDS
from tests.support.dual_encoders import MEAN, PREPROCESSING, STD, save_dual_encoder
from tests.support.tuning import TwoHeads, two_heads

EXAMPLES = Path(__file__).parents[2] / "examples"
PAIRS = [(EXAMPLES / "cat.jpg", ["cat", "sofa"]), (EXAMPLES / "dog.jpg", ["dog", "plant"])]
FILTER = {
    "clip": Image.Resampling.BICUBIC,
    "siglip": Image.Resampling.BILINEAR,
    "tipsv2": Image.Resampling.BILINEAR,
}
NORMAL = {"clip": (MEAN, STD), "siglip": (MEAN, STD), "tipsv2": ([0.5] * 3, [0.5] * 3)}


def judge_of(folder: Path, kind: str) -> DualJudge:
    tuned = Segmenter(two_heads(), Config.preset("default"))
    judge = make_judge(f"{kind}:{folder}", tuned.backbone, tuned.config, "a {}")
    assert isinstance(judge, DualJudge)
    return judge


def ids_of(kind: str, word: str) -> list[int]:
    if kind == "clip":
        return [START, WORDS.index("a"), WORDS.index(word), END]
    ids = [WORDS.index("a"), WORDS.index(word)]
    if kind == "tipsv2":
        return ids
    ids += [END]
    return ids + [0] * (TEXT["max_position_embeddings"] - len(ids))


@pytest.mark.parametrize("kind", ["clip", "siglip", "tipsv2"])
def test_a_judge_says_what_its_model_says_of_a_photo_seen_in_part(tmp_path: Path, kind: str) -> None:
    model, judge = save_dual_encoder(tmp_path, kind, PREPROCESSING[kind]), judge_of(tmp_path, kind)
    image = load_image(EXAMPLES / "dog.jpg").crop((0, 0, 300, 200))  # nothing of a long photo is cut off
    squeezed = np.asarray(image.resize((32, 32), FILTER[kind]), np.float32) / 255
    mean, std = NORMAL[kind]
    by_hand = torch.tensor((squeezed - np.array(mean)) / np.array(std)).permute(2, 0, 1).float()
    pixels = judge.pixels(image)
    assert torch.allclose(pixels, by_hand, atol=1e-5)
    mask = torch.zeros(32, 32)
    mask[4:20, 8:] = 1
    seen = torch.stack([pixels, pixels * mask])
    logits = judge.logits(seen, parse_names(["cat", ["sofa", "couch"], "dog"]))
    bias = model.logit_bias if kind == "siglip" else 0
    given = seen * 0.5 + 0.5 if kind == "tipsv2" else seen  # it takes values in [0, 1]
    with torch.no_grad():
        said = {
            word: model(input_ids=torch.tensor([ids_of(kind, word)]), pixel_values=given).logits_per_image[:, 0] - bias
            for word in ("cat", "sofa", "couch", "dog")
        }
    expected = torch.stack([said["cat"], torch.maximum(said["sofa"], said["couch"]), said["dog"]], 1)
    assert torch.allclose(logits, expected, atol=1e-4)
    assert re.match(rf"{kind}:{re.escape(str(tmp_path))}@[0-9a-f]{{8}}, ", judge.key)
    assert not judge.is_the_model_itself


@pytest.mark.parametrize("kind", ["siglip", "tipsv2"])
def test_a_checkpoint_of_another_kind_than_was_said_is_refused_and_taken_as_advised(tmp_path: Path, kind: str) -> None:
    save_dual_encoder(tmp_path, kind, PREPROCESSING[kind])
    with pytest.raises(ConfigError, match=f"is a {kind} checkpoint; write --judge {kind}:{tmp_path}"):
        judge_of(tmp_path, "clip")
    assert judge_of(tmp_path, kind).key.startswith(f"{kind}:")
    with pytest.raises(ConfigError, match="unknown judge 'clip:'"):
        make_judge("clip:", two_heads(), Segmenter(two_heads(), Config.preset("default")).config)


@pytest.mark.parametrize("read", ["answer", "legrad"])
def test_what_is_collected_is_what_the_method_will_read(tmp_path: Path, read: str) -> None:
    save_dual_encoder(tmp_path, "clip", PREPROCESSING["clip"])
    segmenter = Segmenter.from_pretrained(str(tmp_path), settings={"read": read})
    photos, folder = TuningPhotos.of(PAIRS), tmp_path / "run"
    folder.mkdir()
    collected = collect(segmenter, photos, folder)
    assert len(collected.heads) > 4
    for number, (layer, head) in enumerate(collected.heads):
        config = segmenter.config.without("presence", "dropout", "crf").replace({"layer": layer, "head": head})
        result = segmenter.replace(config=config)(*PAIRS[0])
        assert np.allclose(collected.heat(0)[number], result.heatmaps.names, rtol=2e-3, atol=1e-9)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_another_model_judges_and_the_file_says_which_and_how_the_model_was_read(tmp_path: Path, kind: str) -> None:
    own, other, out = (tmp_path / name for name in ("own", "other", "run"))
    save_dual_encoder(own, "clip", PREPROCESSING["clip"])
    save_dual_encoder(other, kind, PREPROCESSING[kind])
    segmenter = Segmenter.from_pretrained(str(own), settings={"read": "legrad"})
    every = segmenter.config.all_heads
    assert len(every) > 4
    tuned = tune(segmenter, PAIRS, out, judge=f"{kind}:{other}", thresholds=[0.2, 0.4], report=False)
    assert tuned.judge.startswith(f"{kind}:{other}@")
    assert not tuned.judged_itself
    loaded = pnpovss.Segmenter.from_pretrained(str(own), preset=str(out / "tuned.json"))
    assert loaded.config.read == "legrad"
    assert loaded.config.threshold == tuned.settings["threshold"]
    heads = [tuple(each) for each in tuned.settings.get("heads") or []]
    assert list(loaded.config.all_heads) == (heads or [(tuned.settings["layer"], tuned.settings["head"])])
    tried = (out / "cells.csv").read_text()
    assert f"mean of {every[0][0]}.{every[0][1]}, " in tried  # how it was read before is one of the candidates


def test_a_judge_computes_where_the_model_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_dual_encoder(tmp_path / "judge", "clip", PREPROCESSING["clip"])
    place, asked = torch.device("cpu", 0), []  # on any machine, and another than "cpu", which is the default

    class Placed(TwoHeads):
        @property
        def card(self) -> Card:
            return replace(super().card, device=place)

    def load(name: str, options: LoadOptions | None = None) -> DualEncoder:
        asked.append(None if options is None else options.device)
        return load_dual_encoder(name, options)

    monkeypatch.setattr(judges, "load_dual_encoder", load)
    segmenter = Segmenter(Placed(two_heads().attention, heads={0: 2}, grid=4, name="fake"))
    tune(segmenter, PAIRS, tmp_path / "run", judge=f"clip:{tmp_path / 'judge'}", report=False)
    assert asked == [place]
