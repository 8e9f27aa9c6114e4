"""The segmenting model as a judge, checked by hand on a backbone whose match logits are sums of attention."""

import math
from dataclasses import replace

import pytest
import torch
from PIL import Image

from pnpovss.backbones.base import is_contrastive
from pnpovss.backbones.shared import share_encodings
from pnpovss.config import Config
from pnpovss.errors import PresenceError
from pnpovss.matching import BATCH, match_and_attention, single_prompts
from pnpovss.names import Name
from pnpovss.presence import Photo, make_presence
from pnpovss.segmenter import Segmenter
from tests.support.apple import apple
from tests.support.checkpoints import SMALL
from tests.support.fakes import FakeBackbone

PHOTO = Image.new("RGB", (16, 16), "white")
# Logits: cat 2, dog -1 (by its bias in the grid), sofa 0, couch 3.
MATCHES = {"cat": [[2, 0], [0, 0]], "dog": [[-1, 0], [0, 0]], "couch": [[1, 1], [1, 0]]}
NAMES = (Name("cat"), Name("dog"), Name("sofa", ("couch",)))


COSINES = {"cat": 0.3, "dog": 0.27, "sofa": 0.1, "couch": 0.2}


class CountingBackbone(FakeBackbone):
    """Also counts what it is asked."""

    matched: tuple[int, ...] = ()
    tokenized: int = 0

    def tokenize(self, text):
        self.tokenized += 1
        return super().tokenize(text)

    def match(self, features, prompts, reading=None):
        assert len(features) == 1
        assert reading is None
        self.matched = (*self.matched, len(prompts[0]))
        return super().match(features, prompts, reading)


class ContrastiveBackbone(FakeBackbone):
    """Cosines by word."""

    asked: tuple[int, ...] = ()

    def embed_texts(self, texts):
        self.asked = (*self.asked, len(texts))
        return torch.tensor([[c, math.sqrt(1 - c * c)] for c in (COSINES[t.pieces[4]] for t in texts)])

    def embed_images(self, features):
        return torch.tensor([[1.0, 0.0]]).expand(len(features), 2)


class AppleBackbone(ContrastiveBackbone):
    """Answers from a device that has no float64."""

    def embed_images(self, features):
        return apple(super().embed_images(features))

    def match(self, features, prompts, reading=None):
        found = super().match(features, prompts, reading)
        maps = tuple(replace(seen, attention=apple(seen.attention)) for seen in found.maps)
        return replace(found, probability=tuple(map(apple, found.probability)), maps=maps)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_itm_by_hand():
    assert make_presence("itm", backbone=FakeBackbone(MATCHES)).key == "itm:0.9"
    filter = make_presence("itm:0.5", backbone=FakeBackbone(MATCHES))
    decided = filter.decide(Photo(PHOTO), NAMES)
    # A synonym that matches carries its name.
    assert decided.scores == pytest.approx((sigmoid(2), sigmoid(-1), sigmoid(3)))
    assert decided.kept == (0, 2)
    assert make_presence("itm:0.9", backbone=FakeBackbone(MATCHES)).decide(Photo(PHOTO), NAMES).kept == (2,)
    assert make_presence("itm:0.99", backbone=FakeBackbone(MATCHES)).decide(Photo(PHOTO), NAMES).kept == (
        2,
    )  # the best


def test_171_names_cost_one_image_pass_and_are_read_once():
    backbone = CountingBackbone(MATCHES)
    names = tuple(Name(f"thing{i}") for i in range(171))
    filter = make_presence("itm", backbone=backbone)
    scores = [filter.decide(Photo(PHOTO), names).scores for _ in range(2)]
    assert len(backbone.encoded) == 2  # one a photo
    assert backbone.matched == (BATCH, BATCH, 171 - 2 * BATCH) * 2
    assert scores[0] == scores[1]
    read = backbone.tokenized
    filter.decide(Photo(PHOTO), names)
    assert backbone.tokenized == read
    filter.decide(Photo(PHOTO), NAMES)  # another vocabulary is read anew
    assert backbone.tokenized > read
    assert filter.report() == {"photos": 4}


def test_scores_do_not_depend_on_the_rest_of_the_vocabulary():
    filter = make_presence("itm", backbone=FakeBackbone(MATCHES))
    alone = [filter.decide(Photo(PHOTO), (name,)).scores[0] for name in NAMES]
    assert filter.decide(Photo(PHOTO), NAMES).scores == pytest.approx(alone)


def test_the_size_is_that_of_the_segmenter():
    backbone = FakeBackbone(MATCHES)
    make_presence("itm", backbone=backbone).decide(Photo(PHOTO), NAMES)
    constant = FakeBackbone({word: lambda patches: patches.sum(-1) for word in ("cat", "dog")})
    config = Config(image_size=32, keep_aspect=True)
    make_presence("itm", backbone=constant, config=config).decide(Photo(Image.new("RGB", (40, 10))), NAMES[:2])
    assert [tuple(pixels.shape) for pixels in (*backbone.encoded, *constant.encoded)] == [
        (1, 3, 16, 16),
        (1, 3, 16, 64),
    ]


@pytest.mark.parametrize("key", ["itm", "itc", "itm+itc", "itm+itc+attention"])
def test_names_are_written_as_the_segmenter_writes_them(key):
    asked = []

    class Noting(ContrastiveBackbone):
        def tokenize(self, text):
            asked.append(text)
            return super().tokenize(text)

        def embed_texts(self, texts):
            return torch.tensor([[1.0, 0.0]]).expand(len(texts), 2)

    backbone = Noting({"pottedplant": [[0.5, 0], [0, 0]], "potted": [[0.5, 0], [0, 0]]})
    for squash, wanted in ((True, "A picture of pottedplant"), (False, "A picture of potted plant")):
        asked.clear()
        config = Config(squash_names=squash)
        make_presence(key, backbone=backbone, config=config).decide(Photo(PHOTO), [Name("potted plant")])
        assert set(asked) == {wanted}


def test_itc_by_hand():
    filter = make_presence("itc:within0.05", backbone=ContrastiveBackbone())
    decided = filter.decide(Photo(PHOTO), NAMES)
    assert decided.scores == pytest.approx((0.3, 0.27, 0.2))
    assert decided.kept == (0, 1)
    assert make_presence("itc:top1", backbone=ContrastiveBackbone()).decide(Photo(PHOTO), NAMES).kept == (0,)


def test_itc_embeds_the_texts_of_a_vocabulary_once():
    backbone = ContrastiveBackbone()
    filter = make_presence("itc", backbone=backbone)
    for _ in range(3):
        filter.decide(Photo(PHOTO), NAMES)
    assert backbone.asked == (4,)
    filter.decide(Photo(PHOTO), NAMES[:1])
    assert backbone.asked == (4, 1)


def test_both_heads_by_hand():
    backbone = ContrastiveBackbone(MATCHES)
    filter = make_presence("itm+itc", backbone=backbone)
    decided = filter.decide(Photo(PHOTO), NAMES)
    # Log odds 2, -1 and 3 (couch), cosines 0.3, 0.27 and 0.2; the same in the mirror image, since attention is set.
    expected = [sigmoid((2 * odds - 3) / 4 + 4 * (cosine - 0.3)) for odds, cosine in ((2, 0.3), (-1, 0.27), (3, 0.2))]
    assert decided.scores == pytest.approx(expected, abs=1e-6)
    assert decided.kept == (0, 2)
    assert filter.key == "itm+itc:0.5"
    assert [len(pixels) for pixels in backbone.encoded] == [2]  # the photo and its mirror image at once


def test_both_heads_are_the_mean_of_the_photo_and_its_mirror_image():
    left = FakeBackbone({"cat": lambda patches: patches[..., 0] * torch.tensor([[1.0, 0], [1, 0]])}, grid=2)
    left.__class__ = ContrastiveBackbone
    halves = Image.new("RGB", (16, 16), "black")
    halves.paste("white", (0, 0, 8, 16))  # log odds 2 as it is, -2 in the mirror image: 0 on average
    score = make_presence("itm+itc", backbone=left).decide(Photo(halves), NAMES[:1]).scores[0]
    assert score == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("key", ["itm+itc", "itm+itc+attention"])
def test_a_model_on_a_device_without_float64_is_asked_like_any(key):
    looks = {"cat": [[0.5, 0.1], [0, 0]], "dog": [[0.1, 0], [0, 0]]}
    there, here = (make_presence(key, backbone=kind(looks)) for kind in (AppleBackbone, ContrastiveBackbone))
    assert there.decide(Photo(PHOTO), NAMES[:2]).scores == here.decide(Photo(PHOTO), NAMES[:2]).scores


def test_attention_on_patches_is_the_mean_of_the_names_tokens_over_all_heads_of_all_layers():
    backbone = FakeBackbone(
        {"potted": [[0.01, 0], [0, 0]], "plant": [[0, 0.02], [0.01, 0]], "picture": [[9, 9], [9, 9]]},
        heads={0: 2, 3: 1},
    )
    features = backbone.encode_images(torch.ones(2, 3, 16, 16))
    _, shares = match_and_attention(backbone, features, single_prompts(backbone, [Name("potted plant"), Name("plant")]))
    # Heads of the first layer see 1 and 2 times what is set, that of the second 11 times.
    scale = (1 + 2 + 11) / 3
    assert shares.tolist() == [pytest.approx([0.02 * scale, 0.03 * scale])] * 2


def test_a_name_that_does_not_look_at_the_photo_is_less_likely_there():
    backbone = ContrastiveBackbone({"cat": [[0.5, 0.1], [0, 0]], "dog": [[0.1, 0], [0, 0]]})
    filter = make_presence("itm+itc+attention", backbone=backbone)
    decided = filter.decide(Photo(PHOTO), NAMES[:2])
    looks = [math.log(share / (1 - share)) for share in (0.6, 0.1)]
    expected = [
        sigmoid(odds / 2 + 2.3 * (cosine - 0.3) + look - 2)
        for odds, cosine, look in ((0.6, 0.3, looks[0]), (0.1, 0.27, looks[1]))
    ]
    assert decided.scores == pytest.approx(expected, abs=1e-6)
    assert filter.key == "itm+itc+attention:0.5"


def test_a_name_does_as_well_as_in_the_mean_of_both_sides_and_its_best_tile():
    # Looks at the left: 0.4 of white and 0.1 of black, so that the mirror image of a half-white photo gives 0.1.
    weights = torch.tensor([[0.5, 0], [0.5, 0]])
    left = FakeBackbone({"cat": lambda patches: weights * (0.25 + 0.15 * patches[..., 0])}, grid=2)
    left.__class__ = ContrastiveBackbone
    halves = Image.new("RGB", (100, 100), "black")
    halves.paste("white", (0, 0, 50, 100))
    score = make_presence("itm+itc+attention", backbone=left).decide(Photo(halves), NAMES[:1]).scores[0]
    white, black = (math.log(share / (1 - share)) for share in (0.4, 0.1))
    looks = ((white + black) / 2 + white) / 2
    odds = ((0.4 + 0.1) / 2 + 0.4) / 2
    assert score == pytest.approx(sigmoid(odds / 2 + looks - 2), abs=1e-3)


def test_a_model_without_a_global_token_cannot_be_asked_where_its_attention_falls():
    backbone = ContrastiveBackbone({"cat": [[0.5, 0.5], [0, 0]], "dog": [[1, 0], [0, 0]]})
    with pytest.raises(PresenceError, match="all attention of 'fake' falls on patches"):
        make_presence("itm+itc+attention", backbone=backbone).decide(Photo(PHOTO), NAMES[:2])


def test_more_names_than_are_matched_at_once_have_their_scores_in_order():
    words = {f"w{i}": [[i / 1000, 0], [0, 0]] for i in range(BATCH + 2)}
    backbone = FakeBackbone(words)
    features = backbone.encode_images(torch.ones(1, 3, 16, 16))
    prompts = single_prompts(backbone, [Name(word) for word in words])
    matches, shares = match_and_attention(backbone, features, prompts)
    assert shares[0].tolist() == pytest.approx([i / 1000 for i in range(BATCH + 2)])
    assert matches[0].tolist() == pytest.approx([sigmoid(i / 1000) for i in range(BATCH + 2)])


@pytest.mark.parametrize("key", ["itc", "itm+itc"])
def test_a_wrapped_model_is_asked_like_the_model(key):
    plain = ContrastiveBackbone(MATCHES)
    wrapped = share_encodings(plain)
    assert not hasattr(type(wrapped), "embed_texts")  # passed on, which isinstance overlooks from Python 3.12 on
    assert is_contrastive(wrapped)
    decided, wanted = (make_presence(key, backbone=own).decide(Photo(PHOTO), NAMES) for own in (wrapped, plain))
    assert decided == wanted
    assert not is_contrastive(share_encodings(FakeBackbone()))


def test_itc_needs_contrastive_heads():
    with pytest.raises(PresenceError, match="'fake' has no contrastive heads"):
        make_presence("itc", backbone=FakeBackbone()).decide(Photo(PHOTO), NAMES)


def test_a_model_is_asked_in_its_own_words(tmp_path):
    """A decoder answers questions; "A picture of cat" is none."""
    folder = SMALL["smolvlm"].save(tmp_path)
    segmenter = Segmenter.from_pretrained(folder, settings={"presence.above": 0.0})
    side = segmenter.backbone.card.recommended.image_size
    photo = Image.new("RGB", (side, side), "teal")
    asked = make_presence("itm", backbone=segmenter.backbone).decide(Photo(photo), NAMES)
    assert asked.scores == segmenter(photo, NAMES).name_match
