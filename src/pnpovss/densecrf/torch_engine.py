"""The Dense CRF of one image in torch operations, on whatever device the image lives on.

The same lattice, in the same order of operations, as the compiled one; built by sorting instead of hashing. Nothing
is scattered: splatting sums sorted segments, so results do not change from run to run, on a GPU either.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from pnpovss.densecrf import memory
from pnpovss.densecrf.checks import check_energies, check_not_all_forbidden, check_probabilities
from pnpovss.densecrf.engine import FORBIDDEN, SMALLEST, Outcome, kl_and_energy
from pnpovss.densecrf.keys import KeyLayout, key_layout
from pnpovss.densecrf.terms import Term, potts_weight, reward_matrix
from pnpovss.errors import InvalidInputError

__all__ = ["TorchEngine"]

# Labels filtered at a time, which bounds the memory of splatting.
_LABELS = 16


@dataclass(frozen=True, eq=False)
class TorchLattice:
    """A Gaussian filter, factored as slice * blur * splat, normalised symmetrically.

    Attributes:
        points: int64 (pixel, corner), the lattice points around each pixel, from 0.
        weights: float32 (pixel, corner, 1), weight of each, in slicing.
        pixels: int64 (entry,), pixels sorted by lattice point.
        splat_weights: float32 (entry, 1), their weights.
        counts: int64 (point,), how many of them each point has.
        before, after: int64 (corner, point), neighbours along each axis; the number of points where there is none.
        gain: factor of the filtered values.
    """

    points: Int64[Tensor, "pixel corner"]
    weights: Float32[Tensor, "pixel corner 1"]
    pixels: Int64[Tensor, " entry"]
    splat_weights: Float32[Tensor, "entry 1"]
    counts: Int64[Tensor, " point"]
    before: Int64[Tensor, "corner point"]
    after: Int64[Tensor, "corner point"]
    gain: float

    def filter(self, values: Float32[Tensor, "pixel label"]) -> Float32[Tensor, "pixel label"]:
        """The filtered values."""
        return torch.cat([self._filter(part) for part in values.split(_LABELS, dim=1)], dim=1)

    def _filter(self, values: Float32[Tensor, "pixel label"]) -> Float32[Tensor, "pixel label"]:
        entries = values[self.pixels] * self.splat_weights
        splatted = torch.segment_reduce(entries, "sum", lengths=self.counts, axis=0, unsafe=True)
        # One more row of 0 stands for points that do not exist.
        lattice = torch.nn.functional.pad(splatted, (0, 0, 0, 1)) * self.gain
        for before, after in zip(self.before, self.after, strict=True):
            lattice[:-1] += 0.5 * (lattice[before] + lattice[after])
        total = lattice[self.points[:, 0]] * self.weights[:, 0]
        for corner in range(1, self.points.shape[1]):
            total += lattice[self.points[:, corner]] * self.weights[:, corner]
        return total


class TorchEngine:
    """An `Engine` for torch tensors.

    Args:
        image: (h, w, channel) or (h, w) tensor or array, uint8 or floating-point; its device is the engine's.
        terms: pairwise terms.
    """

    def __init__(self, image: Tensor | np.ndarray, terms: Sequence[Term]) -> None:
        tensor = _tensor(image)
        if not (tensor.dtype == torch.uint8 or tensor.is_floating_point()):
            raise InvalidInputError(f"the image must be uint8 or floating-point, got {tensor.dtype}")
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InvalidInputError("the image holds NaN or infinite values")
        self.device = tensor.device
        self.lattices: dict[int, TorchLattice] = {}
        self._size = (tensor.shape[0], tensor.shape[1])
        self._channels = tensor.reshape(self._size[0] * self._size[1], -1).clone()  # the caller may change the image
        self._terms = tuple(terms)

    def free_memory(self) -> int | None:
        """See `Engine`."""
        if self.device.type == "cpu":
            return memory.free_memory()
        if self.device.type != "cuda":
            return None
        held = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return torch.cuda.mem_get_info(self.device)[0] + held  # What PyTorch holds and does not use counts as free.

    def memory_needed(self, labels: int, diagnostics: bool) -> int:
        """See `Engine`."""
        pixels = len(self._channels)
        missing = [i for i in range(len(self._terms)) if i not in self.lattices]
        corners = [len(term.widths(self._channels.shape[1])) + 1 for term in self._terms]
        tables = 96 * pixels * sum(corners[i] for i in missing)  # Sorting holds keys, order and inverse at once.
        filtered = 2 * min(labels, _LABELS) * (max(corners, default=0) + 1)
        return tables + 4 * pixels * (labels * (5 + diagnostics) + filtered)

    @torch.no_grad()
    def infer(
        self,
        maps: Tensor | np.ndarray,
        probabilities: bool,
        iterations: int,
        diagnostics: bool,
        go_on: Callable[[], Any] = lambda: None,
    ) -> Outcome:
        """See `Engine`."""
        labels = len(maps)
        logs = _logs(_tensor(maps).to(self.device, torch.float32), probabilities).T.contiguous()
        lattices = self._ready()
        rewards = [
            None if potts_weight(term) is not None else torch.from_numpy(reward_matrix(term, labels)).to(self.device)
            for term in self._terms
        ]
        q, measures = torch.softmax(logs, dim=1), []
        for step in range(iterations + diagnostics):
            go_on()
            sums = logs.clone()
            for lattice, reward in zip(lattices, rewards, strict=True):
                message = lattice.filter(q)
                sums += message if reward is None else message @ reward
            if diagnostics:
                measures.append(_measure(q, logs, sums))
            if step < iterations:
                q = torch.softmax(sums, dim=1)
        kl, energy = np.array(measures).T if diagnostics else (None, None)
        return Outcome(q.T.contiguous(), q.argmax(dim=1).int(), kl, energy)

    def _ready(self) -> list[TorchLattice]:
        for i, term in enumerate(self._terms):
            if i not in self.lattices:
                weight = potts_weight(term)
                channels = self._channels if term.sees_image else self._channels[:, :0]
                widths = np.array(term.widths(channels.shape[1]))
                gain = 1.0 if weight is None else weight
                self.lattices[i] = _build(channels, self._size, widths, gain)
        return [self.lattices[i] for i in range(len(self._terms))]


def _tensor(array: Tensor | np.ndarray) -> Tensor:
    """`array` as a tensor; torch takes neither read-only arrays nor negative strides, so those are copied."""
    if isinstance(array, Tensor):
        return array
    plain = array.flags.writeable and all(stride >= 0 for stride in array.strides)
    return torch.from_numpy(array if plain else array.copy())


def _logs(maps: Tensor, probabilities: bool) -> Tensor:
    lowest, highest = maps.aminmax()
    if probabilities:
        check_probabilities(lowest, highest)
        return maps.clamp(SMALLEST, 1.0).log()
    check_energies(lowest)
    logs = (-maps).clamp(FORBIDDEN, -FORBIDDEN)
    check_not_all_forbidden(int((logs.amax(dim=0) <= FORBIDDEN).sum()))
    return logs


def _measure(q: Tensor, logs: Tensor, sums: Tensor) -> tuple[float, float]:
    """`kl_and_energy` of `q`; `sums` is `logs` plus the messages that q sends."""
    q, logs, sums = q.double(), logs.double(), sums.double()
    entropy = (q * q.clamp(min=1e-20).log()).sum()
    return kl_and_energy(float(entropy), float(-(q * logs).sum()), float(-(q * (sums - logs)).sum()))


def _build(channels: Tensor, size: tuple[int, int], widths: np.ndarray, gain: float) -> TorchLattice:
    features = _features(channels, size, widths)
    layout = key_layout(features.amin(dim=1).cpu().numpy(), features.amax(dim=1).cpu().numpy())
    keys, weights = _embed(features, layout)
    found, points = torch.unique(keys, return_inverse=True)
    order = points.flatten().argsort(stable=True)
    corners, count = points.shape[1], len(found)
    before, after = _neighbours(found, torch.from_numpy(layout.steps).to(found.device))
    alpha = 1.0 / (1.0 + 2.0 ** (1 - corners))

    def lattice(weights: Tensor, gain: float) -> TorchLattice:
        sorted_weights = weights.flatten()[order][:, None]
        counts = torch.bincount(points.flatten(), minlength=count)
        return TorchLattice(points, weights[..., None], order // corners, sorted_weights, counts, before, after, gain)

    sums = lattice(weights, alpha).filter(torch.ones_like(weights[:, :1]))
    return lattice(weights / (sums + 1e-20).sqrt(), alpha * gain)


def _features(channels: Tensor, size: tuple[int, int], widths: np.ndarray) -> Float32[Tensor, "dim pixel"]:
    height, width = size
    device = channels.device
    y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
    planes = [x.flatten(), y.flatten(), *channels.T]
    return torch.stack([plane.float() / float(s) for plane, s in zip(planes, widths, strict=True)])


def _embed(
    features: Float32[Tensor, "dim pixel"], layout: KeyLayout
) -> tuple[Int64[Tensor, "pixel corner"], Float32[Tensor, "pixel corner"]]:
    """Keys of the simplex's corners and barycentric weights, as `lattice_kernels.embed`, operation by operation."""
    dims = len(features)
    corners = dims + 1
    scaled = features * torch.from_numpy(layout.scales).to(features.device)[:, None]
    elevated = features.new_empty(corners, features.shape[1])
    rest = torch.zeros_like(scaled[0])
    for j in range(dims, 0, -1):
        elevated[j] = rest - j * scaled[j - 1]
        rest = rest + scaled[j - 1]
    elevated[0] = rest
    down = float(np.float32(1.0) / np.float32(corners))
    nearest = (elevated * down).round()
    apart = elevated - nearest * corners
    rank = nearest.sum(dim=0).long().repeat(corners, 1)
    for i in range(dims):
        for j in range(i + 1, corners):
            smaller = apart[i] < apart[j]
            rank[i] += smaller
            rank[j] += ~smaller
    shift = (rank < 0).long() - (rank > dims).long()
    rank += shift * corners
    nearest += shift
    apart = (elevated - nearest * corners) * down
    strides = torch.from_numpy(layout.strides).to(features.device)
    ordered = torch.empty_like(apart).scatter_(0, rank, apart)
    steps = torch.empty_like(rank).scatter_(0, rank, strides[:, None].expand_as(rank).contiguous())
    low = torch.from_numpy(layout.low).to(features.device)
    key = ((nearest[:dims].long() - low[:, None]) * strides[:dims, None]).sum(dim=0)
    falls = (1 - steps[1:].flip(0)).cumsum(dim=0)
    keys = torch.cat([key[None], key + falls])
    first = ordered[dims] + (1.0 - ordered[0])
    others = ordered[:-1].flip(0) - ordered[1:].flip(0)
    return keys.T.contiguous(), torch.cat([first[None], others]).T.contiguous()


def _neighbours(found: Int64[Tensor, " point"], steps: Int64[Tensor, "corner corner"]) -> tuple[Tensor, Tensor]:
    """Neighbours of the sorted keys `found`, back and forth along each axis."""
    count, corners = len(found), len(steps)
    wanted = found + steps[found % corners].T
    place = torch.searchsorted(found, wanted.contiguous()).clamp(max=count - 1)
    before = torch.where(found[place] == wanted, place, count)
    after = torch.full((corners, count + 1), count, device=found.device)
    own = torch.arange(count, device=found.device).expand(corners, count)
    # A point has one point before it, so no two write to one place; those without one write to the last, cut off.
    after.scatter_(1, before, own)
    return before, after[:, :count].contiguous()
