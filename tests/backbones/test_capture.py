"""Attention read through models' own forward: towers, cross-attention, decoders with shared keys and padding."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    BartConfig,
    BartModel,
    Blip2QFormerConfig,
    Blip2QFormerModel,
    BridgeTowerConfig,
    BridgeTowerModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from pnpovss.backbones.parts.capture import CAPTURE, Seen, read_attention
from pnpovss.errors import ModelError
from tests.support.nudged import NUDGED, nudged, slope

SMALL: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}


@dataclass(frozen=True)
class Case:
    """A model, the modules that can be read, and a run of it that gives a logit for each of its two rows."""

    model: Any
    modules: list[nn.Module]
    run: Callable[[], Tensor]
    precision: float = 1e-5  # relative, of gradients: float64, but for norms that compute in float32


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).double()


def ready(model: Any) -> Any:
    """Random weights, none of them 0 or 1, frozen, float64."""
    for weights in model.requires_grad_(False).parameters():
        weights.add_(noise(*weights.shape).float() * 0.1)
    return model.double().eval()


def clip() -> Case:
    model = ready(CLIPVisionModel(CLIPVisionConfig(**SMALL, image_size=16, patch_size=8)))
    pixels = noise(2, 3, 16, 16)
    modules = [layer.self_attn for layer in model.encoder.layers]
    return Case(model, modules, lambda: model(pixels).pooler_output.square().sum(1))


def bridgetower() -> Case:
    """Its cross-modal layers attend to themselves and to the other stream, of text with padding."""
    config = BridgeTowerConfig(
        hidden_size=32, num_attention_heads=4, num_hidden_layers=2,
        text_config={**SMALL, "vocab_size": 50, "max_position_embeddings": 20},
        vision_config={"hidden_size": 64, "num_hidden_layers": 3, "patch_size": 16, "image_size": 32},
    )  # fmt: skip
    model = ready(BridgeTowerModel(config))
    ids, pixels = torch.tensor([[0, 5, 6, 7, 2], [0, 8, 2, 1, 1]]), noise(2, 3, 32, 32)
    layers = list(model.cross_modal_text_layers)
    modules = [module for layer in layers for module in (layer.attention.self, layer.crossattention.self)]
    return Case(model, modules, lambda: model(ids, ids != 1, pixel_values=pixels).pooler_output.square().sum(1))


def qformer() -> Case:
    config = Blip2QFormerConfig(**SMALL, vocab_size=40, encoder_hidden_size=24, cross_attention_frequency=2)
    model = ready(Blip2QFormerModel(config))
    queries, patches = noise(2, 5, 32), noise(2, 9, 24)
    layers = list(model.encoder.layer)
    modules = [layers[0].crossattention.attention, layers[1].attention.attention, layers[2].crossattention.attention]
    return Case(
        model, modules, lambda: model(queries, encoder_hidden_states=patches).last_hidden_state.square().sum((1, 2))
    )


def decoder(architecture: Any, settings: Any) -> Case:
    """Two heads share their keys; the first row is padded (on the right: eager turns float64 padding rows to NaN)."""
    model = ready(architecture(settings))
    ids = torch.tensor([[5, 6, 7, 8, 0, 0], [9, 3, 4, 5, 6, 2]])
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1] * 6])
    modules = [layer.self_attn for layer in model.model.layers]
    return Case(model, modules, lambda: model(ids, attention_mask=mask).logits[[0, 1], mask.sum(1) - 1, 3], 1e-4)


def llama() -> Case:
    return decoder(LlamaForCausalLM, LlamaConfig(**SMALL, num_key_value_heads=2, vocab_size=30))


def bart() -> Case:
    config = BartConfig(
        vocab_size=40, max_position_embeddings=20, d_model=32, encoder_layers=2, decoder_layers=2,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48,
    )  # fmt: skip
    model = ready(BartModel(config))
    ids, said = torch.tensor([[0, 5, 6, 2], [0, 7, 2, 1]]), torch.tensor([[2, 0, 8], [2, 0, 9]])
    modules = [layer.encoder_attn for layer in model.decoder.layers]

    def run() -> Tensor:
        return model(ids, ids != 1, decoder_input_ids=said, use_cache=False).last_hidden_state.square().sum((1, 2))

    return Case(model, modules, run)


CASES = [clip, bridgetower, qformer, llama, bart]


@pytest.fixture(params=CASES, ids=lambda make: make.__name__)
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(0)
    return request.param()


def read(case: Case, modules: list[nn.Module], *, gradient: bool = True) -> tuple[Tensor, Seen]:
    case.model.set_attn_implementation(CAPTURE)
    with read_attention(modules, gradient=gradient) as seen:
        return case.run(), seen


def own_forward(case: Case) -> Tensor:
    """As transformers' eager functions have it."""
    case.model.set_attn_implementation("eager")
    return case.run()


def textbook(case: Case) -> tuple[Tensor, list[Tensor]]:
    """Logits and probabilities by the definition."""
    case.model.set_attn_implementation(NUDGED)
    found, logits = [], torch.zeros(0)
    for module in case.modules:
        with nudged(module, lambda probs: found.append(probs) or probs):
            logits = case.run()
    return logits, found


def test_a_run_is_the_models_own_and_probabilities_are_the_textbooks(case: Case):
    wanted = own_forward(case)
    logits, seen = read(case, case.modules)
    torch.testing.assert_close(logits.detach(), wanted, rtol=1e-5, atol=1e-5)
    case.model.set_attn_implementation(CAPTURE)
    torch.testing.assert_close(case.run(), wanted, rtol=1e-5, atol=1e-5)  # none of them read
    _, wanted = textbook(case)
    for found, probs in zip(seen.attention, wanted, strict=True):
        torch.testing.assert_close(found, probs, rtol=1e-7, atol=1e-9)
        assert not found.requires_grad


def test_gradients_are_finite_differences(case: Case):
    logits, seen = read(case, case.modules)
    together = seen.gradients(logits.sum())
    for module, gradient in zip(case.modules, together, strict=True):
        logits, alone = read(case, [module])
        torch.testing.assert_close(alone.gradients(logits.sum())[0], gradient)
        direction = noise(*gradient.shape)
        case.model.set_attn_implementation(NUDGED)
        found = slope(lambda: case.run().sum(), module, lambda _, d=direction: d)
        assert float((gradient * direction).sum()) == pytest.approx(found, rel=case.precision)
        assert abs(found) > 1e-6


@pytest.mark.parametrize("at_once", [None, 1, 5])
def test_each_logit_has_its_own_gradient(case: Case, at_once: int | None):
    modules = case.modules[-2:]
    logits, seen = read(case, modules)
    each = seen.gradients_of_each(logits, at_once)
    for row in range(2):
        logits, seen = read(case, modules)
        for gradients, alone in zip(each, seen.gradients(logits[row]), strict=True):
            torch.testing.assert_close(gradients[row], alone)
            assert not alone[1 - row].any()  # rows do not see each other


def test_nothing_is_left_behind(case: Case):
    with pytest.raises(ZeroDivisionError), read_attention(case.modules):
        raise ZeroDivisionError
    case.model.set_attn_implementation(CAPTURE)
    assert not case.run().requires_grad  # nothing is read any more, so there is no graph
    logits, seen = read(case, case.modules)
    seen.gradients(logits.sum())
    for module in case.model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
        assert "forward" not in vars(module)
    assert all(weights.grad is None and not weights.requires_grad for weights in case.model.parameters())


def test_some_rows_are_read_as_all_of_them_are(case: Case):
    logits, seen = read(case, case.modules)
    wanted = zip(seen.attention, seen.gradients(logits.sum()), strict=True)
    for module, (attention, gradient) in zip(case.modules, wanted, strict=True):
        rows = [attention.shape[2] - 1, 0]
        with read_attention([module], rows=rows) as seen:
            found = case.run()
            torch.testing.assert_close(found.detach(), logits.detach())
            torch.testing.assert_close(seen.gradients(found.sum())[0], gradient[:, :, rows])
            torch.testing.assert_close(seen.attention[0], attention[:, :, rows])


def test_softcapped_scores_are_the_models_own():
    config = Gemma2Config(**SMALL, num_key_value_heads=2, head_dim=8, vocab_size=30, attn_logit_softcapping=0.5)
    case = decoder(Gemma2ForCausalLM, config)
    wanted = own_forward(case)
    torch.testing.assert_close(read(case, case.modules)[0].detach(), wanted, rtol=1e-5, atol=1e-5)


def test_a_callers_modes_do_not_matter():
    case = clip()
    logits, seen = read(case, case.modules)
    wanted = seen.gradients(logits.sum())
    for mode in (torch.no_grad, torch.inference_mode):
        with mode(), read_attention(case.modules) as seen:
            found = seen.gradients(case.run().sum())
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    logits, seen = read(case, case.modules, gradient=False)
    assert not logits.requires_grad
    assert len(seen.attention) == 3


def test_threads_do_not_see_each_other():
    case = clip()
    case.model.set_attn_implementation(CAPTURE)
    graphs, barrier = {}, threading.Barrier(2)

    def run(name: str, modules: list[nn.Module]) -> None:
        with read_attention(modules) as seen:
            barrier.wait(10)
            logits = case.run()
            barrier.wait(10)
            graphs[name] = seen.gradients(logits.sum())

    threads = [
        threading.Thread(target=run, args=args) for args in (("first", case.modules[:1]), ("last", case.modules[1:]))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    logits, seen = read(case, case.modules)
    wanted = seen.gradients(logits.sum())
    for found, own in zip(graphs["first"] + graphs["last"], wanted, strict=True):
        torch.testing.assert_close(found, own)


def test_what_cannot_be_read_is_refused():
    case = clip()
    case.model.set_attn_implementation("eager")
    with read_attention(case.modules) as seen:
        case.run()
    with pytest.raises(ModelError, match="3 of 3 modules to be read did not run, or not through 'pnpovss_capture'"):
        _ = seen.attention
    case.model.set_attn_implementation(CAPTURE)
    with read_attention(case.modules), pytest.raises(ModelError, match="CLIPAttention that is read ran twice"):
        _ = case.run() + case.run()
    case.model.train().encoder.layers[0].self_attn.dropout = 0.5
    with read_attention(case.modules), pytest.raises(ModelError, match="asks for attention with dropout"):
        case.run()
