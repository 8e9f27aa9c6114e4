"""How each architecture turns pixels into tokens of its language model: all that differs between decoders."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pnpovss.backbones.parts.checkpoint import CLIP_NORMALISATION, HALF_NORMALISATION, IMAGENET_NORMALISATION, Rgb
from pnpovss.errors import CheckpointError

__all__ = ["ARCHITECTURES", "Architecture", "Eyes", "ImageTokens"]

_CELLS = 24  # cells along a side that models of any size are shown by default


@dataclass(frozen=True)
class ImageTokens:
    """What a language model is given of images.

    Attributes:
        tokens: Float "b n d", row by row.
        deeper: what the first layers add to them (DeepStack, arXiv 2406.04334); none in most architectures.
    """

    tokens: Float[Tensor, "b n d"]
    deeper: tuple[Float[Tensor, "b n d"], ...] = ()


@dataclass(frozen=True)
class Eyes:
    """The image side of a loaded model.

    Attributes:
        see: normalised pixels "b 3 H W" to the tokens of their cells.
        language: the language model, without its head.
        cell: pixels along one side of a cell, for which one token stands.
        side: the square that is shown by default, in pixels: whole cells, where the tower's own may be larger.
        sizes: see `Card`.
        rotates_by_grid: whether a token's position is (time, row, column) instead of its place in the text (M-RoPE).
        mask: of (length, place of the image's first token): which tokens of a prefix see which, by kind of layer, where
            that is more than those before them; None where it is not.
    """

    see: Callable[[Float[Tensor, "b 3 H W"]], ImageTokens]
    language: Any
    cell: int
    side: int
    sizes: Literal["any", "fixed", "frames"] = "fixed"
    rotates_by_grid: bool = False
    mask: Callable[[int, int], dict[str, Float[Tensor, "1 1 n n"]]] | None = None


@dataclass(frozen=True)
class Architecture:
    """What is known about a `model_type`.

    Attributes:
        model: class of transformers.
        eyes: the image side of a model of that class.
        frame: what its processor writes for one image, {} its tokens.
        normalisation: RGB mean and standard deviation, where the checkpoint does not say.
        tiled: what its processor writes for so many rows and columns of tiles, {} for the tokens of each tile, row by
            row, and at last for those of the whole; None where an image is never cut.
        most: rows or columns of tiles that it was shown.
        mark: what its chat template writes for an image; the image's own token where that is None.
    """

    model: str
    eyes: Callable[[Any], Eyes]
    frame: str
    normalisation: tuple[Rgb, Rgb] = CLIP_NORMALISATION
    tiled: Callable[[int, int], str] | None = None
    most: int = 1
    mark: str | None = None


def _idefics3(model: Any) -> Eyes:
    """Idefics3 and SmolVLM: square frames, patches shuffled into cells of `scale_factor` patches a side.

    The model's own `get_image_features` drops a frame whose pixels are all 0 as padding; its parts do not. A frame of
    384 px, patches of 14 and cells of 3 by 3 of them is read at 378: the same patches at the same positions.
    """
    vision, inner = model.config.vision_config, model.model

    def see(pixels: Float[Tensor, "b 3 H W"]) -> ImageTokens:
        return ImageTokens(inner.connector(inner.vision_model(pixels).last_hidden_state))

    cell = vision.patch_size * model.config.scale_factor
    return Eyes(see, inner.text_model, cell, _whole(vision.image_size, cell), "frames")


def _llava(model: Any) -> Eyes:
    """LLaVA: a token a patch of a CLIP or SigLIP tower at its own size.

    Raises:
        CheckpointError: its config leaves out a patch, or a class token in.
    """
    vision, inner = model.config.vision_config, model.model
    _check_selection(model)

    def see(pixels: Float[Tensor, "b 3 H W"]) -> ImageTokens:
        pixels = _filled(pixels, vision.image_size)
        return ImageTokens(torch.stack(list(inner.get_image_features(pixels, return_dict=True).pooler_output)))

    return Eyes(see, inner.language_model, vision.patch_size, _whole(vision.image_size, vision.patch_size))


def _check_selection(model: Any) -> None:
    """Refuse tokens that are not those of the patches: the maps would be moved by a cell, and nothing would show it."""
    config = model.config
    vision, strategy = config.vision_config, config.vision_feature_select_strategy
    patches = (vision.image_size // vision.patch_size) ** 2
    tables = (each for name, each in model.model.vision_tower.named_modules() if name.endswith("position_embedding"))
    for table in tables:
        if (read := table.num_embeddings - (strategy == "default")) != patches:
            raise CheckpointError(
                f"the config in {model.name_or_path} says vision_feature_select_strategy {strategy!r}, by which "
                f"{read} tokens of its {vision.model_type} are read for {patches} patches; expected one for each: "
                "'default' for a tower with a class token (CLIP), which it leaves out, 'full' for one without "
                "(SigLIP). Correct config.json if that is a mistake; a model that was trained so cannot be read here"
            )


def _internvl(model: Any) -> Eyes:
    """InternVL: square frames, patches shuffled into cells."""
    vision, inner = model.config.vision_config, model.model

    def see(pixels: Float[Tensor, "b 3 H W"]) -> ImageTokens:
        return ImageTokens(inner.get_image_features(pixels, return_dict=True).pooler_output)

    cell = round(vision.patch_size[0] / model.config.downsample_ratio)
    return Eyes(see, inner.language_model, cell, _whole(vision.image_size[0], cell), "frames")


def _qwen(model: Any) -> Eyes:
    """Qwen2.5-VL and Qwen3-VL: any size, `spatial_merge_size` patches a side to a cell."""
    vision, inner = model.config.vision_config, model.model
    merge, cell = vision.spatial_merge_size, vision.patch_size * vision.spatial_merge_size

    def see(pixels: Float[Tensor, "b 3 H W"]) -> ImageTokens:
        patches = _patches(pixels, vision.patch_size, merge, vision.temporal_patch_size)
        sides = [extent // vision.patch_size for extent in pixels.shape[2:]]
        grids = torch.tensor([[1, *sides]] * len(pixels), device=pixels.device)
        seen = inner.get_image_features(patches, grids, return_dict=True)
        deeper = getattr(seen, "deepstack_features", None) or ()
        return ImageTokens(torch.stack(list(seen.pooler_output)), tuple(torch.stack(list(each)) for each in deeper))

    return Eyes(see, inner.language_model, cell, _CELLS * cell, "any", rotates_by_grid=True)


def _gemma3(model: Any) -> Eyes:
    """Gemma 3: one square frame; the tokens of the image see one another, in layers of a window what is near."""
    config, inner = model.config, model.model
    vision, cells = config.vision_config, round(config.mm_tokens_per_image**0.5)
    cell = vision.image_size // vision.patch_size // cells * vision.patch_size

    def see(pixels: Float[Tensor, "b 3 H W"]) -> ImageTokens:
        pixels = _filled(pixels, vision.image_size)
        return ImageTokens(inner.get_image_features(pixels, return_dict=True).pooler_output)

    def mask(length: int, first: int) -> dict[str, Float[Tensor, "1 1 n n"]]:
        weights = model.get_input_embeddings().weight
        place = torch.arange(length, device=weights.device)
        query, key = place[:, None], place[None]
        seen = (key <= query) | ((key >= first) & (query >= first))
        kinds = {"full_attention": seen, "sliding_attention": seen & (key > query - config.text_config.sliding_window)}
        least = torch.finfo(weights.dtype).min
        return {
            kind: torch.zeros(each.shape, dtype=weights.dtype, device=each.device).masked_fill(~each, least)[None, None]
            for kind, each in kinds.items()
        }

    return Eyes(see, inner.language_model, cell, cells * cell, mask=mask)


def _whole(side: int, cell: int) -> int:
    """The side without the pixels that make no whole cell, which the convolution into patches steps over."""
    return side // cell * cell


def _filled(pixels: Float[Tensor, "b 3 h w"], side: int) -> Float[Tensor, "b 3 H W"]:
    """A square as large as a tower insists on. What is added makes no patch, so it does not matter what it is."""
    rest = side - pixels.shape[-1]
    return F.pad(pixels, (0, rest, 0, rest))


def _patches(pixels: Float[Tensor, "b 3 H W"], patch: int, merge: int, frames: int) -> Float[Tensor, "patches values"]:
    """Patches as Qwen-VL reads them: cell by cell, each repeated for the frames that a film would have."""
    images, colours, height, width = pixels.shape
    rows, columns = height // (merge * patch), width // (merge * patch)
    cut = pixels.reshape(images, colours, rows, merge, patch, columns, merge, patch)
    # To: image, row, column, row and column in the cell, colour, frame, y, x.
    cut = cut.permute(0, 2, 5, 3, 6, 1, 4, 7).unsqueeze(6)
    cut = cut.expand(-1, -1, -1, -1, -1, -1, frames, -1, -1)
    return cut.reshape(images * rows * columns * merge**2, -1)


def _idefics3_tiles(rows: int, columns: int) -> str:
    tile = "<fake_token_around_image><row_{}_col_{}>{{}}"
    cut = "".join("".join(tile.format(r + 1, c + 1) for c in range(columns)) + "\n" for r in range(rows))
    return f"{cut}\n{_FRAME}"


def _internvl_tiles(rows: int, columns: int) -> str:
    return "<img>" + "{}" * (rows * columns + 1) + "</img>"


_FRAME = "<fake_token_around_image><global-img>{}<fake_token_around_image>"

ARCHITECTURES = {
    "smolvlm": Architecture(
        "SmolVLMForConditionalGeneration", _idefics3, _FRAME, HALF_NORMALISATION, _idefics3_tiles, 6
    ),
    "idefics3": Architecture(
        "Idefics3ForConditionalGeneration", _idefics3, _FRAME, HALF_NORMALISATION, _idefics3_tiles, 6
    ),
    "llava": Architecture("LlavaForConditionalGeneration", _llava, "{}"),
    "internvl": Architecture(
        "InternVLForConditionalGeneration", _internvl, "<img>{}</img>", IMAGENET_NORMALISATION, _internvl_tiles, 3
    ),
    "gemma3": Architecture(
        "Gemma3ForConditionalGeneration",
        _gemma3,
        "\n\n<start_of_image>{}<end_of_image>\n\n",
        HALF_NORMALISATION,
        mark="<start_of_image>",
    ),
    "qwen2_5_vl": Architecture("Qwen2_5_VLForConditionalGeneration", _qwen, "{}"),
    "qwen3_vl": Architecture("Qwen3VLForConditionalGeneration", _qwen, "{}", HALF_NORMALISATION),
}
"""By `model_type`."""
