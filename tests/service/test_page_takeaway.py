"""What the page says to type elsewhere gives the settings that the service runs with."""

from typing import Any

import pytest

from pnpovss import Segmenter
from pnpovss.config import Config
from pnpovss.service import tellings
from pnpovss.service.limits import Limits
from tests.service.test_page import browser, page, pytestmark  # noqa: F401
from tests.support.fakes import colour_backbone

DIFFERENCES = "async (given) => (await import('/page/takeaway.js')).differences(...given)"
PRESET_OF = "async (told) => (await import('/page/takeaway.js')).presetOf(told)"
SHELL = "async (given) => (await import('/page/takeaway.js')).asShell('mini', 'paper', 'a.jpg', ['cat'], given)"


@pytest.mark.parametrize(
    ("started", "changed", "preset_of"),
    [
        ({"views.tiles": [0.6], "dropout.weights": [2, 1, 1, 1], "crf.max_pixels": None}, {}, "default"),
        ({"crf": None, "blur": None}, {"threshold": 0.3, "blur.sigma": 0.1}, "default"),
        ({"instances.split": "pieces", "crf.max_pixels": None}, {"crf": None}, "default"),
        ({"heads": [[0, 1], [0, 0]]}, {"threshold": 0.3}, "default"),
        ({"heads": [[0, 1], [0, 0]]}, {"head": 0}, "default"),
        ({}, {}, "default"),
        ({"threshold": 0.3, "heads": [[0, 1], [0, 0]]}, {"blur.sigma": 0.1}, "my tuned.json"),
    ],
)
def test_settings_of_the_start_are_told_beside_those_of_the_page(
    page,  # noqa: F811
    started: dict[str, Any],
    changed: dict[str, Any],
    preset_of: str,
):
    backbone, preset = colour_backbone(), Config.preset("default")
    backbone.heads = {0: 2}
    service = preset.replace(started)
    told = tellings.settings(Segmenter(backbone, service, preset_of), Limits()).model_dump(mode="json", by_alias=True)
    found = page.evaluate(DIFFERENCES, [told, changed])
    assert preset.replace(found).resolve(backbone.card) == service.replace(changed).resolve(backbone.card)
    assert set(found) >= set(changed)
    assert (found == {}) == (started == changed == {})
    assert "gradcam" not in found, "what is the preset's own is not told"
    assert page.evaluate(PRESET_OF, told) == "default", "a file of the service is none of whoever types the command"


def test_lists_and_none_are_told_to_the_command_line(page):  # noqa: F811
    said = page.evaluate(SHELL, {"views.tiles": [0.6, 0.5], "crf.max_pixels": None})
    assert "--set 'views.tiles=[0.6,0.5]'" in said
    assert "--set crf.max_pixels=none" in said
