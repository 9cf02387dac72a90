"""Seconds and peak memory of one inference in PyTorch, the counterpart of the example network_throughput of seg-model, with the same arguments.

    python network_throughput.py NETWORK [WxH] [RUNS]

The networks have the same layers and shapes as the originals, with random weights. Needs torch, and transformers for SegFormer.
"""

import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


def conv_bn(i, o, kernel, stride=1, dilation=1, groups=1, bias=False):
    conv = nn.Conv2d(i, o, kernel, stride, dilation * (kernel // 2), dilation, groups, bias)
    return nn.Sequential(conv, nn.BatchNorm2d(o))


def conv_bn_relu(*args, **kwargs):
    return nn.Sequential(*conv_bn(*args, **kwargs), nn.ReLU(inplace=True))


def bn_relu(channels):
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def upsample(x, size):
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


class WideBlock(nn.Module):
    def __init__(self, i, widths, stride, dilation):
        super().__init__()
        self.bn1 = bn_relu(i)
        kernels = (3, 3) if len(widths) == 2 else (1, 3, 1)
        layers = []
        for j, (k, o) in enumerate(zip(kernels, widths)):
            d = dilation if k == 3 else 1
            layers.append(nn.Conv2d((i, *widths)[j], o, k, stride if j == 0 else 1, d * (k // 2), d, bias=False))
            if j + 1 < len(widths):
                layers.append(bn_relu(o))
        self.convs = nn.Sequential(*layers)
        self.proj = nn.Conv2d(i, widths[-1], 1, stride, bias=False) if stride != 1 or i != widths[-1] else None

    def forward(self, x):
        y = self.bn1(x)
        shortcut = x if self.proj is None else self.proj(y)
        return self.convs(y).add_(shortcut)


class Pyramid(nn.Module):
    def __init__(self, i):
        super().__init__()
        self.image = conv_bn_relu(i, 256, 1)
        self.features = nn.ModuleList([conv_bn_relu(i, 256, 1), *[conv_bn_relu(i, 256, 3, dilation=d) for d in (12, 24, 36)]])

    def forward(self, x):
        image = upsample(self.image(F.adaptive_avg_pool2d(x, 1)), x.shape[2:])
        return torch.cat([image, *[f(x) for f in self.features]], 1)


class DeepLabV3PlusWrn38(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.pool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.MaxPool2d(3, 2, 1)
        structure = [(3, (128, 128), 1, 1), (3, (256, 256), 1, 1), (6, (512, 512), 2, 1), (3, (512, 1024), 1, 2)]
        structure += [(1, (512, 1024, 2048), 1, 4), (1, (1024, 2048, 4096), 1, 4)]
        i, modules = 64, []
        for n, widths, stride, dilation in structure:
            blocks = [WideBlock(i if j == 0 else widths[-1], widths, stride if j == 0 else 1, dilation) for j in range(n)]
            modules.append(nn.Sequential(*blocks))
            i = widths[-1]
        self.mods, self.aspp = nn.ModuleList(modules), Pyramid(4096)
        self.bot_fine, self.bot_aspp = nn.Conv2d(128, 48, 1, bias=False), nn.Conv2d(1280, 256, 1, bias=False)
        self.final = nn.Sequential(conv_bn_relu(304, 256, 3), conv_bn_relu(256, 256, 3), nn.Conv2d(256, 19, 1, bias=False))

    def forward(self, images):
        fine = x = self.mods[0](self.pool(self.conv1(images)))
        x = self.pool(x)
        for module in self.mods[1:]:
            x = module(x)
        x = upsample(self.bot_aspp(self.aspp(x)), fine.shape[2:])
        return self.final(torch.cat([self.bot_fine(fine), x], 1))


class Bottleneck(nn.Module):
    def __init__(self, i, o, stride, dilation):
        super().__init__()
        self.convs = nn.Sequential(conv_bn_relu(i, o // 4, 1), conv_bn_relu(o // 4, o // 4, 3, stride, dilation), conv_bn(o // 4, o, 1))
        self.downsample = conv_bn(i, o, 1, stride) if stride != 1 or i != o else nn.Identity()

    def forward(self, x):
        return F.relu(self.convs(x) + self.downsample(x), inplace=True)


class PixelGraph(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.k, self.v, self.q = (nn.Conv2d(c, c // 2, 1) for _ in range(3))
        self.wg, self.out = nn.Sequential(nn.Conv1d(c // 2, c // 2, 1, bias=False), nn.BatchNorm1d(c // 2)), conv_bn(c // 2, c, 1, bias=True)

    def forward(self, x):
        k, v, q = (f(x).flatten(2) for f in (self.k, self.v, self.q))
        y = torch.bmm(k.transpose(1, 2), torch.bmm(q, v.transpose(1, 2)).softmax(2)).transpose(1, 2).contiguous()
        return F.relu(self.out(self.wg(y).view(*y.shape[:2], *x.shape[2:])) + x)


class DualGraph(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.local = nn.Sequential(*[conv_bn(c, c, 3, 2, groups=c) for _ in range(3)], PixelGraph(c))
        self.phi, self.theta, self.conv3 = conv_bn(c, c // 2, 1), conv_bn(c, c // 4, 1), conv_bn(c // 2, c, 1)
        self.adj = nn.Sequential(nn.Conv1d(c // 4, c // 4, 1, bias=False), nn.BatchNorm1d(c // 4))
        self.wg = nn.Sequential(nn.Conv1d(c // 2, c // 2, 1, bias=False), nn.BatchNorm1d(c // 2))
        self.last = conv_bn(2 * c, c, 1)

    def forward(self, x):
        pixels = x * upsample(self.local(x), x.shape[2:]) + x
        states, nodes = self.phi(x).flatten(2), self.theta(x).flatten(2)
        z = torch.matmul(states, nodes.transpose(1, 2))
        z = self.wg(self.adj(z.transpose(1, 2).contiguous()).transpose(1, 2).contiguous() + z)
        y = torch.matmul(z, nodes).view(x.shape[0], -1, *x.shape[2:])
        return self.last(torch.cat([pixels, F.relu(x + self.conv3(y))], 1))


class DualGcnRes50(nn.Module):
    def __init__(self):
        super().__init__()
        stem = [conv_bn_relu(3, 64, 3, 2), conv_bn_relu(64, 64, 3), conv_bn_relu(64, 128, 3), nn.MaxPool2d(3, 2, 1, ceil_mode=True)]
        i, blocks = 128, []
        for o, n, stride, dilations in (256, 3, 1, (1,)), (512, 4, 2, (1,)), (1024, 6, 1, (2,)), (2048, 3, 1, (4, 8, 16)):
            for j in range(n):
                blocks.append(Bottleneck(i, o, stride if j == 0 else 1, dilations[j % len(dilations)]))
                i = o
        self.trunk = nn.Sequential(*stem, *blocks)
        self.head = nn.Sequential(conv_bn_relu(2048, 512, 3), DualGraph(512), conv_bn_relu(512, 512, 3))
        self.last = nn.Sequential(conv_bn_relu(2560, 512, 3), nn.Conv2d(512, 19, 1))

    def forward(self, images):
        x = self.trunk(images)
        return self.last(torch.cat([x, self.head(x)], 1))


def segformer_b0():
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    net = SegformerForSemanticSegmentation(SegformerConfig(num_labels=19))
    return lambda images: net(images).logits


NETWORKS = {
    "deeplabv3plus-wrn38": lambda: DeepLabV3PlusWrn38().eval(),
    "dualgcn-res50": lambda: DualGcnRes50().eval(),
    "segformer-b0": segformer_b0,
}


def peak_memory():
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024**2


def main():
    torch.manual_seed(0)
    torch.set_num_threads(2)
    name, size, runs = (sys.argv[1:] + ["2048x1024", "3"][len(sys.argv) - 2 :])[:3]
    width, height = map(int, size.split("x"))
    net, images, seconds = NETWORKS[name](), torch.randn(1, 3, height, width), []
    with torch.inference_mode():
        for _ in range(int(runs)):
            start = time.perf_counter()
            net(images)
            seconds.append(time.perf_counter() - start)
    print(f"{name} {size}: {statistics.median(seconds):.2f} s, {peak_memory():.2f} GiB")


if __name__ == "__main__":
    main()
