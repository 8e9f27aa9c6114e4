"""Where the model looks, on its patch grid."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pnpovss.errors import InvalidInputError
from pnpovss.results import checks

__all__ = ["HeatMaps"]


@dataclass(frozen=True, eq=False)
class HeatMaps:
    """Where each name, and each word of the prompt, leads the model to look; on the patch grid, before refinement.

    Attributes:
        names: Float32 "kept gh gw", non-negative, the sum over the passes of Salience Dropout.
        words: the words of the prompt in order, prefix included; names in several prompts repeat the prefix.
        word_maps: Float32 "word gh gw", as `names`, of each word (mean over its tokens).
        words_of_names: which of the words belong to names, as indices in order; None where that was not saved.
    """

    names: Float[np.ndarray, "kept gh gw"]
    words: tuple[str, ...]
    word_maps: Float[np.ndarray, "word gh gw"]
    words_of_names: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse maps that do not fit together.

        Raises:
            InvalidInputError: another type, shape or range, or indices of words that there are not.
        """
        checks.check_array("heat maps of names", self.names, np.float32, ("kept", "gh", "gw"))
        grid = self.names.shape[1:]
        checks.check_array("heat maps of words", self.word_maps, np.float32, (len(self.words), *grid))
        checks.check_range("heat maps of names", self.names)
        checks.check_range("heat maps of words", self.word_maps)
        for word in self.words_of_names or ():
            if not 0 <= word < len(self.words):
                raise InvalidInputError(f"word {word} is said to belong to a name; there are {len(self.words)} words")

    @property
    def shown_words(self) -> list[tuple[str, Float[np.ndarray, "gh gw"]]]:
        """The words that belong to names, with their maps; all words where it is not known which do."""
        chosen = range(len(self.words)) if self.words_of_names is None else self.words_of_names
        return [(self.words[i], self.word_maps[i]) for i in chosen]
