"""Checkpoint folders, one of their files damaged: loaded, and where that goes well, put to work."""

import json
import os
import shutil
import struct
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image
from tokenizers.implementations.bert_wordpiece import BertWordPieceTokenizer

from pnpovss.backbones.mini.backbone import BUNDLED
from pnpovss.segmenter import Segmenter
from tests.fuzz.mutate import change_bytes, change_json
from tests.support.blip_models import save_checkpoint

_PREPROCESSOR = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25], "do_resize": True}
# Parts of tokenizers on which the library that reads them panics, or may.
_PARTS = (
    ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
    ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "BAAAAP////8AAAAA"}),
    ("normalizer", {"type": "Replace", "pattern": {"Regex": ""}, "content": "x"}),
    ("pre_tokenizer", {"type": "FixedLength", "length": 0}),
    ("pre_tokenizer", {"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated", "invert": False}),
    ("pre_tokenizer", None),
    ("post_processor", None),
    ("truncation", {"direction": "Right", "max_length": 0, "strategy": "LongestFirst", "stride": 5}),
)


class Checkpoints:
    """Small random BLIPs with either tokenizer file, and the bundled model."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "model"
        words, whole = folder / "words", folder / "whole"
        for blip in (words, whole):
            save_checkpoint(blip)
            (blip / "preprocessor_config.json").write_text(json.dumps(_PREPROCESSOR))
            (blip / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
        BertWordPieceTokenizer(str(whole / "vocab.txt")).save(str(whole / "tokenizer.json"))
        self._seeds = [words, whole, words, whole, words, whole, BUNDLED]
        self._photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 40, 3), np.uint8))

    def run(self, rng: Random, number: int) -> None:
        """One damaged folder."""
        seed = self._seeds[number % len(self._seeds)]
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        files = sorted(path for path in seed.iterdir() if path.suffix in (".json", ".txt", ".safetensors"))
        for path in files:
            os.symlink(path, self._folder / path.name)
        damaged = self._folder / rng.choice(files).name
        content = damaged.read_bytes()
        damaged.unlink()
        if rng.random() > 0.03:
            damaged.write_bytes(_damage(damaged.name, content, rng))
        segmenter = Segmenter.from_pretrained(self._folder, device="cpu", without=["crf"])
        if (segmenter.config.image_size or 0) <= 512:
            segmenter(self._photo, ["cat", ["dog", "potted plant"]], name_match=True)


def _damage(name: str, content: bytes, rng: Random) -> bytes:
    if rng.random() < 0.25:
        return change_bytes(content, rng)
    if name.endswith(".safetensors"):
        return _tensors(content, rng)
    if name == "tokenizer.json" and rng.random() < 0.3:
        part, kind = rng.choice(_PARTS)
        return json.dumps({**json.loads(content), part: kind}).encode()
    if name.endswith(".json"):
        return change_json(json.loads(content), rng).encode("utf-8", "surrogatepass")
    lines = content.splitlines(keepends=True)
    rng.choice((rng.shuffle, list.reverse, list.pop, lambda some: some.extend(some)))(lines)
    return b"".join(lines)


def _tensors(content: bytes, rng: Random) -> bytes:
    """Another header over the same numbers, or the same header over other numbers."""
    [length] = struct.unpack_from("<Q", content)
    header, numbers = content[8 : 8 + length], bytearray(content[8 + length :])
    if rng.random() < 0.6:
        header = change_json(json.loads(header), rng).encode("utf-8", "surrogatepass")
        header += b" " * (-len(header) % 8)
    else:
        at = rng.randrange(len(numbers) - 4)
        kind = rng.choice((b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff\xff\x7f\x7f", b"\xff" * 4))
        numbers[at - at % 4 : at - at % 4 + 4] = kind
    return struct.pack("<Q", len(header)) + header + bytes(numbers)
