"""One case of the race in PyTorch, in one configuration: prepares it, then times one repetition for each line on standard input.

usage: pytorch_server.py CASE forward|both CONFIGURATION f32|bf16 [--size WxH] [--batch N] [--threads N]

CASE is an operation, NETWORK-inference or NETWORK-step. The first line of the output has the seconds of the preparation (compilation and the first repetition), each
further line the seconds of one repetition and the peak memory in bytes since the preparation, without what compilation alone needed.
"""

import argparse
import contextlib
import ctypes
import gc
import os
import sys
import tempfile
import time

import torch
import torch.nn.functional as F
from pytorch_networks import ALIGN_CORNERS, NETWORKS
from pytorch_operations import OPERATIONS

LEARNING_RATE = 1e-4


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("case")
    parser.add_argument("mode")
    parser.add_argument("configuration")
    parser.add_argument("precision")
    parser.add_argument("--size", default="1024x512")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    args.width, args.height = map(int, args.size.split("x"))
    args.channels_last = "channels-last" in args.configuration
    args.compiled = "compile" in args.configuration
    return args


def operation(args):
    def form(x):
        x = x.bfloat16() if args.precision == "bf16" else x
        return x.to(memory_format=torch.channels_last) if args.channels_last else x

    return OPERATIONS[args.case](args.mode, form)


def precision_of(args):
    if args.precision == "bf16":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()


def network(args, name):
    """The network and its images, in the memory format of the configuration."""
    net, images = NETWORKS[name](), torch.randn(args.batch, 3, args.height, args.width)
    if args.channels_last:
        net, images = net.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    return net, images


def inference(args, name):
    net, images = network(args, name)
    net.eval()
    if args.configuration == "onnxruntime":
        return onnxruntime_inference(args, net, images)
    if args.compiled:
        # weights become constants: batch norm is folded, and weights are laid out for the kernels once
        torch._inductor.config.freezing = True
        net = torch.compile(net)

    def run():
        # compiled networks are not frozen in inference mode
        with torch.no_grad() if args.compiled else torch.inference_mode(), precision_of(args):
            net(images)

    return run


def onnxruntime_inference(args, net, images):
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        path = os.path.join(folder, "net.onnx")
        torch.onnx.export(net, (images,), path, dynamo=True, verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = args.threads
        if os.environ.get("OMP_WAIT_POLICY") == "PASSIVE":
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: images.numpy()}
    return lambda: session.run(None, inputs)


def step(args, name):
    """Forward pass, cross entropy at the size of the image in f32, backward pass and Adam, without dropout."""
    net, images = network(args, name)
    targets = torch.zeros(args.batch, args.height, args.width, dtype=torch.long)
    parameters = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, LEARNING_RATE)
    align_corners = name in ALIGN_CORNERS
    if args.compiled:
        net = torch.compile(net)

    def run():
        optimizer.zero_grad()
        with precision_of(args):
            logits = net(images)
        logits = logits.float()
        if logits.shape[2:] != targets.shape[1:]:
            logits = F.interpolate(logits, size=targets.shape[1:], mode="bilinear", align_corners=align_corners)
        F.cross_entropy(logits, targets).backward()
        optimizer.step()

    return run


def prepared(args):
    for suffix, setup in ("-inference", inference), ("-step", step):
        if args.case.endswith(suffix):
            return setup(args, args.case.removesuffix(suffix))
    return operation(args)


def forget_peak():
    """Gives memory back that only compilation needed, and lets Linux measure the peak from here on."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def peak_memory():
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main():
    args = arguments()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    start = time.perf_counter()
    run = prepared(args)
    run()
    print(time.perf_counter() - start, flush=True)
    forget_peak()
    run()
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(time.perf_counter() - start, peak_memory(), flush=True)


if __name__ == "__main__":
    main()
