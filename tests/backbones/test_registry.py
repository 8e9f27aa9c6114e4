"""The registry: a third party's backbone needs no edit in this package."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from blip_models import save_checkpoint
from fakes import FakeBackbone
from pnpovss.backbones import base
from pnpovss.backbones.base import BackboneSpec, LoadOptions, known_backbones, load_backbone, register
from pnpovss.backbones.blip import SPEC, BlipBackbone
from pnpovss.errors import UnknownModelError

THEIRS = BackboneSpec(
    key="theirs",
    summary="a third party's",
    models={"somebody/their-model": "on a hub", "their-bundled": "in their package"},
    claims=lambda name: name in THEIRS.models,
    load=lambda name, options: FakeBackbone(name=name),
    available=lambda name: True,
)


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test starts from BLIP alone."""
    monkeypatch.setattr(base, "OWN", {"blip": "pnpovss.backbones.blip"})
    monkeypatch.setattr(base, "entry_points", lambda **_: ())
    monkeypatch.setattr(base, "_registry", {})
    return


@pytest.mark.parametrize("name", THEIRS.models)
def test_registered_by_a_call(name: str) -> None:
    assert not any(spec.key == "theirs" for spec in known_backbones().values())
    assert register(THEIRS) is THEIRS
    assert load_backbone(name).name == name


@pytest.mark.parametrize("name", THEIRS.models)
def test_registered_by_an_entry_point(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name = "theirs"

        def load(self) -> BackboneSpec:
            return THEIRS

    def points(**chosen: str) -> tuple[Any, ...]:
        assert chosen == {"group": "pnpovss.backbones"}
        return (Point(),)

    monkeypatch.setattr(base, "entry_points", points)
    assert list(known_backbones()) == ["blip", "theirs"]
    assert load_backbone(name).name == name


def test_the_entry_point_of_blip_is_its_spec() -> None:
    assert EntryPoint("blip", "pnpovss.backbones.blip:SPEC", base.ENTRY_POINT_GROUP).load() is SPEC


def test_a_key_is_taken_once() -> None:
    register(THEIRS)
    register(THEIRS)
    other = BackboneSpec("theirs", "another", {}, lambda name: False, THEIRS.load, THEIRS.available)
    with pytest.raises(ValueError, match="'theirs' is registered already"):
        register(other)


def test_blip_leaves_others_their_hub_ids() -> None:
    assert SPEC.claims("somebody/their-model")
    register(THEIRS)
    assert not SPEC.claims("somebody/their-model")
    assert SPEC.claims("somebody/another-model")


def test_folders_go_to_who_can_read_them(tmp_path: Path) -> None:
    assert isinstance(load_backbone(save_checkpoint(tmp_path / "blip"), LoadOptions()), BlipBackbone)


def test_unknown_names_list_the_known(tmp_path: Path) -> None:
    register(THEIRS)
    with pytest.raises(UnknownModelError, match=r"'nonesuch'.*their-bundled.*Salesforce/blip-itm-large-flickr"):
        load_backbone("nonesuch")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (None, "a folder without config.json"),
        ("{", "whose config.json cannot be read"),
        ("[]", "whose config.json cannot be read"),
        ('{"model_type": "vilt"}', "whose config.json says model_type 'vilt'"),
        ("{}", "whose config.json says model_type None"),
    ],
)
def test_folders_that_nobody_claims_say_why(tmp_path: Path, config: str | None, reason: str) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(UnknownModelError, match=reason):
        load_backbone(tmp_path)
