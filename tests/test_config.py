import pytest
from PIL import Image

from pnpovss.config import PRESETS, STEPS, Config, InstanceSettings, ViewSettings, setting_names
from pnpovss.errors import ConfigError
from pnpovss.inputs import input_size
from tests.support.fakes import FakeBackbone


def test_the_authors_preset_is_the_released_codes_protocol() -> None:
    authors = Config.preset("authors")
    assert authors.dropout is not None
    assert (authors.dropout.passes, authors.dropout.drop, authors.dropout.ranking) == (4, 10, "tokens")
    assert authors.dropout.pass_weights == (2, 1, 1, 1)
    assert authors.squash_names


def test_the_paper_preset_drops_half_a_pass() -> None:
    paper = Config.preset("paper")
    assert paper.dropout is not None
    assert (paper.dropout.passes, paper.dropout.drop, paper.dropout.ranking) == (4, 0.5, "names")
    assert not paper.squash_names


@pytest.mark.parametrize("name", PRESETS)
def test_the_papers_numbers_are_in_every_preset(name: str) -> None:
    config = Config.preset(name)
    assert config.threshold == 0.15
    assert config.blur is not None
    assert config.blur.sigma == 0.05
    assert config.crf is not None
    assert config.crf.model_dump(exclude={"max_pixels"}) == {
        "gaussian_sxy": 3,
        "gaussian_compat": 7,
        "bilateral_sxy": 50,
        "bilateral_srgb": 5,
        "bilateral_compat": 10,
        "iterations": 10,
    }


def test_only_our_own_preset_refines_large_photos_at_a_smaller_size() -> None:
    limits = {name: Config.preset(name).model_dump()["crf"]["max_pixels"] for name in PRESETS}
    assert limits == {"default": 2_000_000, "best": 2_000_000, "paper": None, "authors": None}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_off_with_a_word_and_on_again_with_a_setting(step: str) -> None:
    on = Config(views=ViewSettings(), instances=InstanceSettings())  # the two steps that are off by default
    off = on.without(step)
    assert off != on
    assert getattr(off, step) == getattr(on.replace({step: STEPS[step]}), step)
    assert off.without(step) == off


def test_a_part_of_a_step_that_is_off_turns_it_on() -> None:
    config = Config().without("crf").replace({"crf.iterations": 3})
    assert config.crf is not None
    assert config.crf.iterations == 3


def test_a_config_is_frozen_and_hashable_by_value() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().head = 3  # type: ignore[misc]
    assert Config.model_validate(Config().model_dump()) == Config()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"crf.itreations": 3}, "unknown setting 'crf.itreations'; known: .*crf.iterations"),
        ({"threshhold": 3}, "unknown setting 'threshhold'"),
        ({"head.width": 3}, "'head' has no parts"),
        ({"threshold": 2}, "threshold.*less than 1, got 2"),
        ({"dropout.drop": 0}, "dropout.drop"),
        ({"dropout.drop": 1.5}, "dropout.drop"),
        ({"dropout.drop": 1.0}, "dropout.drop"),  # all of them, or one? a count is a whole number
        ({"dropout.weights": (1, -1, 1, 1)}, "dropout.weights"),
        ({"dropout.weights": (1.0,)}, "1 weights were given for 4 passes; give one per pass"),
        ({"background.policy": "sometimes"}, "background.policy"),
        ({"crf": 7, "crf.iterations": 2}, "'crf' was given as 7, so 'crf.iterations' cannot be set in it"),
        ({"heads": [[1, 2], [1, 2]]}, r"names \[1, 2\] twice"),
        ({"heads": [[1, 2], [1, 3]], "layer": 3}, "heads stands in the place of layer and head"),
        ({"heads": [[1, -2]]}, "setting heads: Input should be greater than or equal to 0"),
        ({"heads": []}, "setting heads"),
        ({"heads": [[0, i] for i in range(10_001)]}, "setting heads: Tuple should have at most 10000 items"),
        ({"threshold": "9" * 5000}, r"threshold.*got '9{1,200}$"),
    ],
)
def test_a_wrong_setting_is_named(overrides: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Config.preset("default", overrides)


def test_one_head_takes_the_place_of_several_and_several_that_of_one() -> None:
    several = Config().replace({"layer": 3}).replace({"heads": [[7, 9], [8, 2]]})
    assert (several.layer, several.heads) == (None, ((7, 9), (8, 2)))
    assert several.replace({"threshold": 0.3}).heads == several.heads
    assert several.replace({"head": 4}) == Config().replace({"head": 4})


def test_unknown_presets_and_steps_list_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'finest'; known: default, best, paper, authors"):
        Config.preset("finest")
    with pytest.raises(ConfigError, match="'crff'; steps that can be turned off: presence, views, gradcam"):
        Config().without("crff")


def test_every_setting_says_what_it_is() -> None:
    assert all(setting_names().values())
    assert "dropout.passes" in setting_names()


def test_no_side_is_longer_than_the_model_has_places_for() -> None:
    card = FakeBackbone(patch=16, longest_side=480).card
    for size, wanted in [
        ((800, 200), (128, 480)),
        ((200, 800), (480, 128)),
        ((500, 375), (336, 448)),
        ((9, 9), (384,) * 2),
    ]:
        assert input_size(Image.new("RGB", size), 384, card, keep_aspect=True) == wanted
    assert card.sides((0.5, 1, 40)) == (16, 32)
    with pytest.raises(ConfigError, match="'fake' reads images of at most 480 px a side, got image_size 496"):
        Config(image_size=496).resolve(card)
    assert Config(image_size=480).resolve(card).image_size == 480
