"""Captions of Flickr8k and the nouns in them."""

import csv
import io
import re
import tarfile
from collections import Counter
from pathlib import Path

from training.photos import ARCHIVES
from training.vocabulary import EXTRA_CAPTION_WORDS, NO_NAMES
from training.wordnet import PHYSICAL, WordNet

_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")
_SAME = {"people": "people", "men": "man", "women": "woman", "children": "child", "kids": "kid", "guys": "guy"}


def read_captions(data: Path) -> dict[str, list[str]]:
    """The captions of each Flickr8k photo, by its path in the archive."""
    with tarfile.open(data / ARCHIVES["flickr8k"]) as archive:
        file = archive.extractfile("captions.csv")
        if file is None:
            raise FileNotFoundError(f"no captions.csv in {data / ARCHIVES['flickr8k']}")
        rows = csv.DictReader(io.TextIOWrapper(file, "utf-8"))
        captions: dict[str, list[str]] = {}
        for row in rows:
            captions.setdefault(f"images/{row['image']}", []).append(row["caption"].strip())
    return captions


def nouns_of(caption: str, wordnet: WordNet) -> set[str]:
    """Nouns and two-word compounds in a caption that name something one can point at, as lemmas."""
    found = set()
    for phrase, lemma in _lemmas(caption, wordnet).items():
        if lemma in EXTRA_CAPTION_WORDS or phrase in EXTRA_CAPTION_WORDS:
            found.add(lemma if lemma in EXTRA_CAPTION_WORDS else phrase)
        elif lemma and lemma not in NO_NAMES and wordnet.first_sense(lemma).topic in PHYSICAL:
            found.add(lemma)
    return found


def phrases_of(caption: str, wordnet: WordNet) -> set[str]:
    """All words and pairs of words of a caption, as they stand and as lemmas, whatever they mean there."""
    lemmas = _lemmas(caption, wordnet)
    return {*lemmas, *filter(None, lemmas.values())}


def _lemmas(caption: str, wordnet: WordNet) -> dict[str, str | None]:
    """The lemma of each word and each pair of words of a caption; None for those that are no noun."""
    words = _WORD.findall(caption.lower())
    phrases = {" ".join(words[i : i + count]) for count in (1, 2) for i in range(len(words) - count + 1)}
    return {phrase: _SAME.get(phrase) or wordnet.singular(phrase) for phrase in phrases}


def photo_nouns(captions: dict[str, list[str]], wordnet: WordNet) -> dict[str, Counter[str]]:
    """For each photo, how many of its captions hold each noun."""
    return {
        photo: Counter(noun for caption in texts for noun in nouns_of(caption, wordnet))
        for photo, texts in captions.items()
    }
