"""Photos of several requests encoded together, where that pays: on a GPU, which one photo does not fill.

On a CPU it does not (`benchmarks/results/names_and_batches.md`: a photo among eight costs more than one alone).
"""

import threading
from collections import deque
from concurrent.futures import Future
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor

from pnpovss.backbones.base import Backbone, ImageFeatures
from pnpovss.backbones.shared import StandIn

__all__ = ["Together"]


class Together(StandIn):
    """Stands in for a backbone; what several threads ask of `encode_images` at once is computed at once.

    Nobody waits for company: while some images are encoded, those that come meanwhile make the next batch.

    Attributes:
        inner: the backbone that computes.
        most: images encoded at once.
        batches: how many there were so far.
    """

    def __init__(self, inner: Backbone, most: int) -> None:
        super().__init__(inner)
        self.most = most
        self.batches = 0
        self._waiting: deque[tuple[Tensor, Future[ImageFeatures]]] = deque()
        self._changed = threading.Condition()
        threading.Thread(target=self._live, name="encoder", daemon=True).start()

    def encode_images(self, pixels: Float[Tensor, "b 3 H W"]) -> ImageFeatures:
        """As the backbone's own."""
        answer: Future[ImageFeatures] = Future()
        with self._changed:
            self._waiting.append((pixels, answer))
            self._changed.notify()
        return answer.result()

    def _live(self) -> None:
        while True:
            batch = self._take()
            self.batches += 1
            try:
                features = self.inner.encode_images(torch.cat([pixels for pixels, _ in batch]))
                ends = list(accumulate(len(pixels) for pixels, _ in batch))
                parts = [features[end - len(pixels) : end] for (pixels, _), end in zip(batch, ends, strict=True)]
                if len(parts) > 1:  # copies: who keeps a part must not hold on to the memory of all of them
                    parts = [type(part).join([part]) for part in parts]
            except BaseException as error:  # those who asked raise it; the next batch may do better
                for _, answer in batch:
                    answer.set_exception(error)
                continue
            for (_, answer), part in zip(batch, parts, strict=True):
                answer.set_result(part)

    def _take(self) -> list[tuple[Tensor, "Future[ImageFeatures]"]]:
        """The first that waits, and as many of its size as go with it."""
        with self._changed:
            while not self._waiting:
                self._changed.wait()
            batch = [self._waiting.popleft()]
            count = len(batch[0][0])
            for _ in range(len(self._waiting)):  # each once; those that stay keep their order
                each = self._waiting.popleft()
                if each[0].shape[1:] == batch[0][0].shape[1:] and count + len(each[0]) <= self.most:
                    batch.append(each)
                    count += len(each[0])
                else:
                    self._waiting.append(each)
            return batch
