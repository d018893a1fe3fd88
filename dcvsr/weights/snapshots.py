"""Stable Video Diffusion's weights: a folder in diffusers' layout or a repository of the Hugging Face hub."""

from collections.abc import Sequence
from pathlib import Path

from dcvsr.runtime.errors import UserError
from dcvsr.weights import hub
from dcvsr.weights.unets import require_unet

FILES = {
    "architecture": ["unet/config.json"],
    "unet": ["unet/config.json", "unet/*.safetensors"],
    "vae": ["vae/config.json", "vae/*.safetensors"],
    "image_encoder": ["image_encoder/config.json", "image_encoder/*.safetensors"],
}
"""Part -> patterns of the files that it needs; ``architecture`` is the U-Net without its weights."""
HALF = "*.fp16.*"  # half-precision copies, which are not used


def unet_from_snapshot(ckpt: str | None) -> bool:
    """Return True if a run with ``ckpt`` starts from SVD's own U-Net."""
    return ckpt in (None, "newest")


def require_weights(ckpt: str | None, source: str | None = None) -> None:
    """Check within five seconds that a run can get its weights, without importing torch.

    Args:
        ckpt: the checkpoint.
        source: of SVD's weights; None for a model without them.

    Raises:
        UserError: as in `unet_files` and `snapshot`.
    """
    require_unet(ckpt)
    if source is not None:
        unet = "unet" if unet_from_snapshot(ckpt) else "architecture"
        require_snapshot(source, unet, "vae", "image_encoder")


def require_snapshot(source: str, *parts: str) -> None:
    """Check within five seconds that `snapshot` can provide ``parts`` of ``source``, without importing torch.

    Raises:
        UserError: as in `snapshot`.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    if _local(source, parts) is None:
        url = hf_hub_url(source, _files(parts)[0])
        hub.ask(lambda: get_hf_file_metadata(url, timeout=hub.PATIENCE), source, "model.weights")


def snapshot(source: str, *parts: str) -> Path:
    """Return the folder ``source``, or the cached copy of the repository ``source``; download if missing.

    Args:
        source: a folder, or ``OWNER/NAME``.
        parts: those of `FILES` that are needed.

    Raises:
        UserError: if the folder lacks a file, or the repository is neither cached nor available.
    """
    require_snapshot(source, *parts)
    if found := _local(source, parts):
        return found
    return hub.download(source, None, _files(parts), "model.weights", ignore_patterns=[HALF])


def _files(parts: Sequence[str]) -> list[str]:
    return [file for part in parts for file in FILES[part]]


def _local(source: str, parts: Sequence[str]) -> Path | None:
    """Return the complete local copy of ``parts``; None if the hub must be asked."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        if lacking := _lacking(folder, parts):
            raise UserError(f"{folder} lacks {', '.join(lacking)}; give a folder in diffusers' layout")
        return folder
    found = hub.cached(source)
    return None if found is None or _lacking(found, parts) else found


def _lacking(folder: Path, parts: Sequence[str]) -> list[str]:
    return [
        file
        for file in _files(parts)
        if not any(p.is_file() and not p.match(HALF) for p in folder.glob(file))
    ]
