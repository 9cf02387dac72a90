"""The operations of `bench` in PyTorch, for pytorch_server.py.

Each case is a function of (mode, form) that returns one repetition. `form` converts a floating-point argument: to bf16, or to channels-last if it is an image.
"""

import torch
import torch.nn.functional as F


def repetition(mode, f, arguments):
    """One repetition of `f`, in mode `both` with the gradients of its arguments."""
    if mode == "forward":

        def run():
            with torch.no_grad():
                f()

        return run
    for argument in arguments:
        argument.requires_grad_(True)
    with torch.no_grad():
        ones = torch.ones_like(f())
    return lambda: torch.autograd.grad(f(), arguments, ones)


def conv(x, weight, **config):
    def setup(mode, form):
        a, w = form(torch.randn(*x)), form(torch.randn(*weight))
        # an image, with its three channels, needs no gradient
        return repetition(mode, lambda: F.conv2d(a, w, None, **config), [w] if x[1] == 3 else [a, w])

    return setup


def conv_transpose(mode, form):
    x, w = form(torch.randn(1, 128, 64, 128)), form(torch.randn(128, 64, 3, 3))
    return repetition(mode, lambda: F.conv_transpose2d(x, w, None, 2, 1, 1), [x, w])


def batch_norm_relu(mode, form):
    # the parameters and statistics stay f32, as under autocast
    x, w, b = form(torch.randn(1, 64, 128, 256)), torch.ones(64), torch.zeros(64)
    mean, var = torch.zeros(64), torch.ones(64)
    return repetition(mode, lambda: F.relu(F.batch_norm(x, mean, var, w, b, True, 0.1, 1e-5), inplace=True), [x, w, b])


def bilinear(mode, form):
    x = form(torch.randn(1, 19, 64, 128))
    return repetition(mode, lambda: F.interpolate(x, size=(512, 1024), mode="bilinear", align_corners=False), [x])


def objective(mode, form):
    """The objective of the paper's code: dense targets from the labels, then -target * log_softmax."""
    logits = form(torch.randn(1, 19, 512, 1024))
    labels = torch.arange(512 * 1024).reshape(512, 1024) % 23
    classes = F.one_hot(labels.clamp(max=19), 20)[..., :19].permute(2, 0, 1)[None].float()
    unknown = ((labels == 19) | (labels == 20))[None, None].float()
    target = 0.1 * classes + 0.9 / 19 * unknown
    return repetition(mode, lambda: (-target * F.log_softmax(logits.float(), 1)).mean(), [logits])


OPERATIONS = {
    "conv-3x3": conv((1, 64, 128, 256), (64, 64, 3, 3), padding=1),
    "conv-3x1-dilated-8": conv((1, 128, 64, 128), (128, 128, 3, 1), padding=(8, 0), dilation=(8, 1)),
    "conv-3x3-dilated-12": conv((1, 2048, 32, 64), (256, 2048, 3, 3), padding=12, dilation=12),
    "conv-1x1": conv((1, 256, 64, 128), (1024, 256, 1, 1)),
    "conv-3x3-stride-2": conv((1, 3, 512, 1024), (64, 3, 3, 3), stride=2, padding=1),
    "depthwise-3x3": conv((1, 128, 64, 128), (128, 1, 3, 3), padding=1, groups=128),
    "conv-transpose-3x3": conv_transpose,
    "batch-norm-relu": batch_norm_relu,
    "bilinear-x8": bilinear,
    "objective": objective,
    "conv-1x1-head": conv((1, 256, 128, 256), (19, 256, 1, 1)),
    "conv-3x3-stride-2-inner": conv((1, 64, 128, 256), (128, 64, 3, 3), stride=2, padding=1),
    "conv-3x3-dilated-2": conv((1, 1024, 33, 65), (512, 1024, 3, 3), padding=2, dilation=2),
    "conv-3x3-16": conv((1, 16, 256, 512), (16, 16, 3, 3), padding=1),
    "depthwise-3x3-stride-2": conv((1, 128, 64, 128), (128, 1, 3, 3), stride=2, padding=1, groups=128),
}
