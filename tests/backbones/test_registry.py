"""The registry: a third party's backbone needs no edit in this package."""

import logging
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pytest

from pnpovss.backbones import base
from pnpovss.backbones.base import BackboneSpec, LoadOptions, known_backbones, load_backbone, register
from pnpovss.backbones.blip import SPEC, BlipBackbone
from pnpovss.errors import ModelError, UnknownModelError
from tests.support.blip_models import save_checkpoint
from tests.support.fakes import FakeBackbone

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
    monkeypatch.setattr(base, "_broken", {})
    return


@pytest.mark.parametrize("name", THEIRS.models)
def test_registered_by_a_call(name: str) -> None:
    assert not any(spec.key == "theirs" for spec in known_backbones().values())
    assert register(THEIRS) is THEIRS
    assert load_backbone(name).name == name


@pytest.mark.parametrize("name", THEIRS.models)
def test_registered_by_an_entry_point(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def points(**chosen: str) -> tuple[Any, ...]:
        assert chosen == {"group": "pnpovss.backbones"}
        return (EntryPoint("theirs", f"{__name__}:THEIRS", base.ENTRY_POINT_GROUP),)

    monkeypatch.setattr(base, "entry_points", points)
    assert list(known_backbones()) == ["blip", "theirs"]
    assert load_backbone(name).name == name


def test_the_entry_point_of_blip_is_its_spec() -> None:
    assert EntryPoint("blip", "pnpovss.backbones.blip:SPEC", base.ENTRY_POINT_GROUP).load() is SPEC


def install(folder: Path, package: str, backbone: str, code: str) -> None:
    """A package as pip leaves it, with one entry point and one module."""
    (folder / f"{package}.py").write_text(code)
    info = folder / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[pnpovss.backbones]\n{backbone} = {package}:SPEC\n")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("", "AttributeError: module '{package}' has no attribute 'SPEC'"),
        ("SPEC = 3", "TypeError: expected a BackboneSpec, got int"),
        ("from pnpovss.backbones.base import BackboneSpec\nSPEC = BackboneSpec('blip', '', {{}}, bool, print, bool)",
         "ValueError: a backbone with key 'blip' is registered already"),
    ],
    ids=["import", "crash", "absent", "no spec", "key taken"],
)  # fmt: skip
def test_a_broken_package_breaks_nobody_else(
    code: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    broken = f"aaa_broken_{request.node.callspec.id.replace(' ', '_')}"  # a module is imported once
    install(tmp_path, broken, "broken", code.format())
    install(tmp_path, f"{broken}_sound", "sound", f"from {__name__} import THEIRS as SPEC")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(base, "entry_points", lambda group: entry_points(group=group))
    with caplog.at_level(logging.WARNING, logger="pnpovss"):
        assert list(known_backbones()) == ["blip", "theirs"]
        assert list(known_backbones()) == ["blip", "theirs"]
    [said] = caplog.messages  # once
    assert f"the backbone 'broken' of the package {broken} 1.2 cannot be used" in said
    assert reason.format(package=broken) in said
    assert f"update or uninstall {broken}" in said
    assert load_backbone("their-bundled").name == "their-bundled"
    with pytest.raises(ModelError, match=f"the backbone 'broken' of the package {broken} 1.2 cannot be used"):
        load_backbone("broken")
    with pytest.raises(UnknownModelError, match=f"'nonesuch'.*Perhaps it belongs to one that is broken:.*{broken}"):
        load_backbone("nonesuch")


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
