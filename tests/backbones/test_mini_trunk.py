import torch
from torch import nn
from torch.nn import functional as F

from pnpovss.backbones.mini.lite2 import _STAGES, STRIDE, Lite2, _Conv, fold_batchnorm
from pnpovss.backbones.mini.neck import semantic_tokens


def test_a_folded_convolution_is_the_convolution_and_its_norm():
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5, eps=1e-3).eval()
    for value in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(value)
    norm.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 3, 8, 8)
    weight, bias = fold_batchnorm(conv.weight, {f"n.{k}": v for k, v in norm.state_dict().items()}, "n")
    torch.testing.assert_close(F.conv2d(x, weight, bias), norm(conv(x)))


def test_without_its_stride_a_dilated_pair_keeps_the_outputs_it_had():
    # The classifier: a stride-2 convolution with "same" padding as TensorFlow pads, then a plain one.
    torch.manual_seed(0)
    first, second = _Conv(4, 4, 5, stride=2), _Conv(4, 4, 3)
    dense, dilated = _Conv(4, 4, 5), _Conv(4, 4, 3, dilation=2)
    dense.load_state_dict(first.state_dict())
    dilated.load_state_dict(second.state_dict())
    x = torch.randn(1, 4, 32, 32)
    strided = second(first(x))
    # Output o of the strided pair lies at 2 o + 1; the rim is left out, where padding differs.
    torch.testing.assert_close(dilated(dense(x))[..., 5:-4:2, 5:-4:2], strided[..., 2:-2, 2:-2])


def test_a_token_looks_at_the_middle_of_its_patch():
    # The centre of mass of what a token is sensitive to, with all weights equal and no clipping at work.
    trunk = Lite2()
    for parameter in trunk.parameters():
        nn.init.constant_(parameter, 0.0 if parameter.ndim == 1 else 1e-4)
    for module in trunk.modules():
        if isinstance(module, _Conv):
            module.weight.data.fill_(1.0 / module.weight[0].numel())
            module.bias.data.zero_()
    pixels = torch.full((1, 3, 512, 512), 1e-6, requires_grad=True)
    mid, _ = trunk(pixels)
    token = 16
    mid[0, :, token, token].sum().backward()
    assert pixels.grad is not None
    weight = pixels.grad[0].sum(0).double()
    centre = (weight.sum(1) * torch.arange(512)).sum() / weight.sum()
    assert abs(float(centre) - (token * STRIDE + STRIDE / 2 - 0.5)) < 1.0


def test_the_trunk_gives_one_token_to_each_patch():
    mid, top = Lite2()(torch.zeros(1, 3, 48, 80))
    assert mid.shape == (1, 120, 3, 5)
    assert top.shape == (1, 352, 3, 5)
    assert sum(stage.repeats for stage in _STAGES) == 21


def test_semantic_tokens_are_the_expected_class_embedding():
    logits = torch.tensor([[[0.0, torch.tensor(3.0).log(), -1e9]]])
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
    torch.testing.assert_close(semantic_tokens(logits, embeddings), torch.tensor([[[0.25, 0.75]]]))
