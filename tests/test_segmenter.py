from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pnpovss import matching
from pnpovss.backbones import registry
from pnpovss.backbones.base import Match, Reading, TextTokens
from pnpovss.backbones.parts.text_side import PatchTokens
from pnpovss.config import Config, Settings, ViewSettings
from pnpovss.errors import ConfigError, ImageError, ModelError, NamesError, UnknownModelError
from pnpovss.heads import look_with_all_heads
from pnpovss.inputs import _indices, input_size, prepare
from pnpovss.saliency.views import views_of
from pnpovss.segmenter import Segmenter
from tests.support.fakes import FakeBackbone, colour_backbone, fake_spec

CAT_AND_DOG = {"cat": [[9, 4], [0, 0]], "dog": [[0, 0], [0, 8]]}
GREY = np.full((2, 2, 3), 200, np.uint8)


def by_hand(passes: int = 1, **settings: Any) -> Config:
    """Threshold 0.5, the strongest patch dropped each round, rounds summed, nothing after that."""
    chosen = {"dropout.passes": passes, "dropout.drop": 1, "threshold": 0.5, **settings}
    return Config.preset("default", chosen).without("presence", "blur", "crf")


@pytest.mark.parametrize(("passes", "labels"), [(1, [[1, 0], [0, 2]]), (2, [[1, 1], [0, 2]])])
def test_salience_dropout_finds_the_rest_of_the_cat(passes: int, labels: list[list[int]]) -> None:
    segmentation = Segmenter(FakeBackbone(CAT_AND_DOG), by_hand(passes))(GREY, ["cat", "dog"])
    assert segmentation.labels.tolist() == labels
    assert segmentation.labels.dtype == np.uint8


def test_gradcam_keeps_only_what_speaks_for_a_match() -> None:
    backbone = FakeBackbone(CAT_AND_DOG, gradients={"cat": [[-1, 2], [1, 1]]})
    on = Segmenter(backbone, by_hand())(GREY, ["cat", "dog"])
    off = Segmenter(backbone, by_hand(gradcam=False))(GREY, ["cat", "dog"])
    assert on.heatmaps.names[0].tolist() == [[0, 8], [0, 0]]
    assert off.heatmaps.names[0].tolist() == [[9, 4], [0, 0]]


def test_the_layer_and_head_that_were_asked_for_are_read() -> None:
    backbone = FakeBackbone(CAT_AND_DOG, heads={2: 3, 5: 4})
    first = Segmenter(backbone, by_hand(layer=2, head=0))(GREY, ["cat"]).heatmaps.names[0, 0, 0]
    other = Segmenter(backbone, by_hand(layer=5, head=3))(GREY, ["cat"]).heatmaps.names[0, 0, 0]
    assert (first, other) == (9, 9 * 14)


def test_the_maps_of_several_heads_are_averaged() -> None:
    backbone = FakeBackbone(CAT_AND_DOG, heads={2: 3, 5: 4})  # of layers that cannot be read in one go
    segmenter = Segmenter(backbone, by_hand(heads=[(2, 0), (5, 3), (2, 1)]))
    found = segmenter(GREY, ["cat"])
    assert found.heatmaps.names[0, 0, 0] == pytest.approx(9 * (1 + 14 + 2) / 3)
    config = found.provenance.config
    assert (config.layer, config.head, config.all_heads) == (2, 0, ((2, 0), (5, 3), (2, 1)))
    assert config.heads_in_words == "mean of layer.head 2.0, 5.3, 2.1"
    assert Segmenter(backbone, config).config == config
    assert config.replace({"heads": [[5, 3]]}).all_heads == ((5, 3),)
    assert config.replace({"head": 1}).all_heads == ((2, 1),)
    assert Settings.model_validate(found.provenance.as_dict()["config"]) == config


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"heads": [[0, 0], [0, 1]]}, "has heads 0 to 0, no head 1"),
        ({"heads": [[4, 0]]}, r"layer 4 of 'fake' cannot be read"),
        ({"layer": 1}, r"layer 1 of 'fake' cannot be read; these can: \[0\]"),
        ({"head": 1}, "has heads 0 to 0, no head 1"),
        ({"image_size": 21}, "no multiple of the patch of 'fake', 8 px; try 24"),
    ],
)
def test_what_the_model_does_not_have_is_refused(settings: dict[str, int], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Segmenter(FakeBackbone(CAT_AND_DOG), Config.preset("default", settings))


def test_names_are_not_read_with_gradients_where_they_have_none() -> None:
    """A result of background alone would be the photo's fault, or so its hints would say."""
    backbone = FakeBackbone(CAT_AND_DOG, heads={0: 1, 3: 1}, gradientless=(3,))
    said = r"layer 3 of 'fake' .* gradients of names are 0 there. Read one of \[0\]; or set read = answer; or turn"
    for settings in ({"layer": 3}, {"heads": [[0, 0], [3, 0]]}, {"layer": 3, "read": "names"}):
        with pytest.raises(ConfigError, match=said):
            Segmenter(backbone, Config().replace(settings))
    for settings in ({"layer": 3, "read": "answer"}, {"layer": 3, "gradcam": False}):
        assert Segmenter(backbone, Config().replace(settings)).config.layer == 3
    alone = Segmenter(backbone, Config().replace({"layer": 3, "gradcam": False}))
    with pytest.raises(ConfigError, match=said):
        alone.replace(config=alone.config.replace({"gradcam": True}))
    backbone.reads = ("names",)
    with pytest.raises(ConfigError, match=r"Read one of \[0\]; or turn the step gradcam off"):
        Segmenter(backbone, Config(layer=3))


def test_a_batch_gives_what_single_images_give() -> None:
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 255, (30 + 7 * i, 40, 3), dtype=np.uint8) for i in range(5)]
    names = [["red"], ["green", "blue"], ["blue", "red", "green"], ["red", "a very green blue"], ["blue"]]
    segmenter = Segmenter(colour_backbone(), Config.preset("default").without("crf"))
    together = list(segmenter.stream(zip(photos, names, strict=True), batch_size=2, name_match=True))
    assert len(together) == 5
    for photo, its, batched in zip(photos, names, together, strict=True):
        alone = segmenter(photo, its, name_match=True)
        assert np.array_equal(alone.labels, batched.labels)
        assert np.allclose(alone.scores, batched.scores, atol=1e-6)
        assert alone.match == pytest.approx(batched.match)
        assert alone.name_match == pytest.approx(batched.name_match)


def test_images_of_different_input_sizes_are_kept_apart_and_in_order() -> None:
    photos = [np.zeros(shape, np.uint8) for shape in [(40, 80, 3), (80, 40, 3), (40, 80, 3)]]
    segmenter = Segmenter(colour_backbone(), Config.preset("default", {"keep_aspect": True}).without("crf"))
    sizes = [segmentation.size for segmentation in segmenter.stream((photo, ["red"]) for photo in photos)]
    assert sizes == [(40, 80), (80, 40), (40, 80)]


def test_names_in_several_prompts_give_what_one_prompt_gives() -> None:
    long, short = FakeBackbone(CAT_AND_DOG), FakeBackbone(CAT_AND_DOG, max_tokens=6)  # one name a prompt
    one = Segmenter(long, by_hand(2))(GREY, ["cat", "dog"])
    two = Segmenter(short, by_hand(2))(GREY, ["cat", "dog"])
    assert two.provenance.prompts == ("A picture of cat", "A picture of dog")
    assert np.array_equal(one.heatmaps.names, two.heatmaps.names)


def test_every_pass_reads_the_image_once_without_the_dropped_patches() -> None:
    backbone = FakeBackbone(CAT_AND_DOG)
    Segmenter(backbone, by_hand(3))(GREY, ["cat", "dog"])
    blank = [int((pixels == 0).all(1).sum()) // 64 for pixels in backbone.encoded]
    assert blank == [0, 1, 2]


def test_heat_maps_of_words_and_names_at_the_images_size() -> None:
    image = np.full((20, 30, 3), 9, np.uint8)
    segmentation = Segmenter(FakeBackbone(CAT_AND_DOG), by_hand())(image, [["dog", "hound"], "cat"])
    assert segmentation.heatmap("cat").shape == (20, 30)
    assert segmentation.heatmap("hound").max() == 4  # the mean over the name's tokens
    assert segmentation.heatmap("picture").max() == 0
    with pytest.raises(KeyError, match="'horse' is not in the prompt; its words: A, picture, of, dog, hound, cat"):
        segmentation.heatmap("horse")


def test_masks_and_shares() -> None:
    segmentation = Segmenter(FakeBackbone(CAT_AND_DOG), by_hand(2))(GREY, ["cat", "dog"])
    assert segmentation.shares == (0.5, 0.25)
    assert segmentation.mask("dog").tolist() == [[False, False], [False, True]]
    with pytest.raises(KeyError, match="'horse' was not asked for; names: cat, dog"):
        segmentation.mask("horse")


def test_provenance_tells_all_that_is_needed_to_repeat_it() -> None:
    segmentation = Segmenter(FakeBackbone(CAT_AND_DOG), by_hand())(GREY, ["cat"])
    provenance = segmentation.provenance
    assert (provenance.model, provenance.revision, provenance.preset) == ("fake", "by-hand", "default")
    assert (provenance.config.layer, provenance.config.head, provenance.config.image_size) == (0, 0, 16)
    assert set(provenance.versions) == {"pnpovss", "torch", "transformers"}
    assert Settings.model_validate(provenance.as_dict()["config"]) == provenance.config


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1)])
def test_images_of_a_pixel_or_a_line_work(size: tuple[int, int]) -> None:
    segmentation = Segmenter(FakeBackbone(CAT_AND_DOG))(np.zeros((*size, 3), np.uint8), ["cat", "dog"])
    assert segmentation.labels.shape == size
    assert np.isfinite(segmentation.scores).all()


def test_from_pretrained_passes_settings_on(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = FakeBackbone(CAT_AND_DOG, settings={"threshold": 0.4, "dropout.passes": 2})
    monkeypatch.setattr(registry._backbones, "_specs", {})
    registry.register(fake_spec(backbone))
    default = Segmenter.from_pretrained("fake", settings={"dropout.passes": 3}, without=["crf"]).config
    assert (default.threshold, default.dropout and default.dropout.passes, default.crf) == (0.4, 3, None)
    assert Segmenter.from_pretrained("fake", preset="paper").config.threshold == 0.15  # the paper's, not the model's


def test_unknown_models_presets_devices_and_dtypes_are_refused() -> None:
    with pytest.raises(UnknownModelError, match=r"no backbone knows the model './nowhere'\. Known: .*mini"):
        Segmenter.from_pretrained("./nowhere")
    with pytest.raises(ConfigError, match="unknown preset 'finest'"):
        Segmenter.from_pretrained("mini", preset="finest")
    with pytest.raises(ConfigError, match="unknown device 'gpu'; expected auto, cpu"):
        Segmenter.from_pretrained("mini", device="gpu")
    with pytest.raises(ConfigError, match="unknown dtype 'float16'; expected one of float32, bfloat16"):
        Segmenter.from_pretrained("mini", dtype="float16")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="'cuda' is not on this machine; it has: cpu"):
            Segmenter.from_pretrained("mini", device="cuda")


def test_a_photo_that_is_missing_is_an_error_of_ours() -> None:
    segmenter = Segmenter(FakeBackbone(CAT_AND_DOG))
    with pytest.raises(ImageError):
        segmenter("no-such-photo.jpg", ["cat"])
    assert list(segmenter.stream([])) == []


def test_a_model_that_wants_one_prompt_per_name_gets_them() -> None:
    joint, apart = (FakeBackbone(CAT_AND_DOG, joint_prompt=joint) for joint in (True, False))
    one, two = (Segmenter(each, by_hand(2))(GREY, ["cat", "dog"]) for each in (joint, apart))
    assert two.provenance.prompts == ("A picture of cat", "A picture of dog")
    assert np.array_equal(one.labels, two.labels)


def test_names_are_read_where_the_match_is_if_that_is_asked_for() -> None:
    """Each name then has a prompt of its own, and the map of that prompt's first token is the name's."""
    looks = {"[ENC]": [[2, 1], [0, 0]], "cat": [[0, 0], [0, 9]], "[SEP]": [[5, 5], [5, 5]]}
    backbone, settings = FakeBackbone(looks), by_hand().replace({"threshold": None})
    own = Segmenter(backbone, settings)
    assert own.config.read == "names"
    assert own(GREY, ["cat"]).heatmaps.names.tolist() == [[[0, 0], [0, 9]]]
    whole = Segmenter(backbone, settings.replace({"read": "answer"}))(GREY, ["cat", "dog"])
    assert whole.provenance.prompts == ("A picture of cat", "A picture of dog")
    assert whole.heatmaps.names.tolist() == [[[2, 1], [0, 0]]] * 2
    assert whole.heatmaps.word_maps.tolist()[3] == [[0, 0], [0, 9]]  # words keep their own


def test_another_way_to_read_asks_the_model_anew_which_heads() -> None:
    """What was resolved for one reading says nothing of another: the same as if it had been asked for at once."""
    backbone = FakeBackbone(CAT_AND_DOG, heads={1: 2, 3: 2}, reads=("names", "legrad"))
    at_once = Segmenter(backbone, by_hand().replace({"read": "legrad"}))
    assert at_once.config.heads == ((1, 0), (1, 1), (3, 0), (3, 1))
    later = Segmenter(backbone, by_hand())
    changed = later.replace(config=later.config.replace({"read": "legrad"}))
    assert changed.config == at_once.config
    assert changed.replace(config=changed.config.replace({"read": "names"})).config == later.config
    chosen = later.replace(config=later.config.replace({"read": "legrad", "layer": 3, "head": 1}))
    assert chosen.config.all_heads == ((3, 1),)


def test_what_a_model_cannot_be_read_by_is_refused() -> None:
    backbone = FakeBackbone(CAT_AND_DOG, reads=("names",))
    with pytest.raises(ConfigError, match="'fake' cannot be read by 'answer'; it can by: names"):
        Segmenter(backbone, by_hand().replace({"read": "answer"}))


def test_input_size_keeps_the_aspect_at_about_the_area() -> None:
    photo = Image.new("RGB", (500, 375))
    card = FakeBackbone(patch=16).card
    assert input_size(photo, 384, card, keep_aspect=False) == (384, 384)
    height, width = input_size(photo, 384, card, keep_aspect=True)
    assert (height % 16, width % 16) == (0, 0)
    assert width / height == pytest.approx(500 / 375, rel=0.05)
    assert width * height == pytest.approx(384 * 384, rel=0.05)
    assert input_size(Image.new("RGB", (10_000, 10)), 384, card, keep_aspect=True) == (192, 768)


ABSENT = {**CAT_AND_DOG, "ghost": [[3, 0], [0, 0]]}
AGAINST = {"ghost": [[-1, -1], [-1, -1]]}  # what the ghost attends to speaks against a match


def test_names_that_the_model_holds_to_be_absent_are_left_out_and_the_others_keep_their_labels() -> None:
    settings = by_hand().replace({"presence": {"above": 0.5}})
    found = Segmenter(FakeBackbone(ABSENT, AGAINST), settings)(GREY, ["cat", "ghost", "dog"])
    assert found.kept == (0, 2)
    assert found.labels.tolist() == [[1, 0], [0, 3]]
    assert found.provenance.prompts == ("A picture of cat dog",)
    assert found.scores.shape[0] == 2
    assert found.name_match is not None
    assert found.name_match[1] == pytest.approx(1 / (1 + np.exp(3)))
    everything = Segmenter(FakeBackbone(ABSENT, AGAINST), by_hand())(GREY, ["cat", "ghost", "dog"])
    assert everything.kept == (0, 1, 2)


def test_nothing_there_is_an_empty_label_map_and_no_further_look() -> None:
    backbone = FakeBackbone(ABSENT, AGAINST)
    found = Segmenter(backbone, by_hand(3).replace({"presence": {"above": 0.5}}))(GREY, ["ghost"])
    assert (found.kept, found.match) == ((), None)
    assert found.labels.tolist() == [[0, 0], [0, 0]]
    assert found.background_score is not None
    assert found.background_score.min() == 1
    assert len(backbone.encoded) == 1


def test_a_photo_without_any_of_the_names_does_not_disturb_its_batch() -> None:
    settings = by_hand(2).replace({"presence": {"above": 0.5}})
    segmenter = Segmenter(FakeBackbone(ABSENT, AGAINST), settings)
    together = list(segmenter.stream([(GREY, ["ghost"]), (GREY, ["cat", "dog"]), (GREY, ["ghost", "cat"])]))
    for batched, names in zip(together, (["ghost"], ["cat", "dog"], ["ghost", "cat"]), strict=True):
        assert np.array_equal(batched.labels, segmenter(GREY, names).labels)


class PromptsForAll(FakeBackbone):
    """Keeps to the contract: each image it is asked about has a prompt."""

    def match(
        self, features: PatchTokens, prompts: Sequence[Sequence[TextTokens]], reading: Reading | None = None
    ) -> Match:
        assert all(prompts)
        return super().match(features, prompts, reading)


@pytest.mark.parametrize("views", [None, ViewSettings(tiles=(0.5,))])
def test_a_photo_without_any_of_the_names_is_looked_at_once(views: ViewSettings | None) -> None:
    settings = by_hand(2).replace({"presence": {"above": 0.5}, "views": views and views.model_dump()})
    backbone = PromptsForAll(ABSENT, AGAINST)
    asked = [(GREY, ["ghost"]), (GREY, ["cat", "dog"]), (GREY, ["ghost"])]
    together = list(Segmenter(backbone, settings).stream(asked, batch_size=100))
    count = len(views_of(views))
    assert [len(pixels) for pixels in backbone.encoded] == [3 * count, count]
    for batched, (photo, names) in zip(together, asked, strict=True):
        alone = Segmenter(PromptsForAll(ABSENT, AGAINST), settings)(photo, names)
        assert batched.kept == alone.kept
        assert batched.name_match == alone.name_match
        assert np.array_equal(batched.labels, alone.labels)
        assert np.array_equal(batched.heatmaps.names, alone.heatmaps.names)


def test_names_of_photos_that_differ_in_number_are_matched_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = Segmenter(PromptsForAll(ABSENT, AGAINST), by_hand())
    pairs = [(GREY, ["cat"]), (GREY, ["ghost", "cat", "dog"]), (GREY, ["dog", "ghost"])]
    expected = [found.name_match for found in segmenter.stream(pairs, name_match=True)]
    monkeypatch.setattr(matching, "BATCH", 1)
    assert [found.name_match for found in segmenter.stream(pairs, name_match=True)] == expected


def test_match_scores_are_told_of_photos_that_nobody_else_judged_whatever_is_beside_them() -> None:
    segmenter = Segmenter(PromptsForAll(ABSENT, AGAINST), by_hand().replace({"presence": {"above": 0.5}}))
    card, names = segmenter.backbone.card, ["cat", "ghost"]
    judged = prepare(GREY, names, card, segmenter.config, present=[0])
    open_to_all = prepare(GREY, names, card, segmenter.config)
    first, second = segmenter.explain([judged, open_to_all])
    assert first.name_match is None
    assert second.name_match is not None
    assert (first.kept, second.kept) == ((0,), (0,))


class Overflowing(FakeBackbone):
    """Its gradients are beyond what its numbers hold."""

    def match(
        self, features: PatchTokens, prompts: Sequence[Sequence[TextTokens]], reading: Reading | None = None
    ) -> Match:
        found = super().match(features, prompts, reading)
        return replace(found, maps=tuple(replace(each, gradient=each.attention * np.inf) for each in found.maps))


@pytest.mark.parametrize(
    ("backbone", "what"),
    [(Overflowing(CAT_AND_DOG), "maps"), (FakeBackbone({"cat": [[np.nan, 4], [0, 0]]}), "match scores")],
)
def test_numbers_that_are_not_finite_are_the_models_fault(backbone: FakeBackbone, what: str) -> None:
    with pytest.raises(ModelError, match=f"fake gives {what} that are not finite"):
        Segmenter(backbone, by_hand())(GREY, ["cat", "dog"])


def test_a_study_of_all_heads_refuses_numbers_that_are_not_finite() -> None:
    backbone = Overflowing(CAT_AND_DOG)
    config = Segmenter(backbone, by_hand()).config
    with pytest.raises(ModelError, match="fake gives maps that are not finite"):
        look_with_all_heads(backbone, prepare(GREY, ["cat", "dog"], backbone.card, config), config)


def test_the_best_synonym_decides() -> None:
    settings = by_hand().replace({"presence": {"above": 0.5}})
    found = Segmenter(FakeBackbone(ABSENT, AGAINST), settings)(GREY, [["ghost", "dog"]])
    assert found.kept == (0,)
    assert found.name_match == (pytest.approx(1 / (1 + np.exp(-8))),)


def test_anothers_judgement_replaces_the_models() -> None:
    settings = by_hand().replace({"presence": {"above": 0.5}})
    segmenter = Segmenter(FakeBackbone(ABSENT, AGAINST), settings)
    found = segmenter(GREY, ["cat", "ghost", "dog"], present=[1, 2])
    assert found.kept == (1, 2)
    assert found.name_match is None
    assert set(np.unique(found.labels)) <= {0, 2, 3}
    with pytest.raises(NamesError, match=r"present names the indices \[3\], but 3 names were given"):
        segmenter(GREY, ["cat", "ghost", "dog"], present=[3])


@pytest.mark.parametrize("present", [[False, True, True], np.array([False, True, True]), [1.0], ["dog", 1]])
def test_a_mask_of_names_is_not_taken_for_indices(present: Any) -> None:
    with pytest.raises(NamesError, match=r"present takes indices of names, such as \[0, 2\], got \["):
        _indices(present, 3)


def test_indices_may_be_those_of_numpy() -> None:
    assert [type(i) for i in _indices(np.flatnonzero([False, True]), 2)] == [int]


def test_a_stream_gives_what_is_done_before_it_asks_for_more() -> None:
    segmenter, asked = Segmenter(FakeBackbone(CAT_AND_DOG), by_hand()), []

    def photos() -> Iterator[tuple[Any, list[str]]]:
        for number in range(3):
            asked.append(number)
            yield GREY, ["cat"]
        yield "nowhere.png", ["cat"]

    next(segmenter.stream(photos(), batch_size=1))
    assert asked == [0]
    found = segmenter.stream(photos(), batch_size=8)
    for _ in range(3):
        next(found)
    with pytest.raises(ImageError, match=r"nowhere.png"):
        next(found)


def test_names_that_cannot_be_read_come_after_the_results_of_the_pairs_before_them() -> None:
    segmenter = Segmenter(FakeBackbone(CAT_AND_DOG), by_hand())
    found = segmenter.stream([(GREY, ["cat"]), (GREY, ["dog"]), (GREY, ["cat " * 60]), (GREY, ["cat"])], batch_size=8)
    assert [next(found).names[0].text for _ in range(2)] == ["cat", "dog"]
    with pytest.raises(NamesError, match="too long"):
        next(found)
