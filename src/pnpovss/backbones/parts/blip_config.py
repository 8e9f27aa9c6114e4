"""What published configs of BLIP say wrongly, whether the checkpoint matches or writes."""

import logging
from typing import Any

__all__ = ["doubt_text_heads"]

_logger = logging.getLogger(__name__)


def doubt_text_heads(name: str, text: Any) -> None:
    """Warn of early revisions of the configs, which say 8 heads: the weights were trained with 12, nothing else tells.

    Args:
        name: hub id or folder of the checkpoint.
        text: its `text_config`.
    """
    if text.hidden_size == 768 and text.num_attention_heads != 12:
        _logger.warning(
            "%s: its config says %d text heads, BLIP was trained with 12; if this is a copy of a published checkpoint, "
            "set text_config.num_attention_heads to 12 or fetch it again",
            name,
            text.num_attention_heads,
        )
