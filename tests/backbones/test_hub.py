"""What is fetched from a hub, and what is said where it is not all there. No network: a folder stands for the hub."""

import json
import shutil
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from safetensors.torch import load_file

from pnpovss.backbones.base import LoadOptions
from pnpovss.backbones.dual_encoder import load_dual_encoder
from pnpovss.backbones.parts import hub
from pnpovss.backbones.registry import load_backbone
from pnpovss.errors import CheckpointError
from tests.support.dual_checkpoints import make_clip, save_clip

NAME, COMMIT = "somebody/some-clip", "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the model's one snapshot in a hub's cache, which holds its config alone."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / f"models--{NAME.replace('/', '--')}"
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    (snapshot / "config.json").write_text('{"model_type": "clip"}')
    return snapshot


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize(
    "there",
    [
        {},
        {"tokenizer.json": "{}"},
        {"open_clip_model.safetensors": "?"},
        {"model.safetensors.index.json": json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}})},
        {"pytorch_model.bin.index.json": json.dumps({"weight_map": {"a": "one.bin"}})},
    ],
    ids=["config alone", "tokenizer", "other weights", "a part is missing", "a pickled part is missing"],
)
def test_a_part_of_a_model_without_a_network_says_what_to_do(
    there: dict[str, str], offline: bool, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download was interrupted, or another program fetched what it needed."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    for file, content in there.items():
        (cache / file).write_text(content)
    if "model.safetensors.index.json" in there:
        (cache / "one.safetensors").write_text("?")
    asked = "reached" if offline else "asked .local_files_only."
    with pytest.raises(CheckpointError, match=f"not all of it, and no hub was {asked}: .*`hf download {NAME}`"):
        load_backbone(NAME, LoadOptions(local_files_only=not offline))


def test_an_index_that_cannot_be_read_is_told_as_such(cache: Path) -> None:
    (cache / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"^\S*model\.safetensors\.index\.json cannot be read"):
        load_backbone(NAME, LoadOptions(local_files_only=True))


def in_parts(folder: Path) -> None:
    make_clip().save_pretrained(folder, max_shard_size="50KB")
    (folder / "model.safetensors").unlink()


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def pickled_in_parts(folder: Path) -> None:
    weights = list(load_file(folder / "model.safetensors").items())
    (folder / "model.safetensors").unlink()
    parts = {"pytorch_model-1.bin": dict(weights[:20]), "pytorch_model-2.bin": dict(weights[20:])}
    for name, part in parts.items():
        torch.save(part, folder / name)
    places = {key: name for name, part in parts.items() for key in part}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def as_it_is(folder: Path) -> None:
    """One file, beside which the same lies pickled."""
    shutil.copy(folder / "model.safetensors", folder / "pytorch_model.bin")


@pytest.fixture
def served(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of which the hub's client gets what is asked for into the cache."""
    source = save_clip(tmp_path / "hub")

    def snapshot(name: str, *, allow_patterns: list[str], **_: object) -> str:
        for path in source.rglob("*"):
            place = path.relative_to(source)
            if path.is_file() and any(fnmatch(str(place), pattern) for pattern in allow_patterns):
                (cache / place).parent.mkdir(exist_ok=True)
                shutil.copy(path, cache / place)
        return str(cache)

    def one(name: str, file: str, **_: object) -> str:
        raise EntryNotFoundError(f"404: no {file}")

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    monkeypatch.setattr(hub, "hf_hub_download", one)
    return source


@pytest.mark.parametrize("form", [as_it_is, in_parts, pickled, pickled_in_parts])
def test_the_weights_that_are_read_are_fetched_and_no_others(
    form: Callable[[Path], None], served: Path, cache: Path
) -> None:
    form(served)
    others = {"open_clip_model.safetensors", "adapter_model.safetensors", "onnx/model.safetensors", "training_args.bin"}
    (served / "onnx").mkdir()
    for other in others:
        (served / other).write_bytes(b"?")
    (served / "processor_config.json").write_text(json.dumps({"image_processor": {"image_mean": [0.1, 0.2, 0.3]}}))
    card = load_backbone(NAME).card
    assert card.revision == COMMIT
    assert card.mean == (0.1, 0.2, 0.3)
    there = {str(path.relative_to(served)) for path in served.rglob("*") if path.suffix in (".safetensors", ".bin")}
    unread = others | ({"pytorch_model.bin"} if form is as_it_is else set())
    assert {str(path.relative_to(cache)) for path in cache.rglob("*") if path.suffix in (".safetensors", ".bin")} == (
        there - unread
    )


def test_a_model_of_which_the_hub_has_no_weights_is_refused(served: Path) -> None:
    (served / "model.safetensors").rename(served / "open_clip_model.safetensors")
    with pytest.raises(CheckpointError, match=rf"^the hub's model '{NAME}' has no model\.safetensors: expected model"):
        load_backbone(NAME)


LORA = {"peft_type": "LORA", "base_model_name_or_path": "openai/clip-vit-base-patch32"}
MERGE = (
    r"holds an adapter of PEFT \(adapter_config.json\), no whole model: .*\('openai/clip-vit-base-patch32'\).*"
    r"`merge_and_unload\(\)\.save_pretrained\(FOLDER\)`.*give that folder"
)


@pytest.mark.parametrize("load", [load_backbone, load_dual_encoder])
@pytest.mark.parametrize("config", [True, False])
def test_an_adapter_in_a_folder_is_refused_with_how_to_merge_it(
    load: Callable[[str], object], config: bool, tmp_path: Path
) -> None:
    folder = save_clip(tmp_path)
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(LORA))
    if not config:
        (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=MERGE):
        load(str(folder))


def test_weights_beside_an_adapter_are_refused_for_nobody_knows_what_they_hold(tmp_path: Path) -> None:
    """transformers would add the adapter where PEFT is installed, and would not elsewhere."""
    folder = save_clip(tmp_path)
    (folder / "adapter_config.json").write_text(json.dumps(LORA))
    assert load_backbone(folder).card.heads  # what remains of one
    (folder / "adapter_model.safetensors").touch()
    with pytest.raises(CheckpointError, match=r"a whole model and an adapter of PEFT .* merged .* move its files away"):
        load_backbone(folder)


def test_an_adapter_on_a_hub_is_refused_with_how_to_merge_it(served: Path) -> None:
    (served / "model.safetensors").unlink()
    (served / "adapter_config.json").write_text(json.dumps(LORA))
    with pytest.raises(CheckpointError, match=MERGE):
        load_backbone(NAME)


@pytest.mark.parametrize("offline", [False, True])
def test_an_adapter_on_a_hub_may_have_no_config_of_a_model(
    offline: bool, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "config.json").unlink()

    def one(name: str, file: str, *, local_files_only: bool, **_: object) -> str:
        if file == "config.json":
            raise LocalEntryNotFoundError("no network") if offline else EntryNotFoundError("404: no config.json")
        assert local_files_only is offline
        (cache / file).write_text(json.dumps(LORA))
        return str(cache / file)

    monkeypatch.setattr(hub, "hf_hub_download", one)
    with pytest.raises(CheckpointError, match=MERGE):
        load_backbone(NAME)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (EntryNotFoundError("404: no file"), "the hub does not give"),
        (LocalEntryNotFoundError("?"), "no hub was reached"),
    ],
)
def test_a_hub_that_has_neither_config_nor_adapter_is_told_as_before(
    error: Exception, reason: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "config.json").unlink()

    def one(name: str, file: str, **_: object) -> str:
        raise error

    monkeypatch.setattr(hub, "hf_hub_download", one)
    with pytest.raises(CheckpointError, match=reason):
        load_backbone(NAME)
