"""The networks of oodseg in PyTorch, for pytorch_server.py and pytorch_training.py: the same layers and shapes, with random weights.

`forward` returns the logits before they are upsampled to the size of the image, as the networks of oodseg do. Attention is scaled_dot_product_attention, which
is faster than the matrix products and the softmax of the published implementations.
"""

import torch
import torch.nn.functional as F
from torch import nn

CLASSES = 19

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

def conv_bn_act(act, *args, **kwargs):
    conv = nn.Conv2d(*args, bias=False, **kwargs)
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), act())


class ENetBlock(nn.Module):
    """Residual block whose middle convolution is 3x3 with a dilation, or (dilation 0) 5x1 and 1x5."""

    def __init__(self, c, dilation, act):
        super().__init__()
        i = c // 4
        if dilation:
            middle = [conv_bn_act(act, i, i, 3, padding=dilation, dilation=dilation)]
        else:
            middle = [conv_bn_act(act, i, i, (5, 1), padding=(2, 0)), conv_bn_act(act, i, i, (1, 5), padding=(0, 2))]
        self.ext, self.act = nn.Sequential(conv_bn_act(act, c, i, 1), *middle, conv_bn_act(act, i, c, 1)), act()

    def forward(self, x):
        return self.act(x + self.ext(x))


class ENetDown(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.missing, inner, act = o - i, i // 4, nn.PReLU
        layers = [conv_bn_act(act, i, inner, 2, 2), conv_bn_act(act, inner, inner, 3, padding=1), conv_bn_act(act, inner, o, 1)]
        self.ext, self.act = nn.Sequential(*layers), act()

    def forward(self, x):
        main, indices = F.max_pool2d(x, 2, 2, return_indices=True)
        return self.act(F.pad(main, (0, 0, 0, 0, 0, self.missing)) + self.ext(x)), indices


class ENetUp(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        inner = i // 4
        self.main = nn.Sequential(nn.Conv2d(i, o, 1, bias=False), nn.BatchNorm2d(o))
        doubled = [nn.ConvTranspose2d(inner, inner, 2, 2, bias=False), nn.BatchNorm2d(inner), nn.ReLU()]
        last = [nn.Conv2d(inner, o, 1, bias=False), nn.BatchNorm2d(o)]
        self.ext = nn.Sequential(conv_bn_act(nn.ReLU, i, inner, 1), *doubled, *last)

    def forward(self, x, indices):
        return F.relu(F.max_unpool2d(self.main(x), indices, 2) + self.ext(x))


class ENet(nn.Module):
    """Without dropout."""

    def __init__(self):
        super().__init__()
        act = nn.PReLU
        self.first, self.norm = nn.Conv2d(3, 13, 3, 2, 1, bias=False), nn.Sequential(nn.BatchNorm2d(16), act())
        self.down1, self.stage1 = ENetDown(16, 64), nn.Sequential(*[ENetBlock(64, 1, act) for _ in range(4)])
        dilations = 2 * (1, 2, 0, 4, 1, 8, 0, 16)
        self.down2, self.stage2 = ENetDown(64, 128), nn.Sequential(*[ENetBlock(128, d, act) for d in dilations])
        self.up4, self.stage4 = ENetUp(128, 64), nn.Sequential(*[ENetBlock(64, 1, nn.ReLU) for _ in range(2)])
        self.up5, self.stage5 = ENetUp(64, 16), ENetBlock(16, 1, nn.ReLU)
        self.last = nn.ConvTranspose2d(16, CLASSES, 3, 2, 1, 1, bias=False)

    def forward(self, images):
        x = self.norm(torch.cat([self.first(images), F.max_pool2d(images, 3, 2, 1)], 1))
        x, indices1 = self.down1(x)
        x, indices2 = self.down2(self.stage1(x))
        x = self.stage4(self.up4(self.stage2(x), indices2))
        return self.last(self.stage5(self.up5(x, indices1)))


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


class WideResNet38(nn.Module):
    """Features at 1/2 with 128 channels, and at 1/8 with 4096."""

    fine, coarse = 128, 4096

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
        self.mods = nn.ModuleList(modules)

    def forward(self, images):
        fine = x = self.mods[0](self.pool(self.conv1(images)))
        x = self.pool(x)
        for module in self.mods[1:]:
            x = module(x)
        return fine, x


class DeepLabV3Plus(nn.Module):
    def __init__(self, trunk):
        super().__init__()
        self.trunk, self.aspp = trunk, Pyramid(trunk.coarse)
        self.bot_fine, self.bot_aspp = nn.Conv2d(trunk.fine, 48, 1, bias=False), nn.Conv2d(1280, 256, 1, bias=False)
        self.final = nn.Sequential(conv_bn_relu(304, 256, 3), conv_bn_relu(256, 256, 3), nn.Conv2d(256, CLASSES, 1, bias=False))

    def forward(self, images):
        fine, coarse = self.trunk(images)
        x = upsample(self.bot_aspp(self.aspp(coarse)), fine.shape[2:])
        return self.final(torch.cat([self.bot_fine(fine), x], 1))


class Bottleneck(nn.Module):
    def __init__(self, i, o, stride, dilation):
        super().__init__()
        self.convs = nn.Sequential(conv_bn_relu(i, o // 4, 1), conv_bn_relu(o // 4, o // 4, 3, stride, dilation), conv_bn(o // 4, o, 1))
        self.downsample = conv_bn(i, o, 1, stride) if stride != 1 or i != o else nn.Identity()

    def forward(self, x):
        return F.relu(self.convs(x) + self.downsample(x), inplace=True)


def resnet50_layers(i, last_dilations):
    """The four layers of ResNet-50 behind a stem of `i` channels, at 1/4, 1/8, 1/8 and 1/8."""
    layers = []
    for o, n, stride, dilations in (256, 3, 1, (1,)), (512, 4, 2, (1,)), (1024, 6, 1, (2,)), (2048, 3, 1, last_dilations):
        inputs = (i, *[o] * (n - 1))
        blocks = [Bottleneck(c, o, stride if j == 0 else 1, dilations[j % len(dilations)]) for j, c in enumerate(inputs)]
        layers.append(nn.Sequential(*blocks))
        i = o
    return layers


class ResNet50(nn.Module):
    """Features at 1/4 with 256 channels, and at 1/8 with 2048."""

    fine, coarse = 256, 2048

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(conv_bn_relu(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1))
        first, *others = resnet50_layers(64, (4,))
        self.first, self.others = first, nn.Sequential(*others)

    def forward(self, images):
        fine = self.first(self.stem(images))
        return fine, self.others(fine)


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
        self.trunk = nn.Sequential(*stem, *resnet50_layers(128, (4, 8, 16)))
        self.head = nn.Sequential(conv_bn_relu(2048, 512, 3), DualGraph(512), conv_bn_relu(512, 512, 3))
        self.last = nn.Sequential(conv_bn_relu(2560, 512, 3), nn.Conv2d(512, CLASSES, 1))

    def forward(self, images):
        x = self.trunk(images)
        return self.last(torch.cat([x, self.head(x)], 1))

class OverlapPatches(nn.Module):
    def __init__(self, i, o, kernel, stride):
        super().__init__()
        self.proj, self.norm = nn.Conv2d(i, o, kernel, stride, kernel // 2), nn.LayerNorm(o)

    def forward(self, x):
        x = self.proj(x)
        return self.norm(x.flatten(2).transpose(1, 2)), x.shape[2:]


class ReducedAttention(nn.Module):
    """Attention whose keys and values are those of a reduced image; tokens are [N, H W, C]."""

    def __init__(self, c, heads, reduction):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(c, c) for _ in range(4))
        self.reduce = nn.Conv2d(c, c, reduction, reduction) if reduction > 1 else None
        self.norm = nn.LayerNorm(c) if reduction > 1 else None

    def forward(self, x, size):
        n, _, c = x.shape
        reduced = x
        if self.reduce is not None:
            image = x.transpose(1, 2).reshape(n, c, *size)
            reduced = self.norm(self.reduce(image).flatten(2).transpose(1, 2))
        q, k, v = (f(y).view(n, -1, self.heads, c // self.heads).transpose(1, 2) for f, y in ((self.q, x), (self.k, reduced), (self.v, reduced)))
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).reshape(n, -1, c))


class MixBlock(nn.Module):
    def __init__(self, c, heads, reduction):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(c), nn.LayerNorm(c)
        self.attention = ReducedAttention(c, heads, reduction)
        self.dense1, self.dense2 = nn.Linear(c, 4 * c), nn.Linear(4 * c, c)
        self.depthwise = nn.Conv2d(4 * c, 4 * c, 3, 1, 1, groups=4 * c)

    def forward(self, x, size):
        x = x + self.attention(self.norm1(x), size)
        y = self.dense1(self.norm2(x))
        y = self.depthwise(y.transpose(1, 2).reshape(y.shape[0], -1, *size)).flatten(2).transpose(1, 2)
        return x + self.dense2(F.gelu(y))


class SegFormer(nn.Module):
    """Without dropout and stochastic depth."""

    def __init__(self, widths=(32, 64, 160, 256), depths=(2, 2, 2, 2), decoder=256):
        super().__init__()
        inputs, shapes = (3, *widths[:-1]), ((7, 4), (3, 2), (3, 2), (3, 2))
        self.patches = nn.ModuleList([OverlapPatches(i, o, *shape) for i, o, shape in zip(inputs, widths, shapes)])
        stages = zip(widths, depths, (1, 2, 5, 8), (8, 4, 2, 1))
        self.blocks = nn.ModuleList([nn.ModuleList([MixBlock(c, heads, reduction) for _ in range(n)]) for c, n, heads, reduction in stages])
        self.norms = nn.ModuleList([nn.LayerNorm(c) for c in widths])
        self.projections = nn.ModuleList([nn.Linear(c, decoder) for c in widths])
        self.fuse, self.classifier = conv_bn_relu(4 * decoder, decoder, 1), nn.Conv2d(decoder, CLASSES, 1)

    def forward(self, x):
        features = []
        for patches, blocks, norm, projection in zip(self.patches, self.blocks, self.norms, self.projections):
            tokens, size = patches(x)
            for block in blocks:
                tokens = block(tokens, size)
            tokens = norm(tokens)
            x = tokens.transpose(1, 2).reshape(tokens.shape[0], -1, *size)
            y = projection(tokens).transpose(1, 2).reshape(tokens.shape[0], -1, *size)
            features.append(F.interpolate(y, size=(features or [y])[0].shape[2:], mode="bilinear", align_corners=False))
        return self.classifier(self.fuse(torch.cat(features[::-1], 1)))


class VitBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(c, eps=1e-6), nn.LayerNorm(c, eps=1e-6)
        self.qkv, self.proj, self.fc1, self.fc2 = nn.Linear(c, 3 * c), nn.Linear(c, c), nn.Linear(c, 4 * c), nn.Linear(4 * c, c)
        self.scale1, self.scale2 = nn.Parameter(torch.ones(c)), nn.Parameter(torch.ones(c))

    def forward(self, x):
        n, tokens, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, tokens, 3, c // 64, 64).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, c)
        x = x + self.scale1 * self.proj(y)
        return x + self.scale2 * self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Dinov2(nn.Module):
    """A linear head on a frozen backbone with patches of 14 pixels."""

    def __init__(self, c=384, depth=12):
        super().__init__()
        self.backbone = nn.ModuleDict({
            "patches": nn.Conv2d(3, c, 14, 14),
            "blocks": nn.Sequential(*[VitBlock(c) for _ in range(depth)]),
            "norm": nn.LayerNorm(c, eps=1e-6),
        })
        self.class_token, self.positions = nn.Parameter(torch.randn(1, 1, c)), nn.Parameter(torch.randn(1, 37 * 37 + 1, c))
        for parameter in self.parameters():
            parameter.requires_grad_(False)
        self.head = nn.Sequential(nn.BatchNorm2d(c), nn.Conv2d(c, CLASSES, 1))

    def forward(self, images):
        size = [-(-side // 14) * 14 for side in images.shape[2:]]
        x = self.backbone["patches"](F.interpolate(images, size=size, mode="bilinear", align_corners=False))
        n, c, h, w = x.shape
        grid = self.positions[:, 1:].transpose(1, 2).view(1, c, 37, 37)
        grid = F.interpolate(grid, size=(h, w), mode="bicubic", align_corners=False)
        first = (self.class_token + self.positions[:, :1]).expand(n, -1, -1)
        tokens = torch.cat([first, (x + grid).flatten(2).transpose(1, 2)], 1)
        tokens = self.backbone["norm"](self.backbone["blocks"](tokens))
        return self.head(tokens[:, 1:].transpose(1, 2).reshape(n, c, h, w))


# by the names of oodseg; the larger sizes of SegFormer and DINOv2 have the same layers
NETWORKS = {
    "erfnet": erfnet,
    "enet": ENet,
    "deeplabv3plus-wrn38": lambda: DeepLabV3Plus(WideResNet38()),
    "deeplabv3plus-res50": lambda: DeepLabV3Plus(ResNet50()),
    "dualgcn-res50": DualGcnRes50,
    "segformer-b0": SegFormer,
    "segformer-b1": lambda: SegFormer((64, 128, 320, 512)),
    "segformer-b2": lambda: SegFormer((64, 128, 320, 512), (3, 4, 6, 3), 768),
    "dinov2-vits14": Dinov2,
    "dinov2-vitb14": lambda: Dinov2(768),
}
# the flag of the last upsampling; False for all others
ALIGN_CORNERS = ("deeplabv3plus-wrn38", "deeplabv3plus-res50", "dualgcn-res50")
