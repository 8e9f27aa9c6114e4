"""Checkpoints that nobody means well: refused as ours, before they take memory or time."""

import json
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pnpovss.backbones.base import LoadOptions
from pnpovss.backbones.blip.backbone import load_blip
from pnpovss.backbones.mini.backbone import BUNDLED, load_mini
from pnpovss.errors import CheckpointError
from pnpovss.segmenter import Segmenter
from tests.support.blip_models import save_checkpoint

DEEP = "[" * 100_000 + "]" * 100_000
MINI_TOKENIZER = json.loads((BUNDLED / "tokenizer.json").read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("whole"))


def reconfigure(section: str, **changes: Any) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config[section] |= changes
        (folder / "config.json").write_text(json.dumps(config))

    return change


def deep_header(folder: Path) -> None:
    header = DEEP.encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)


def twice_the_words(folder: Path) -> None:
    words = (folder / "vocab.txt").read_text()
    (folder / "vocab.txt").write_text(words + words)


HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "sixty million words": (
        reconfigure("text_config", vocab_size=60_000_000),
        r"describes a model of 1,92\d,\d+,\d+ numbers, the weights are \d+,\d+ bytes: they do not belong together",
    ),
    "sixty million positions": (
        reconfigure("text_config", max_position_embeddings=60_000_000),
        "do not belong together",
    ),
    "a picture of sixty million pixels": (
        reconfigure("vision_config", image_size=60_000_000),
        "do not belong together",
    ),
    "sixty million layers": (
        reconfigure("text_config", num_hidden_layers=60_000_000),
        r"says num_hidden_layers = 60000000, the weights are \d+ tensors",
    ),
    "no heads": (reconfigure("text_config", num_attention_heads=0), "describes no BlipForImageTextRetrieval: "),
    "a setting of another kind": (
        reconfigure("text_config", initializer_range=[None]),
        "describes no BlipForImageTextRetrieval: StrictDataclass",
    ),
    "a deep config": (lambda f: (f / "config.json").write_text(DEEP), "config.json cannot be read"),
    "a deep header": (deep_header, "is no safetensors file"),
    "a deep index": (
        lambda f: ((f / "model.safetensors").unlink(), (f / "model.safetensors.index.json").write_text(DEEP)),
        "index.json cannot be read",
    ),
    "words with numbers that are too high": (
        twice_the_words,
        "numbers tokens up to 27, but the model embeds 16, from 0",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_refused_before_it_takes_memory(kind: str, folder: Path):
    damage, reason = HOSTILE[kind]
    damage(folder)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, start = peak(), time.process_time()
    with pytest.raises(CheckpointError, match=reason):
        load_blip(str(folder), LoadOptions())
    assert peak() - before < 200 << 20
    assert time.process_time() - start < 5


def peak() -> int:
    """Most memory held since the peak was reset [bytes]."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) << 10


@pytest.fixture
def mini_folder(tmp_path: Path) -> Path:
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(BUNDLED / name, tmp_path)
    (tmp_path / "model.safetensors").symlink_to(BUNDLED / "model.safetensors")
    return tmp_path


@pytest.mark.parametrize(
    "part",
    [
        {"pre_tokenizer": {"type": "FixedLength", "length": 0}},
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "BAAAAP////8AAAAA"}},
    ],
)
def test_a_tokenizer_s_panic_is_our_error(mini_folder: Path, part: dict[str, Any], capfd: pytest.CaptureFixture[str]):
    """Panics of the tokenizers library are no Exceptions, so that no net but one for everything holds them."""
    (mini_folder / "tokenizer.json").write_text(json.dumps({**MINI_TOKENIZER, **part}))
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is no tokenizer that can be read"):
        load_mini(str(mini_folder), LoadOptions())
    capfd.readouterr()  # the library prints where it panicked


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"layer": "3"}, "says layer = '3'; expected an integer"),
        ({"head": -1}, "says head = -1; expected an integer"),
        ({"image_size": True}, "says image_size = True"),
        ({"settings": [1]}, r"says settings = \[1\]; expected settings by name"),
        ({"pages": 3}, "does not tell the settings it was tuned to: {"),
    ],
)
def test_settings_that_no_checkpoint_can_mean(mini_folder: Path, changes: dict[str, Any], says: str):
    config = json.loads((mini_folder / "config.json").read_text())
    config["recommended"] |= changes
    (mini_folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=says):
        load_mini(str(mini_folder), LoadOptions())


def test_a_size_that_no_model_reads(mini_folder: Path):
    config = json.loads((mini_folder / "config.json").read_text())
    config["recommended"]["image_size"] = 16 << 20
    (mini_folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"setting image_size: .*less than or equal to 4096, got 16777216"):
        Segmenter.from_pretrained(mini_folder, device="cpu")
