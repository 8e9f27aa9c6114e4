"""The modules of `mini` put together; how they answer as a backbone is in `pnpovss.backbones.mini.backbone`."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pnpovss.backbones.mini.lite2 import CLASSES, STRIDE, Lite2
from pnpovss.backbones.mini.neck import SEMANTIC_WIDTH, WIDTH, Neck, semantic_tokens
from pnpovss.backbones.mini.text import Text

CONTRASTIVE_WIDTH = 256


class Mini(nn.Module):
    """EfficientNet-Lite2 and MiniLM with a match head and a contrastive head."""

    class_embeddings: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Lite2()
        self.register_buffer("class_embeddings", torch.zeros(CLASSES, SEMANTIC_WIDTH))
        self.neck = Neck()
        self.text = Text()
        self.itm_head = nn.Linear(WIDTH, 2)
        self.vision_proj = nn.Linear(WIDTH, CONTRASTIVE_WIDTH)
        self.text_proj = nn.Linear(WIDTH, CONTRASTIVE_WIDTH)

    def image_features(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n 600"]:
        """What the frozen side sees: middle, top and semantic features of each 16 x 16 patch."""
        mid, top = (x.flatten(2).mT for x in self.trunk(pixels))
        words = semantic_tokens(self.trunk.dense_logits(top), self.class_embeddings)
        return torch.cat([mid, top, words.to(mid.dtype)], -1)

    def image_tokens(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b token 384"]:
        """Image tokens of normalised pixels, the global one first."""
        grid = (pixels.shape[2] // STRIDE, pixels.shape[3] // STRIDE)
        return self.neck(self.image_features(pixels), grid)
