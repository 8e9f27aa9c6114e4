"""Options that contradict each other are refused before any model is loaded; none is left unheeded."""

from pathlib import Path

import pytest

from pnpovss.batch.model import ModelChoice
from tests.support.program_calls import Call


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--instances pieces --without instances", "--instances pieces and --without instances contradict"),
        (
            "--instances pieces --set instances.split=heat",
            "--instances pieces and --set instances.split=heat contradict",
        ),
        ("--instances heat --set instances=none", "--instances heat and --set instances contradict"),
    ],
)
@pytest.mark.parametrize("command", ["segment flag.png --names red", "eval voc --root . --out run"])
def test_things_told_apart_in_two_ways(call: Call, photo: Path, command: str, options: str, says: str):
    done = call(*command.split(), "--model", "no-such-model", *options.split())
    assert done.exit_code == 2
    assert says in done.stderr


@pytest.mark.parametrize(
    ("setting", "step"),
    [
        ("views.mirror=true", "views"),
        ("threshold=0.3", "threshold"),
        ("presence.above=0.9", "presence"),
        ("background.policy=always", "background"),
        ("gradcam=true", "gradcam"),
    ],
)
def test_a_setting_of_a_step_that_is_left_out(call: Call, photo: Path, setting: str, step: str):
    command = ("segment", photo, "--names", "red", "--model", "no-such-model", "--set", setting, "--without")
    done = call(*command, f"blur,{step}")
    assert done.exit_code == 2
    assert f"the setting {setting.partition('=')[0]} is of the step {step}, which is left out" in done.stderr
    assert "is left out" not in call(*command, "blur").stderr


def test_what_says_the_same_twice_is_no_contradiction():
    settings = {"views": None, "gradcam": False, "background.policy": "never", "threshold": None, "crf.iterations": 2}
    assert ModelChoice(settings=settings, without=("views", "gradcam", "background", "threshold")).settings == settings


@pytest.mark.parametrize("command", ["segment flag.png --names red", "eval voc --root . --out run"])
def test_a_count_of_names_that_no_policy_looks_at(call: Call, photo: Path, command: str):
    words = (*command.split(), "--model", "no-such-model", "--set", "background.count=2")
    done = call(*words)
    assert done.exit_code == 2
    assert "background.count belongs to the policy fewer_than, and background.policy is auto" in done.stderr
    assert "belongs to the policy" not in call(*words, "--set", "background.policy=fewer_than").stderr
