"""The cases of `bench` in PyTorch, for race.py: times one repetition for each line `CASE MODE` on standard input."""

import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)


def backward(mode, f, arguments):
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
    def setup(mode):
        a, w = torch.randn(*x), torch.randn(*weight)
        return backward(mode, lambda: F.conv2d(a, w, None, **config), [w] if x[1] == 3 else [a, w])

    return setup


def conv_transpose(mode):
    x, w = torch.randn(1, 128, 64, 128), torch.randn(128, 64, 3, 3)
    return backward(mode, lambda: F.conv_transpose2d(x, w, None, 2, 1, 1), [x, w])


def batch_norm_relu(mode):
    x, w, b = torch.randn(1, 64, 128, 256), torch.ones(64), torch.zeros(64)
    mean, var = torch.zeros(64), torch.ones(64)
    return backward(mode, lambda: F.relu(F.batch_norm(x, mean, var, w, b, True, 0.1, 1e-5), inplace=True), [x, w, b])


def bilinear(mode):
    x = torch.randn(1, 19, 64, 128)
    return backward(mode, lambda: F.interpolate(x, size=(512, 1024), mode="bilinear", align_corners=False), [x])


def objective(mode):
    """The objective of the paper's code: dense targets from the labels, then -target * log_softmax."""
    logits = torch.randn(1, 19, 512, 1024)
    labels = torch.arange(512 * 1024).reshape(512, 1024) % 23
    classes = F.one_hot(labels.clamp(max=19), 20)[..., :19].permute(2, 0, 1)[None].float()
    unknown = ((labels == 19) | (labels == 20))[None, None].float()
    target = 0.1 * classes + 0.9 / 19 * unknown
    loss = lambda: (-target * F.log_softmax(logits, 1)).mean()
    return backward(mode, loss, [logits])


class Down(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(i, o - i, 3, 2, 1), nn.BatchNorm2d(o, eps=1e-3)

    def forward(self, x):
        return F.relu(self.bn(torch.cat([self.conv(x), F.max_pool2d(x, 2, 2)], 1)))


class Block(nn.Module):
    def __init__(self, c, d, p=0.0):
        super().__init__()
        self.p = p
        self.a, self.b = nn.Conv2d(c, c, (3, 1), 1, (1, 0)), nn.Conv2d(c, c, (1, 3), 1, (0, 1))
        self.c, self.d = nn.Conv2d(c, c, (3, 1), 1, (d, 0), (d, 1)), nn.Conv2d(c, c, (1, 3), 1, (0, d), (1, d))
        self.n1, self.n2 = nn.BatchNorm2d(c, eps=1e-3), nn.BatchNorm2d(c, eps=1e-3)

    def forward(self, x):
        y = F.relu(self.n1(self.b(F.relu(self.a(x)))))
        y = self.n2(self.d(F.relu(self.c(y))))
        return F.relu((F.dropout2d(y, self.p, self.training) if self.p else y) + x)


class Up(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.conv, self.bn = nn.ConvTranspose2d(i, o, 3, 2, 1, 1), nn.BatchNorm2d(o, eps=1e-3)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


def erfnet(dropout=False):
    p = (0.03, 0.3) if dropout else (0.0, 0.0)
    middle = [Block(128, d, p[1]) for _ in range(2) for d in (2, 4, 8, 16)]
    first = [Down(3, 16), Down(16, 64), *[Block(64, 1, p[0]) for _ in range(5)], Down(64, 128)]
    last = [Up(128, 64), Block(64, 1), Block(64, 1), Up(64, 16), Block(16, 1), Block(16, 1), nn.ConvTranspose2d(16, 20, 2, 2)]
    return nn.Sequential(*first, *middle, *last)


def erfnet_step(_):
    net, images = erfnet(), torch.randn(2, 3, 256, 512)
    targets = torch.zeros(2, 256, 512, dtype=torch.long)
    optimizer = torch.optim.Adam(net.parameters(), 1e-4)

    def run():
        optimizer.zero_grad()
        F.cross_entropy(net(images), targets).backward()
        optimizer.step()

    return run


def erfnet_inference(_):
    net, images = erfnet().eval(), torch.randn(1, 3, 512, 1024)

    def run():
        with torch.inference_mode():
            net(images)

    return run


def both(name, setup):
    return {f"{name}:forward": setup, f"{name}:both": setup}


CASES = {
    **both("conv-3x3", conv((1, 64, 128, 256), (64, 64, 3, 3), padding=1)),
    **both("conv-3x1-dilated-8", conv((1, 128, 64, 128), (128, 128, 3, 1), padding=(8, 0), dilation=(8, 1))),
    **both("conv-3x3-dilated-12", conv((1, 2048, 32, 64), (256, 2048, 3, 3), padding=12, dilation=12)),
    **both("conv-1x1", conv((1, 256, 64, 128), (1024, 256, 1, 1))),
    **both("conv-3x3-stride-2", conv((1, 3, 512, 1024), (64, 3, 3, 3), stride=2, padding=1)),
    **both("depthwise-3x3", conv((1, 128, 64, 128), (128, 1, 3, 3), padding=1, groups=128)),
    **both("conv-transpose-3x3", conv_transpose),
    **both("batch-norm-relu", batch_norm_relu),
    **both("bilinear-x8", bilinear),
    **both("objective", objective),
    **both("conv-1x1-head", conv((1, 256, 128, 256), (19, 256, 1, 1))),
    **both("conv-3x3-stride-2-inner", conv((1, 64, 128, 256), (128, 64, 3, 3), stride=2, padding=1)),
    **both("conv-3x3-dilated-2", conv((1, 1024, 33, 65), (512, 1024, 3, 3), padding=2, dilation=2)),
    **both("conv-3x3-16", conv((1, 16, 256, 512), (16, 16, 3, 3), padding=1)),
    **both("depthwise-3x3-stride-2", conv((1, 128, 64, 128), (128, 1, 3, 3), stride=2, padding=1, groups=128)),
    "erfnet-step:both": erfnet_step,
    "erfnet-inference:forward": erfnet_inference,
}


def peak_memory():
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main():
    if "--list" in sys.argv:
        print("\n".join(CASES))
        return
    torch.set_num_threads(2)
    name, run = None, None
    for line in sys.stdin:
        case, mode = line.split()
        if name != line:
            name, run = line, CASES[f"{case}:{mode}"](mode)
        start = time.perf_counter()
        run()
        print(time.perf_counter() - start, peak_memory(), flush=True)


if __name__ == "__main__":
    main()
