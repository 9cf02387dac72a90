"""Writes the ONNX files of tests/onnx.rs: `python make.py` with torch, onnx and onnxscript, in this folder.

Each network averages blocks of 2x2 pixels and mixes the three colors of the average. The weights are the formula that the test
computes too: output c, color k: ((3 * c + 5 * k) % 7 - 3) / 2, and the offset c / 4 - 0.5.
"""

import torch
from torch import nn
from torch.nn import functional as F


class Mix(nn.Module):
    """Logits of `n` channels at half of the resolution."""

    def __init__(self, n):
        super().__init__()
        weight = [[((3 * c + 5 * k) % 7 - 3) / 2 for k in range(3)] for c in range(n)]
        self.weight = nn.Parameter(torch.tensor(weight)[:, :, None, None])
        self.bias = nn.Parameter(torch.tensor([c / 4 - 0.5 for c in range(n)]))

    def forward(self, images):
        return F.conv2d(F.avg_pool2d(images, 2), self.weight, self.bias)


class Probabilities(Mix):
    """Softmax, with the channels last, of images with the channels last."""

    def forward(self, images):
        logits = super().forward(images.permute(0, 3, 1, 2))
        return logits.softmax(1).permute(0, 2, 3, 1)


class Score(Mix):
    """A single number for each pixel, of bytes."""

    def forward(self, images):
        return super().forward(images.float())[:, 0]


class Labels(Mix):
    """The class of each pixel, which is no logit, beside the logits."""

    def forward(self, images):
        logits = super().forward(images)
        return logits, logits.argmax(1)


def export(name, network, images, free, outputs=("maps",)):
    axes = {0: torch.export.Dim("n"), 2: 2 * torch.export.Dim("half_h"), 3: 2 * torch.export.Dim("half_w")}
    program = torch.onnx.export(
        network.eval(), (images,), dynamo=True, input_names=["image"], output_names=list(outputs), external_data=False,
        dynamic_shapes=[axes] if free else None, optimize=True, verbose=False,
    )
    # without the texts on where each node comes from, which name folders of this machine
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output]:
        del value.metadata_props[:]
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    with open(name, "wb") as file:
        file.write(model.SerializeToString(deterministic=True))


export("logits.onnx", Mix(4), torch.rand(2, 3, 8, 6), free=True)
export("fixed.onnx", Probabilities(3), torch.rand(1, 16, 24, 3), free=False)
export("score.onnx", Score(1), torch.zeros(2, 3, 8, 6, dtype=torch.uint8), free=True)
export("two.onnx", Labels(3), torch.rand(2, 3, 8, 6), free=True, outputs=("maps", "labels"))
