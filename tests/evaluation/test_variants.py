import json

import numpy as np
import pytest
from PIL import Image

from pnpovss.backbones.memory import share_encodings
from pnpovss.config import Config, DropoutSettings
from pnpovss.errors import ConfigError
from pnpovss.evaluation.runs.ablation import FULL, ablation_arms, ablation_markdown
from pnpovss.evaluation.runs.evaluate import evaluate
from pnpovss.evaluation.runs.folder import read_run
from pnpovss.evaluation.runs.variants import arm_labels, run_arms
from pnpovss.names import Name
from pnpovss.segmenter import Segmenter
from tests.support.colours import Oracle

NAMES = [Name("red"), Name("green")]


def photo():
    random = np.random.default_rng(3)
    pixels = random.integers(0, 90, (40, 48, 3))
    pixels[5:25, 5:20, 0] += 160
    pixels[18:38, 22:44, 1] += 160
    return Image.fromarray(pixels.astype(np.uint8))


def test_the_arms_of_an_ablation():
    arms = ablation_arms(Config.preset("paper"))
    assert list(arms) == [FULL, "without gradcam", "without dropout", "without blur", "without crf"]
    assert arms[FULL] == Config.preset("paper")
    assert arms["without blur"].blur is None
    assert arms["without blur"].replace({"blur": Config.preset("paper").blur.model_dump()}) == arms[FULL]


def test_all_combinations_differ():
    arms = ablation_arms(Config.preset("paper"), combinations=True)
    assert len(arms) == 16 == len(set(arms.values()))
    assert arms["without gradcam, dropout, blur, crf"] == Config.preset("paper").without(
        "gradcam", "dropout", "blur", "crf"
    )


def test_a_step_that_is_off_is_put_in():
    arms = ablation_arms(Config.preset("paper").without("blur"), ["blur", "crf"])
    assert list(arms) == ["as set", "with blur", "without crf"]
    assert arms["with blur"] == Config.preset("paper")


def test_unknown_and_repeated_steps_are_refused():
    with pytest.raises(ConfigError, match="no step is called 'glare'"):
        ablation_arms(Config.preset("paper"), ["glare"])
    with pytest.raises(ConfigError, match="named twice"):
        ablation_arms(Config.preset("paper"), ["blur", "blur"])


def test_sharing_changes_no_label(backbone):
    arms = ablation_arms(Segmenter(backbone).config, combinations=True)
    shared = arm_labels(share_encodings(backbone), photo(), NAMES, arms)
    for arm, config in arms.items():
        alone = Segmenter(backbone, config)(photo(), NAMES).labels
        np.testing.assert_array_equal(shared[arm], alone, err_msg=arm)
    assert len({labels.tobytes() for labels in shared.values()}) > 4, "the arms do differ"


def test_encodings_are_shared_where_that_is_exact(backbone):
    passes = DropoutSettings(passes=4, drop=2)
    arms = ablation_arms(Segmenter(backbone, Config(dropout=passes)).config, combinations=True)
    backbone.encoded.clear()
    arm_labels(share_encodings(backbone), photo(), NAMES, arms)
    # The whole photo once for all 16 arms; 3 more looks with GradCAM, and at most 3 others without.
    assert 4 <= len(backbone.encoded) <= 7
    backbone.encoded.clear()
    for config in arms.values():
        Segmenter(backbone, config)(photo(), NAMES)
    assert len(backbone.encoded) == 40, "8 arms with 4 looks and 8 with one, each on its own"


def test_an_ablation_run_scores_each_arm_as_a_run_of_its_own(backbone, dataset, tmp_path):
    segmenter = Segmenter(backbone)
    arms = ablation_arms(segmenter.config, ["dropout", "blur"])
    summary = run_arms("ablation", segmenter, dataset, Oracle(), arms, tmp_path / "arms")
    for name, config in arms.items():
        alone = evaluate(Segmenter(backbone, config), dataset, Oracle(), tmp_path / name.replace(" ", "-"))
        assert summary["arms"][name]["miou"] == alone["miou"]
    full = summary["arms"][FULL]
    assert (full["change"], full["change_interval"]) == (0, [0, 0])
    other = summary["arms"]["without blur"]
    assert other["change"] == pytest.approx(other["miou"] - full["miou"], abs=2e-6)
    assert other["change_interval"][0] <= other["change"] <= other["change_interval"][1]
    assert json.loads((tmp_path / "arms" / "summary.json").read_text()) == json.loads(json.dumps(summary))


def test_an_ablation_goes_on_where_it_stopped(backbone, dataset, tmp_path):
    arms = ablation_arms(Segmenter(backbone).config, ["blur"])

    class Interrupted(Oracle):
        def decide(self, photo, names):
            if self.calls == 2:
                raise KeyboardInterrupt
            return super().decide(photo, names)

    with pytest.raises(KeyboardInterrupt):
        run_arms("ablation", Segmenter(backbone), dataset, Interrupted(), arms, tmp_path / "run")
    presence = Oracle()
    resumed = run_arms("ablation", Segmenter(backbone), dataset, presence, arms, tmp_path / "run")
    assert presence.calls == 4
    whole = run_arms("ablation", Segmenter(backbone), dataset, Oracle(), arms, tmp_path / "whole")
    assert resumed["arms"] == whole["arms"]
    assert read_run(tmp_path / "run").finished
    with pytest.raises(ConfigError, match="another arms"):
        run_arms("ablation", Segmenter(backbone), dataset, Oracle(), {**arms, "more": arms[FULL]}, tmp_path / "run")


def test_the_table_says_which_change_is_sure():
    entry = {"miou": 0.5, "miou_interval": [0.4, 0.6], "pixel_accuracy": 0.75}
    summary = {
        "reference": FULL,
        "arms": {
            FULL: {**entry, "change": 0.0, "change_interval": [0.0, 0.0]},
            "without crf": {**entry, "miou": 0.47, "change": -0.03, "change_interval": [-0.05, -0.01]},
        },
    }
    lines = ablation_markdown(summary).splitlines()
    assert lines[2] == "| all steps | 50.0 | 40.0 to 60.0 |  |  | 75.0 |"
    assert lines[3] == "| without crf | 47.0 | 40.0 to 60.0 | -3.0 | -5.0 to -1.0 | 75.0 |"
