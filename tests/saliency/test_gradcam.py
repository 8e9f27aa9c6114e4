import pytest
import torch

from pnpovss.backbones.base import CrossAttention
from pnpovss.saliency.gradcam import attention_map
from pnpovss.saliency.tokens import merge_tokens


def _attention(probs: list[float], grads: list[float] | None) -> CrossAttention:
    shape = (1, 2, 1, 1, 1, 2)  # p layer head token gh gw
    return CrossAttention(
        probs=torch.tensor(probs).view(shape),
        grads=None if grads is None else torch.tensor(grads).view(shape),
        layers=(3, 7),
    )


def test_gradcam_is_the_positive_gradient_times_attention() -> None:
    attention = _attention([0.1, 0.9, 0.5, 0.25], [1.0, 1.0, -2.0, 4.0])
    assert attention_map(attention, layer=7, head=0).tolist() == [[[[0.0, 1.0]]]]


def test_gradcam_off_is_the_attention_itself() -> None:
    attention = _attention([0.1, 0.9, 0.5, 0.25], None)
    assert attention_map(attention, layer=3, head=0).flatten().tolist() == pytest.approx([0.1, 0.9])


def test_a_layer_that_was_not_captured_is_an_error() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        attention_map(_attention([0.0] * 4, None), layer=5, head=0)


def test_a_name_is_the_mean_of_its_tokens() -> None:
    maps = torch.tensor([[[1.0, 2.0]], [[3.0, 6.0]], [[0.0, 8.0]]])  # token 1 2
    assert merge_tokens(maps, [(0, 1), (2,)]).tolist() == [[[2.0, 4.0]], [[0.0, 8.0]]]


def test_the_last_long_name_is_a_mean_too_unlike_in_the_released_code() -> None:
    maps = torch.ones(3, 2, 2)
    assert merge_tokens(maps, [(0,), (1, 2)])[1].tolist() == [[1, 1], [1, 1]]


def test_a_word_without_tokens_has_an_empty_map() -> None:
    assert merge_tokens(torch.ones(2, 1, 1), [(), (1,)]).flatten().tolist() == [0, 1]
