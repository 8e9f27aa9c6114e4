"""Where the model looks, on its patch grid."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pnpovss.results import checks

__all__ = ["HeatMaps"]


@dataclass(frozen=True, eq=False)
class HeatMaps:
    """Where each name, and each word of the prompt, leads the model to look; on the patch grid, before refinement.

    Attributes:
        names: Float32 "kept gh gw", non-negative, the sum over the passes of Salience Dropout.
        words: the words of the prompt in order, prefix included; names in several prompts repeat the prefix.
        word_maps: Float32 "word gh gw", as `names`, of each word (mean over its tokens).
    """

    names: Float[np.ndarray, "kept gh gw"]
    words: tuple[str, ...]
    word_maps: Float[np.ndarray, "word gh gw"]

    def __post_init__(self) -> None:
        """Refuse maps that do not fit together.

        Raises:
            InvalidInputError: another type, shape or range.
        """
        checks.check_array("heat maps of names", self.names, np.float32, ("kept", "gh", "gw"))
        grid = self.names.shape[1:]
        checks.check_array("heat maps of words", self.word_maps, np.float32, (len(self.words), *grid))
        checks.check_range("heat maps of names", self.names)
        checks.check_range("heat maps of words", self.word_maps)

    @classmethod
    def none(cls) -> "HeatMaps":
        """Where nothing was looked for."""
        return cls(np.zeros((0, 0, 0), np.float32), (), np.zeros((0, 0, 0), np.float32))
