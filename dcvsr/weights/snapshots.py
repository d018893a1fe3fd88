"""Stable Video Diffusion's weights: a folder in diffusers' layout or a repository of the Hugging Face hub."""

import queue
import threading
from pathlib import Path

from dcvsr.runtime.errors import UserError

FILES = [
    f"{part}/{file}" for part in ("unet", "vae", "image_encoder") for file in ("config.json", "*.safetensors")
]
HALF = "*.fp16.*"  # the hub's half-precision copies, which are not read
PATIENCE = 3.0  # seconds in which the hub has to answer


def require_snapshot(source: str) -> None:
    """Return if `snapshot` can give ``source``; takes at most five seconds and does not import torch.

    Raises:
        UserError: as `snapshot`.
    """
    if _local(source) is None and (obstacle := _obstacle(source)):
        raise UserError(
            f"{source} is no folder, not whole in the hub's cache, and {obstacle}; accept its licence at "
            f"https://huggingface.co/{source}, run `hf download {source} --local-dir FOLDER` on a machine "
            "that reaches it, and give model.weights=FOLDER"
        )


def snapshot(source: str) -> Path:
    """The folder ``source``, or the hub cache's copy of the repository ``source``, downloaded if need be.

    Raises:
        UserError: if the folder lacks a file, or if the repository is neither in the cache nor to be had.
    """
    from huggingface_hub import snapshot_download

    require_snapshot(source)
    return _local(source) or Path(snapshot_download(source, allow_patterns=FILES, ignore_patterns=[HALF]))


def _local(source: str) -> Path | None:
    """The whole model on this machine; None where the hub must be asked."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    folder = Path(source).expanduser()
    if folder.is_dir():
        if lacking := _lacking(folder):
            raise UserError(f"{folder} lacks {', '.join(lacking)}; give a folder in diffusers' layout")
        return folder
    try:
        cached = Path(snapshot_download(source, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except HFValidationError:
        raise UserError(f"there is no folder {source}, and a repository's name reads OWNER/NAME") from None
    return None if _lacking(cached) else cached


def _lacking(folder: Path) -> list[str]:
    return [file for file in FILES if not any(p.is_file() and not p.match(HALF) for p in folder.glob(file))]


def _obstacle(source: str) -> str:
    """Why the hub does not give ``source``; empty if it does."""
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    # A thread of its own: the client's timeout does not cover looking up the hub's address.
    threading.Thread(target=lambda: answers.put(_ask(source)), daemon=True).start()
    try:
        return answers.get(timeout=PATIENCE)
    except queue.Empty:
        return f"the hub does not answer within {PATIENCE:.0f} s"


def _ask(source: str) -> str:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    try:
        get_hf_file_metadata(hf_hub_url(source, FILES[0]), timeout=PATIENCE)
    except Exception as error:  # hub 1 lets errors of httpx through, hub 2 of httpx2
        return f"the hub does not give it ({type(error).__name__}: {error}".splitlines()[0] + ")"
    return ""
