"""The software and the processor that an LR set's pixels depend on."""

import platform
import re
from collections.abc import Mapping
from fractions import Fraction

import av
import torch
import torchvision  # noqa: F401 (it brings `torch.ops.image`)

from dcvsr.runtime.versions import PIXELS, package_versions

LIBRARIES = ("libavcodec", "libavformat", "libavutil", "libswscale")


def versions() -> dict[str, str]:
    """Name -> version: packages, the libraries inside them, and what torch uses of the processor."""
    ffmpeg = {name: ".".join(map(str, av.library_versions[name])) for name in LIBRARIES}
    return {
        **package_versions(PIXELS),
        **ffmpeg,
        "libx264": _x264(),
        "libjpeg": str(torch.ops.image._jpeg_version()),
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
    }


def told_apart(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """What is not the same, as ``"torch 2.6.0 there, 2.7.0 here"``; else ``"the same"``."""
    apart = [
        f"{name} {there.get(name, 'none')} there, {here.get(name, 'none')} here"
        for name in dict.fromkeys([*there, *here])
        if there.get(name) != here.get(name)
    ]
    return ", ".join(apart) or "the same"


def _x264() -> str:
    """x264 writes its build into the first packet of what it encodes."""
    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.width = encoder.height = 16
    encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", Fraction(1), Fraction(1)
    packets = [*encoder.encode(av.VideoFrame(16, 16, "yuv420p")), *encoder.encode(None)]
    build = re.search(rb"x264 - (core .+?) - ", b"".join(map(bytes, packets)))
    return build[1].decode() if build else "unknown"
