"""The filter over a dual encoder of random weights, loaded as real checkpoints are."""

import re

import pytest
import torch

from pnpovss.backbones.dual_encoder import load_dual_encoder
from pnpovss.names import Name
from pnpovss.presence import Photo, make_presence
from pnpovss.presence.clip import Clip
from tests.support.damage import reweigh
from tests.support.dual_encoders import PREPROCESSING, logits_by_hand, photo, save_dual_encoder

NAMES = (Name("cat"), Name("sofa", ("couch",)), Name("dog"))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    made = {}
    for kind, preprocessing in PREPROCESSING.items():
        folder = tmp_path_factory.mktemp(kind)
        made[kind] = folder, save_dual_encoder(folder, kind, preprocessing)
    return made


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_scores_are_those_of_the_whole_model(checkpoints, kind):
    folder, model = checkpoints[kind]
    filter = make_presence(f"clip:{folder}")
    decided = filter.decide(Photo(photo()), NAMES)
    logits = logits_by_hand(model, kind)
    best = torch.tensor([logits["cat"], max(logits["sofa"], logits["couch"]), logits["dog"]])
    expected = best.softmax(0) if kind == "clip" else best.sigmoid()
    assert decided.scores == pytest.approx(expected.tolist(), abs=1e-5)
    assert decided.kept == filter.rule.keep(decided.scores)
    assert re.fullmatch(rf"clip:{re.escape(str(folder))}@[0-9a-f]{{8}}:0\.1", filter.key)


def test_the_key_tells_weights_that_were_trained_on(tmp_path):
    save_dual_encoder(tmp_path, "clip", PREPROCESSING["clip"])
    before = make_presence(f"clip:{tmp_path}").key
    assert make_presence(f"clip:{tmp_path}").key == before
    reweigh(tmp_path, lambda weights: weights.update(logit_scale=weights["logit_scale"] + 1))
    assert make_presence(f"clip:{tmp_path}").key != before


def test_the_texts_of_a_vocabulary_are_encoded_once(checkpoints, monkeypatch):
    encoder = load_dual_encoder(str(checkpoints["clip"][0]))
    calls, embed = [], encoder.embed_texts
    monkeypatch.setattr(encoder, "embed_texts", lambda texts: calls.append(len(texts)) or embed(texts))
    filter = Clip(encoder)
    filter.decide(Photo(photo()), NAMES)
    filter.decide(Photo(photo(64, 20)), NAMES)
    assert calls == [4]
    filter.decide(Photo(photo()), NAMES[:1])
    assert calls == [4, 1]
    assert filter.report() == {"photos": 3}
