"""The Hugging Face hub: its local cache, and requests that end within seconds with a one-line reason."""

import queue
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dcvsr.runtime.errors import UserError

T = TypeVar("T")

PATIENCE = 3.0
"""Seconds to wait for the hub's answer."""


def cached(repository: str, revision: str | None = None) -> Path | None:
    """Return the folder of a repository in the hub's cache, which may lack files; None if there is none.

    Raises:
        UserError: if ``repository`` is not ``OWNER/NAME``.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        # By default hub 2 refuses a copy of some of the repository's files; no pattern requires none of them.
        return Path(
            snapshot_download(repository, revision=revision, local_files_only=True, allow_patterns=[])
        )
    except LocalEntryNotFoundError:
        return None
    except HFValidationError:
        raise UserError(
            f"{repository} is neither a folder nor a repository name; give a folder or OWNER/NAME"
        ) from None


def ask(question: Callable[[], T], repository: str, key: str) -> T:
    """Return ``question()``, a request about ``repository``.

    Args:
        question: the request.
        repository: ``OWNER/NAME``.
        key: the configuration key that takes a folder instead of a repository.

    Raises:
        UserError: if the hub refuses, or does not answer within `PATIENCE` seconds.
    """
    answers: queue.SimpleQueue[T | Exception] = queue.SimpleQueue()

    def request() -> None:
        try:
            answers.put(question())
        except Exception as error:  # hub 1 raises errors of httpx, hub 2 of httpx2
            answers.put(error)

    # In a thread, because the client's timeout does not cover the lookup of the hub's address.
    threading.Thread(target=request, daemon=True).start()
    try:
        answer = answers.get(timeout=PATIENCE)
    except queue.Empty:
        raise UserError(
            f"the hub did not answer within {PATIENCE:g} s; {_by_hand(repository, key)}"
        ) from None
    if isinstance(answer, UserError):
        raise answer
    if isinstance(answer, Exception):
        raise UserError(_refusal(answer, repository, key)) from answer
    return answer


def download(repository: str, revision: str | None, patterns: Sequence[str], key: str, **more: Any) -> Path:
    """Download the files that match ``patterns`` into the hub's cache, with progress bars; return the folder.

    Raises:
        UserError: if the hub refuses, or the connection or the disk fails.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=[*patterns], **more))
    except Exception as error:  # hub 1 raises errors of httpx, hub 2 of httpx2
        raise UserError(_refusal(error, repository, key)) from error


def _refusal(error: Exception, repository: str, key: str) -> str:
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalTokenNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, LocalTokenNotFoundError):
        return f"nobody is logged in to the hub, which {key}={repository} needs; run `hf auth login`"
    if isinstance(error, GatedRepoError):
        return (
            f"{repository} is gated: accept its licence at https://huggingface.co/{repository}, "
            "run `hf auth login`, and start again"
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"the hub has no repository {repository}, or it is private; correct {key}, or run `hf auth login`"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"{repository} has no such revision; give a branch, a tag or a commit after @"
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"{repository}: the request to the hub failed ({reason}); {_by_hand(repository, key)}"


def require_writable(repository: str) -> None:
    """Check within five seconds that the user is logged in to upload to ``repository``.

    Raises:
        UserError: if ``repository`` is not ``OWNER/NAME``, or the user is not logged in.
    """
    from huggingface_hub import HfApi

    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repository, re.ASCII):
        raise UserError(f"hub={repository} is not a repository name: give OWNER/NAME")
    ask(lambda: HfApi().whoami(), repository, "hub")


def upload(folder: Path, repository: str, private: bool) -> str:
    """Upload a folder to a model repository, which is created if missing; return the commit's address.

    Raises:
        UserError: if the hub refuses, or the connection fails; the folder stays.
    """
    from huggingface_hub import HfApi

    try:
        HfApi().create_repo(repository, private=private, exist_ok=True)
        return HfApi().upload_folder(repo_id=repository, folder_path=folder).commit_url
    except Exception as error:  # hub 1 raises errors of httpx, hub 2 of httpx2
        raise UserError(
            f"{folder} is written, but not uploaded: {_refusal(error, repository, 'hub')}"
        ) from error


def _by_hand(repository: str, key: str) -> str:
    if key == "hub":
        return f"leave out hub=, and run `hf upload {repository} FOLDER` on a machine with access"
    return (
        f"run `hf download {repository} --local-dir FOLDER` on a machine with access, after accepting its "
        f"licence at https://huggingface.co/{repository} if it asks for that, and give {key}=FOLDER"
    )
