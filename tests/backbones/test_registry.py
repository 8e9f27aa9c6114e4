"""The registry: a third party's backbone needs no edit in this package."""

import logging
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pytest

from pnpovss import plugins
from pnpovss.backbones import registry
from pnpovss.backbones.base import LoadOptions
from pnpovss.backbones.blip import SPEC
from pnpovss.backbones.blip.backbone import BlipBackbone
from pnpovss.backbones.registry import BackboneSpec, known_backbones, load_backbone, register
from pnpovss.errors import CheckpointError, ModelError, UnknownModelError
from pnpovss.plugins import Registry
from tests.support.blip_models import save_checkpoint
from tests.support.fakes import FakeBackbone

THEIRS = BackboneSpec(
    key="theirs",
    summary="a third party's",
    model_types=("theirs",),
    models={"somebody/their-model": "on a hub", "their-bundled": "in their package"},
    load=lambda name, options: FakeBackbone(name=name),
    available=lambda name: True,
)


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test starts from BLIP alone."""
    own = {"blip": "pnpovss.backbones.blip:SPEC"}
    monkeypatch.setattr(registry, "_backbones", Registry("backbone", BackboneSpec, "pnpovss.backbones", own))
    monkeypatch.setattr(plugins, "entry_points", lambda **_: ())


@pytest.mark.parametrize("name", THEIRS.models)
def test_registered_by_a_call(name: str) -> None:
    assert not any(spec.key == "theirs" for spec in known_backbones().values())
    assert register(THEIRS) is THEIRS
    assert load_backbone(name).card.name == name


@pytest.mark.parametrize("name", THEIRS.models)
def test_registered_by_an_entry_point(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def points(**chosen: str) -> tuple[Any, ...]:
        assert chosen == {"group": "pnpovss.backbones"}
        return (EntryPoint("theirs", f"{__name__}:THEIRS", "pnpovss.backbones"),)

    monkeypatch.setattr(plugins, "entry_points", points)
    assert list(known_backbones()) == ["blip", "theirs"]
    assert load_backbone(name).card.name == name


def test_the_entry_point_of_blip_is_its_spec() -> None:
    assert EntryPoint("blip", "pnpovss.backbones.blip:SPEC", "pnpovss.backbones").load() is SPEC


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
        ("from pnpovss.backbones.registry import BackboneSpec\nSPEC = BackboneSpec('blip', '', (), {{}}, print, bool)",
         "ValueError: its key is 'blip'; expected the entry point's name"),
    ],
    ids=["import", "crash", "absent", "no spec", "key taken"],
)  # fmt: skip
def test_a_broken_package_breaks_nobody_else(
    code: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    broken = f"aaa_broken_{request.node.callspec.id.replace(' ', '_')}"  # a module is imported once
    install(tmp_path, broken, "broken", code.format())
    install(tmp_path, f"{broken}_sound", "theirs", f"from {__name__} import THEIRS as SPEC")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "entry_points", lambda group: entry_points(group=group))
    with caplog.at_level(logging.WARNING, logger="pnpovss"):
        assert list(known_backbones()) == ["blip", "theirs"]
        assert list(known_backbones()) == ["blip", "theirs"]
    [said] = caplog.messages  # once
    assert f"the backbone 'broken' of the package {broken} 1.2 cannot be used" in said
    assert reason.format(package=broken) in said
    assert f"update or uninstall {broken}" in said
    assert load_backbone("their-bundled").card.name == "their-bundled"
    with pytest.raises(ModelError, match=f"the backbone 'broken' of the package {broken} 1.2 cannot be used"):
        load_backbone("broken")
    with pytest.raises(UnknownModelError, match=f"'nonesuch'.*Perhaps it belongs to one that is broken:.*{broken}"):
        load_backbone("nonesuch")


def test_a_key_is_taken_once() -> None:
    register(THEIRS)
    register(THEIRS)
    other = BackboneSpec("theirs", "another", (), {}, THEIRS.load)
    with pytest.raises(ValueError, match="there is a backbone with key 'theirs' already"):
        register(other)
    with pytest.raises(ValueError, match="model type 'theirs' is registered already, by the backbone 'theirs'"):
        register(BackboneSpec("others", "another", ("theirs",), {}, THEIRS.load))


def cached(cache: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub's cache that holds the config of one model."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = cache / f"models--{name.replace('/', '--')}"
    (folder / "snapshots" / commit).mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit / "config.json").write_text(f'{{"model_type": "{kind}"}}')


def test_a_fine_tuned_checkpoint_finds_its_backbone_by_its_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(THEIRS)
    cached(tmp_path, "somebody/fine-tuned-on-birds", "theirs", monkeypatch)
    assert load_backbone("somebody/fine-tuned-on-birds").card.name == "somebody/fine-tuned-on-birds"


def test_a_hub_id_of_an_unknown_architecture_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached(tmp_path, "somebody/a-detector", "detr", monkeypatch)
    with pytest.raises(UnknownModelError, match=r"'somebody/a-detector', whose config\.json says model_type 'detr'"):
        load_backbone("somebody/a-detector")


def test_a_hub_id_that_is_nowhere_is_asked_of_the_hub_alone() -> None:
    with pytest.raises(CheckpointError, match=r"'nobody/nothing' is not on this machine.*hf download nobody/nothing"):
        load_backbone("nobody/nothing", LoadOptions(local_files_only=True))


def test_folders_go_to_who_can_read_them(tmp_path: Path) -> None:
    assert isinstance(load_backbone(save_checkpoint(tmp_path / "blip"), LoadOptions()), BlipBackbone)


def test_unknown_names_list_the_known(tmp_path: Path) -> None:
    register(THEIRS)
    with pytest.raises(UnknownModelError, match=r"'nonesuch'.*Salesforce/blip-itm-large-flickr.*their-bundled"):
        load_backbone("nonesuch")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (None, "a folder without config.json"),
        ("{", "whose config.json cannot be read"),
        ("[]", "whose config.json cannot be read"),
        ('{"model_type": "vilt"}', "whose config.json says model_type 'vilt'"),
        ("{}", "whose config.json cannot be read"),
    ],
)
def test_folders_that_nobody_claims_say_why(tmp_path: Path, config: str | None, reason: str) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(UnknownModelError, match=reason):
        load_backbone(tmp_path)
