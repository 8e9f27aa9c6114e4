from dataclasses import replace

import torch

from pnpovss.backbones.base import TokenMaps
from pnpovss.saliency.gradcam import gradcam, sum_heads
from pnpovss.saliency.tokens import merge_tokens


def test_gradcam_is_the_positive_gradient_times_attention() -> None:
    attention, gradient = torch.tensor([[[0.5, 0.25]]]), torch.tensor([[[-2.0, 4.0]]])
    assert gradcam(attention, gradient).tolist() == [[[0.0, 1.0]]]


def test_gradcam_off_is_the_attention_itself() -> None:
    attention = torch.tensor([[[0.5, 0.25]]])
    assert gradcam(attention, None).equal(attention)


def test_maps_are_float32_whatever_the_model_computes_in() -> None:
    attention = torch.tensor([[[0.5, 0.25]]], dtype=torch.bfloat16)
    assert gradcam(attention, attention).dtype == gradcam(attention, None).dtype == torch.float32


def test_maps_that_a_model_composed_itself_are_taken_as_they_are() -> None:
    attention = torch.ones(1, 2, 1, 1, 2)
    seen = TokenMaps(attention, attention, composed=3 * attention.double())
    assert sum_heads(seen, [(0, 1)]).tolist() == [[[3, 3]]]
    assert sum_heads(seen, [(0, 1)]).dtype == torch.float32
    assert sum_heads(replace(seen, composed=None), [(0, 1)]).tolist() == [[[1, 1]]]


def test_a_name_is_the_mean_of_its_tokens() -> None:
    maps = torch.tensor([[[1.0, 2.0]], [[3.0, 6.0]], [[0.0, 8.0]]])  # token 1 2
    assert merge_tokens(maps, [(0, 1), (2,)]).tolist() == [[[2.0, 4.0]], [[0.0, 8.0]]]


def test_the_last_long_name_is_a_mean_too_unlike_in_the_released_code() -> None:
    maps = torch.ones(3, 2, 2)
    assert merge_tokens(maps, [(0,), (1, 2)])[1].tolist() == [[1, 1], [1, 1]]


def test_a_word_without_tokens_has_an_empty_map() -> None:
    assert merge_tokens(torch.ones(2, 1, 1), [(), (1,)]).flatten().tolist() == [0, 1]


def test_no_groups_and_no_tokens_give_empty_maps() -> None:
    assert merge_tokens(torch.ones(2, 3, 4), []).shape == (0, 3, 4)
    assert merge_tokens(torch.ones(0, 3, 4), [()]).tolist() == [[[0.0] * 4] * 3]
