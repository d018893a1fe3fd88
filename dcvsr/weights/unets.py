"""U-Nets in diffusers' layout as ``ckpt=`` names them: a folder, or a repository of the Hugging Face hub.

Importing this module does not import torch.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from dcvsr.weights import hub
from dcvsr.weights.unet_folder import CONFIG, FileMissing, UNetFiles, chosen_files, read_unet

CHECKPOINT_SUFFIXES = {".ckpt", ".safetensors", ".pt", ".pth", ".bin"}


@dataclass(frozen=True)
class HubName:
    """Place of a U-Net on the hub, written ``owner/name[/subfolder][@revision]``."""

    repository: str
    subfolder: str
    revision: str | None

    @classmethod
    def parsed(cls, text: str) -> Self | None:
        """Parse ``text``; None if it has another form."""
        part = r"\w[\w.-]*"
        found = re.fullmatch(rf"({part}/{part})((?:/{part})*)(?:@([\w./-]+))?", text, re.ASCII)
        return found and cls(found[1], found[2].strip("/"), found[3])


def names_unet(ckpt: str | None) -> bool:
    """Return True if ``ckpt`` is a folder or has the form of a hub id, and is not a checkpoint file."""
    if ckpt is None:
        return False
    path = Path(ckpt).expanduser()
    is_file = path.is_file() or path.suffix in CHECKPOINT_SUFFIXES
    return path.is_dir() or (not is_file and HubName.parsed(ckpt) is not None)


def require_unet(ckpt: str | None) -> None:
    """Check within five seconds that `unet_files` can provide ``ckpt``; other checkpoints are not checked.

    Raises:
        UserError: as in `unet_files`.
    """
    if ckpt is not None and names_unet(ckpt) and _local(ckpt) is None:
        _on_the_hub(ckpt)


def unet_files(ckpt: str) -> UNetFiles:
    """Return the files of the U-Net in a folder, or of a repository, which is downloaded if not cached.

    Args:
        ckpt: a folder that is, or has in one of `SUBFOLDERS`, a U-Net in diffusers' layout; or a `HubName`.

    Raises:
        UserError: if there is no such U-Net, a file is missing, damaged or pickled, or the hub cannot be
            reached or refuses.
    """
    if found := _local(ckpt):
        return found
    name, patterns = _on_the_hub(ckpt)
    folder = hub.download(name.repository, name.revision, [*patterns, "README.md"], "ckpt")
    return read_unet(folder, name.subfolder, ckpt, name.repository)


def _local(ckpt: str) -> UNetFiles | None:
    """Return the complete copy on this machine; None if the hub must be asked."""
    folder = Path(ckpt).expanduser()
    if folder.is_dir():
        return read_unet(folder, "", ckpt)
    name = HubName.parsed(ckpt)
    assert name is not None
    try:
        return _cached(ckpt, name)
    except FileMissing:
        return None


def _cached(ckpt: str, name: HubName) -> UNetFiles | None:
    folder = hub.cached(name.repository, name.revision)
    return folder and read_unet(folder, name.subfolder, ckpt, name.repository)


def _on_the_hub(ckpt: str) -> tuple[HubName, list[str]]:
    """Ask the hub for the files of a U-Net, and whether it delivers them; return their patterns."""
    from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url

    name = HubName.parsed(ckpt)
    assert name is not None

    def listed_and_delivered() -> list[str]:
        info = HfApi().model_info(name.repository, revision=name.revision, timeout=hub.PATIENCE)
        place, files = chosen_files({file.rfilename for file in info.siblings or []}, name.subfolder, ckpt)
        url = hf_hub_url(name.repository, place + CONFIG, revision=name.revision)
        get_hf_file_metadata(url, timeout=hub.PATIENCE)  # a gated repository lists files, but delivers none
        return [place + file for file in files]

    return name, hub.ask(listed_and_delivered, name.repository, "ckpt")
