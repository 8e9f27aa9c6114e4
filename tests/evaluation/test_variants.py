import json

import numpy as np
import pytest
from PIL import Image

from pnpovss.backbones.shared import share_encodings
from pnpovss.config import Config, DropoutSettings
from pnpovss.errors import ConfigError
from pnpovss.evaluation.runs.ablation import FULL, POSSIBLE, ablation_markdown, ablation_variants
from pnpovss.evaluation.runs.evaluate import evaluate
from pnpovss.evaluation.runs.folder import read_run
from pnpovss.evaluation.runs.variants import run_variants, variant_labels
from pnpovss.names import Name
from pnpovss.segmenter import Segmenter
from tests.support.colours import Oracle, colour_dataset

NAMES = [Name("red"), Name("green")]


def photo():
    random = np.random.default_rng(3)
    pixels = random.integers(0, 90, (40, 48, 3))
    pixels[5:25, 5:20, 0] += 160
    pixels[18:38, 22:44, 1] += 160
    return Image.fromarray(pixels.astype(np.uint8))


def test_the_variants_of_an_ablation():
    variants = ablation_variants(Config.preset("paper"))
    assert list(variants) == [FULL, "without gradcam", "without dropout", "without blur", "without crf"]
    assert variants[FULL] == Config.preset("paper")
    assert variants["without blur"].blur is None
    assert variants["without blur"].replace({"blur": Config.preset("paper").blur.model_dump()}) == variants[FULL]


def test_all_combinations_differ():
    variants = ablation_variants(Config.preset("paper"), combinations=True)
    assert len(variants) == 16 == len(set(variants.values()))
    assert variants["without gradcam, dropout, blur, crf"] == Config.preset("paper").without(
        "gradcam", "dropout", "blur", "crf"
    )


def test_a_step_that_is_off_is_put_in():
    variants = ablation_variants(Config.preset("paper").without("blur"), ["blur", "crf"])
    assert list(variants) == ["as set", "with blur", "without crf"]
    assert variants["with blur"] == Config.preset("paper")


def test_views_are_ablated_where_they_are_on() -> None:
    settings = Config.preset("paper", {"views.mirror": True})
    assert ablation_variants(settings)["without views"] == Config.preset("paper")
    assert "without views" not in ablation_variants(Config.preset("paper"))


def test_gradcam_stays_where_gradients_are_all_there_is() -> None:
    variants = ablation_variants(Config.preset("paper", {"read": "legrad"}))
    assert list(variants) == [FULL, "without dropout", "without blur", "without crf"]


def test_every_step_that_may_be_named_changes_something_on_or_off() -> None:
    for settings in (Config.preset("default"), Config.preset("default").without(*POSSIBLE), Config.preset("best")):
        variants = ablation_variants(settings, POSSIBLE)
        assert len(set(variants.values())) == len(variants) == 1 + len(POSSIBLE)
    assert ablation_variants(Config.preset("default"), ["views"])["with views"] == Config.preset("best")
    with pytest.raises(ConfigError, match=r"no step 'presence'; steps that can be left out: views, gradcam"):
        ablation_variants(Config.preset("default"), ["presence"])


def test_unknown_and_repeated_steps_are_refused():
    with pytest.raises(ConfigError, match="leaves out no step 'glare'"):
        ablation_variants(Config.preset("paper"), ["glare"])
    with pytest.raises(ConfigError, match="named twice"):
        ablation_variants(Config.preset("paper"), ["blur", "blur"])


def test_sharing_changes_no_label(backbone):
    variants = ablation_variants(Segmenter(backbone).config, combinations=True)
    shared = variant_labels(share_encodings(backbone), photo(), NAMES, variants)
    for variant, config in variants.items():
        alone = Segmenter(backbone, config)(photo(), NAMES).labels
        np.testing.assert_array_equal(shared[variant], alone, err_msg=variant)
    assert len({labels.tobytes() for labels in shared.values()}) > 4, "the variants do differ"


def test_encodings_are_shared_where_that_is_exact(backbone):
    passes = DropoutSettings(passes=4, drop=2)
    variants = ablation_variants(Segmenter(backbone, Config(dropout=passes)).config, combinations=True)
    backbone.encoded.clear()
    variant_labels(share_encodings(backbone), photo(), NAMES, variants)
    # The whole photo once for all 16 variants; 3 more looks with GradCAM, and at most 3 others without.
    assert 4 <= len(backbone.encoded) <= 7
    backbone.encoded.clear()
    for config in variants.values():
        Segmenter(backbone, config)(photo(), NAMES)
    assert len(backbone.encoded) == 40, "8 variants with 4 looks and 8 with one, each on its own"


def test_an_ablation_run_scores_each_variant_as_a_run_of_its_own(backbone, tmp_path):
    dataset = colour_dataset(tmp_path / "data", count=12)
    segmenter = Segmenter(backbone)
    variants = ablation_variants(segmenter.config, ["dropout", "blur"])
    summary = run_variants("ablation", segmenter, dataset, Oracle(), variants, tmp_path / "variants")
    for name, config in variants.items():
        alone = evaluate(Segmenter(backbone, config), dataset, Oracle(), tmp_path / name.replace(" ", "-"))
        assert summary["variants"][name]["miou"] == alone["miou"]
    full = summary["variants"][FULL]
    assert (full["change"], full["change_interval"]) == (0, [0, 0])
    assert full["miou_interval"][0] < full["miou"] < full["miou_interval"][1]
    other = summary["variants"]["without blur"]
    assert other["change"] == pytest.approx(other["miou"] - full["miou"], abs=2e-6)
    assert other["change_interval"][0] <= other["change"] <= other["change_interval"][1]
    assert json.loads((tmp_path / "variants" / "summary.json").read_text()) == json.loads(json.dumps(summary))


def test_an_ablation_goes_on_where_it_stopped(backbone, dataset, tmp_path):
    variants = ablation_variants(Segmenter(backbone).config, ["blur"])

    class Interrupted(Oracle):
        def decide(self, photo, names):
            if self.calls == 2:
                raise KeyboardInterrupt
            return super().decide(photo, names)

    with pytest.raises(KeyboardInterrupt):
        run_variants("ablation", Segmenter(backbone), dataset, Interrupted(), variants, tmp_path / "run")
    presence = Oracle()
    resumed = run_variants("ablation", Segmenter(backbone), dataset, presence, variants, tmp_path / "run")
    assert presence.calls == 4
    whole = run_variants("ablation", Segmenter(backbone), dataset, Oracle(), variants, tmp_path / "whole")
    assert resumed["variants"] == whole["variants"]
    assert read_run(tmp_path / "run").finished
    with pytest.raises(ConfigError, match="other variants"):
        run_variants(
            "ablation", Segmenter(backbone), dataset, Oracle(), {**variants, "more": variants[FULL]}, tmp_path / "run"
        )


def test_the_table_says_which_change_is_sure():
    entry = {"miou": 0.5, "miou_interval": [0.4, 0.6], "pixel_accuracy": 0.75}
    summary = {
        "reference": FULL,
        "variants": {
            FULL: {**entry, "change": 0.0, "change_interval": [0.0, 0.0]},
            "without crf": {**entry, "miou": 0.47, "change": -0.03, "change_interval": [-0.05, -0.01]},
        },
    }
    lines = ablation_markdown(summary).splitlines()
    assert lines[2] == "| all steps | 50.0 | 40.0 to 60.0 |  |  | 75.0 |"
    assert lines[3] == "| without crf | 47.0 | 40.0 to 60.0 | -3.0 | -5.0 to -1.0 | 75.0 |"
