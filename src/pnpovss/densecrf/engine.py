"""What an engine of the Dense CRF must answer, and what both have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Shaped

__all__ = ["FORBIDDEN", "SMALLEST", "Engine", "Outcome", "kl_and_energy"]

# pydensecrf's smallest probability.
SMALLEST = 1e-5
# Log-probability of a label that may not be: exp of it is 0, and float32 still adds to it.
FORBIDDEN = -1e30


@dataclass(frozen=True, eq=False)
class Outcome:
    """What inference gives, as arrays of the engine's own kind.

    Attributes:
        q: float32 (label, pixel), marginal probabilities.
        labels: int32 (pixel,), the most probable label, the lowest of equals.
        kl: float64 (iterations + 1,), None unless asked for.
        energy: float64 (iterations + 1,), None unless asked for.
    """

    q: Shaped[Any, "label pixel"]
    labels: Shaped[Any, " pixel"]
    kl: Float64[np.ndarray, " iteration1"] | None
    energy: Float64[np.ndarray, " iteration1"] | None


@runtime_checkable
class Engine(Protocol):
    """Filters of one image, built when first needed, and inference with them.

    Attributes:
        device: a `torch.device`, or None for NumPy arrays in the computer's own memory.
        lattices: the filters built so far, by the index of their term; filters that do not look at the image may be
            handed on to the engine of another image of the same size.
    """

    device: Any
    lattices: dict[int, Any]

    def free_memory(self) -> int | None:
        """Bytes that can still be had where it works; None where that cannot be told."""
        ...

    def memory_needed(self, labels: int, diagnostics: bool) -> int:
        """Bytes that building what is missing and inference will take, for an image as photos are."""
        ...

    def infer(
        self,
        maps: Shaped[Any, "label pixel"],
        probabilities: bool,
        iterations: int,
        diagnostics: bool,
        go_on: Callable[[], Any] = lambda: None,
    ) -> Outcome:
        """Mean-field inference (Krähenbühl and Koltun 2011, algorithm 1).

        Args:
            maps: probabilities, or else energies.
            probabilities: which of the two.
            iterations: number of updates.
            diagnostics: whether to compute kl and energy after each of 0, 1, ... iterations.
            go_on: called before each iteration; what it raises ends the inference.

        Raises:
            InvalidInputError: values out of range, or a compatibility for another number of labels.
        """
        ...


def kl_and_energy(entropy: float, unary: float, pairwise: float) -> tuple[float, float]:
    """KL as the original defines it, and the expected energy.

    Args:
        entropy: the sum of q log q.
        unary: the sum of q U, with U the energies.
        pairwise: the sum of q P, with P minus the messages that q sends: each pair of pixels is in it twice.
    """
    return entropy + unary + pairwise, unary + pairwise / 2
