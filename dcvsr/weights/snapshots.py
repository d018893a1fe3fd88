"""Stable Video Diffusion's weights: a folder in diffusers' layout or a repository of the Hugging Face hub."""

import queue
import threading
from pathlib import Path

from dcvsr.runtime.errors import UserError

FILES = [
    f"{part}/{file}" for part in ("unet", "vae", "image_encoder") for file in ("config.json", "*.safetensors")
]
HALF = "*.fp16.*"  # half-precision copies, which are not used
PATIENCE = 3.0  # seconds to wait for an answer of the hub


def require_snapshot(source: str) -> None:
    """Check within five seconds that `snapshot` can provide ``source``, without importing torch.

    Raises:
        UserError: as in `snapshot`.
    """
    if _local(source) is None and (obstacle := _obstacle(source)):
        raise UserError(
            f"{source} is not a folder, the hub's cache has no complete copy, and {obstacle}; "
            "accept its licence at "
            f"https://huggingface.co/{source}, run `hf download {source} --local-dir FOLDER` on a machine "
            "with access, and give model.weights=FOLDER"
        )


def snapshot(source: str) -> Path:
    """Return the folder ``source``, or the cached copy of the repository ``source``; download if missing.

    Raises:
        UserError: if the folder lacks a file, or the repository is neither cached nor available.
    """
    from huggingface_hub import snapshot_download

    require_snapshot(source)
    return _local(source) or Path(snapshot_download(source, allow_patterns=FILES, ignore_patterns=[HALF]))


def _local(source: str) -> Path | None:
    """Return the complete local copy of the model; None if the hub must be asked."""
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
        raise UserError(
            f"{source} is neither a folder nor a repository name; give a folder or OWNER/NAME"
        ) from None
    return None if _lacking(cached) else cached


def _lacking(folder: Path) -> list[str]:
    return [file for file in FILES if not any(p.is_file() and not p.match(HALF) for p in folder.glob(file))]


def _obstacle(source: str) -> str:
    """Return the reason why the hub cannot provide ``source``; empty if it can."""
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    # In a thread, because the client's timeout does not cover the lookup of the hub's address.
    threading.Thread(target=lambda: answers.put(_ask(source)), daemon=True).start()
    try:
        return answers.get(timeout=PATIENCE)
    except queue.Empty:
        return f"the hub did not answer within {PATIENCE:.0f} s"


def _ask(source: str) -> str:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    try:
        get_hf_file_metadata(hf_hub_url(source, FILES[0]), timeout=PATIENCE)
    except Exception as error:  # hub 1 raises errors of httpx, hub 2 of httpx2
        return f"the hub does not provide it ({type(error).__name__}: {error}".splitlines()[0] + ")"
    return ""
