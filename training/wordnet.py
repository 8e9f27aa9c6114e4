"""A small reader of WordNet 3.0's noun files (`data.noun`, `index.noun`, `noun.exc`)."""

from dataclasses import dataclass
from pathlib import Path

PHYSICAL = {5: "animal", 6: "artifact", 8: "body", 13: "food", 17: "object", 18: "person", 20: "plant", 27: "substance"}
"""Lexicographer files whose nouns can be pointed at in a photo."""

_ENDINGS = (
    ("ies", "y"),
    ("ves", "f"),
    ("men", "man"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("xes", "x"),
    ("ses", "s"),
    ("s", ""),
)


@dataclass(frozen=True)
class Synset:
    """One meaning.

    Attributes:
        offset: its number, the eight digits of ImageNet's ids.
        lemmas: the words for it, as people write them.
        parents: offsets of its hypernyms.
        topic: lexicographer file, see :data:`PHYSICAL`.
    """

    offset: int
    lemmas: tuple[str, ...]
    parents: tuple[int, ...]
    topic: int


def _parse(line: str) -> Synset:
    fields = line.split(" | ")[0].split()
    words = int(fields[3], 16)
    lemmas = tuple(fields[4 + 2 * i].replace("_", " ") for i in range(words))
    start = 4 + 2 * words
    pointers = fields[start + 1 : start + 1 + 4 * int(fields[start])]
    parents = tuple(
        int(pointers[i + 1])
        for i in range(0, len(pointers), 4)
        if pointers[i] in ("@", "@i") and pointers[i + 2] == "n"
    )
    return Synset(int(fields[0]), lemmas, parents, int(fields[1]))


class WordNet:
    """Nouns of WordNet by offset and by word."""

    def __init__(self, folder: Path) -> None:
        if not (folder / "data.noun").exists():
            raise FileNotFoundError(
                f"no data.noun in {folder}; Debian's wordnet-base has it (`apt-get install wordnet-base`, "
                "then /usr/share/wordnet), or unpack that package with `dpkg -x` and give the folder"
            )
        self.synsets = {synset.offset: synset for synset in map(_parse, _entries(folder / "data.noun"))}
        self._ancestors: dict[int, frozenset[int]] = {}
        self.senses: dict[str, tuple[int, ...]] = {}
        self.familiar: set[str] = set()  # words that occur in WordNet's sense-tagged texts
        for line in _entries(folder / "index.noun"):
            fields = line.split()
            self.senses[fields[0].replace("_", " ")] = tuple(int(x) for x in fields[-int(fields[2]) :])
            if int(fields[-int(fields[2]) - 1]) > 0:
                self.familiar.add(fields[0].replace("_", " "))
        self.irregular = dict(line.split()[:2] for line in (folder / "noun.exc").read_text().splitlines())

    def singular(self, word: str) -> str | None:
        """The lemma of a (plural) noun, or None for a word that is no noun."""
        if word in self.irregular and self.irregular[word] in self.senses:
            return self.irregular[word]
        if word in self.senses and not word.endswith("s"):
            return word
        for ending, instead in _ENDINGS:
            stem = word[: -len(ending)] + instead
            if word.endswith(ending) and stem in self.senses:
                return stem
        return word if word in self.senses else None

    def first_sense(self, lemma: str) -> Synset:
        """The commonest meaning of a noun."""
        return self.synsets[self.senses[lemma][0]]

    def ancestors(self, offset: int) -> frozenset[int]:
        """All hypernyms of a synset, itself included."""
        if offset in self._ancestors:
            return self._ancestors[offset]
        found = {offset}
        for parent in self.synsets[offset].parents:
            found |= self.ancestors(parent)
        self._ancestors[offset] = frozenset(found)
        return self._ancestors[offset]


def _entries(path: Path) -> list[str]:
    """Lines of a WordNet file without the licence at its head."""
    return [line for line in path.read_text().splitlines() if not line.startswith("  ")]
