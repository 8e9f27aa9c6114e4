"""What is fetched from a hub, and what is said where it is not all there. No network: a folder stands for the hub."""

import json
from pathlib import Path

import pytest

from pnpovss.backbones.base import LoadOptions
from pnpovss.backbones.registry import load_backbone
from pnpovss.errors import CheckpointError

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
