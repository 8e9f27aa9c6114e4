"""Names from Python and from files, and what a model makes of those that are taken."""

from pathlib import Path
from random import Random

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from pnpovss.names import Name, parse_names, read_names_file
from pnpovss.segmenter import Segmenter
from tests.fuzz.mutate import change_bytes, draw, odd_text, odd_value

_WORDS = st.one_of(
    st.text(max_size=12),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
    st.text(st.characters(categories=["Cf", "Mn", "Cs", "Co", "Cc", "Zl"]), max_size=4),
    st.sampled_from(["cat", "potted plant", "[SEP]", "[ENC]", "##s", "cat. sofa.", "3: cat", "background", "x" * 400]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=2000),
)
_ITEMS = st.one_of(_WORDS, st.lists(_WORDS, max_size=4), st.none(), st.integers(), st.binary(max_size=3))
_NAMES = st.one_of(st.lists(_ITEMS, max_size=6), _WORDS, st.sets(_WORDS), st.none(), st.integers())
_FILES = (
    b"cat\nsofa, couch\n# a remark\npotted plant\n",
    b"0: background\n1: cat\n2: dog\n",
    b"\xef\xbb\xbfcat\r\nsofa\r\n",
    "Äpfel\n\u0433\u0442\n猫\n".encode(),
    "cat\nsofa\n".encode("utf-16"),
)


class Names:
    """Lists, files, and now and then a whole segmentation by them."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "names.txt"
        self._segmenter = Segmenter.from_pretrained("mini", device="cpu", without=["dropout", "crf"])
        self._photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 40, 3), np.uint8))

    def run(self, rng: Random, number: int) -> None:
        """One list or file."""
        match number % 4:
            case 0:
                self._file.write_bytes(change_bytes(rng.choice(_FILES), rng))
                names = read_names_file(self._file, positional=rng.random() < 0.5).names
            case 1:
                given = [odd_value(rng) if rng.random() < 0.3 else odd_text(rng) for _ in range(rng.randint(0, 4))]
                names = parse_names(given)
            case _:
                names = parse_names(draw(_NAMES, number, 0))
        if number % 5 == 0:
            asked = [Name(str(name.text), name.synonyms) for name in names[:6]]
            self._segmenter(self._photo, asked, name_match=True)
