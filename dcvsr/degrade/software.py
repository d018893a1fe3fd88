"""Versions of the software and the processor type that an LR set's pixels depend on."""

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
    """Return versions by name: packages, libraries inside them, and the processor features torch uses."""
    ffmpeg = {name: ".".join(map(str, av.library_versions[name])) for name in LIBRARIES}
    return {
        **package_versions(PIXELS),
        **ffmpeg,
        "libx264": _x264(),
        "libjpeg": str(torch.ops.image._jpeg_version()),
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
    }


def version_differences(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """Describe differences, as in ``"torch 2.6.0 in the manifest, 2.7.0 here"``, or return ``"the same"``."""
    differences = [
        f"{name} {there.get(name, 'none')} in the manifest, {here.get(name, 'none')} here"
        for name in dict.fromkeys([*there, *here])
        if there.get(name) != here.get(name)
    ]
    return ", ".join(differences) or "the same"


def _x264() -> str:
    """Return the x264 build, which x264 writes into its first packet."""
    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.width = encoder.height = 16
    encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", Fraction(1), Fraction(1)
    packets = [*encoder.encode(av.VideoFrame(16, 16, "yuv420p")), *encoder.encode(None)]
    build = re.search(rb"x264 - (core .+?) - ", b"".join(map(bytes, packets)))
    return build[1].decode() if build else "unknown"
