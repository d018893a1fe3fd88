"""Stable Video Diffusion's weights: a folder, the hub's cache, or a hub that answers, errs or is silent."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from dcvsr.runtime.errors import UserError
from dcvsr.weights import hub
from dcvsr.weights.snapshots import FILES, require_snapshot, snapshot

REPOSITORY = "owner/video"
PARTS = ("unet", "vae", "image_encoder")
ALL = [file for part in PARTS for file in FILES[part]]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer than a user wants to wait."""
    monkeypatch.setattr(hub, "PATIENCE", 200.0)


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the model in the otherwise empty hub cache."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--owner--video"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text("0" * 40)
    return folder / "snapshots" / ("0" * 40)


def fill(folder: Path) -> Path:
    for file in ALL:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.replace("*", "model")).touch()
    return folder


def let_hub(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", answer)


def fail(*_: object, **__: object) -> None:
    raise ConnectionError("no route\nto the hub")


def test_a_whole_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    require_snapshot(str(fill(tmp_path)), *PARTS)
    assert snapshot(str(tmp_path), *PARTS) == tmp_path


@pytest.mark.parametrize("file", ALL)
def test_the_file_that_a_folder_lacks_is_named(tmp_path: Path, file: str) -> None:
    (fill(tmp_path) / file.replace("*", "model")).unlink()
    with pytest.raises(UserError) as refusal:
        require_snapshot(str(tmp_path), *PARTS)
    assert f"{tmp_path} lacks {file};" in str(refusal.value)


def test_half_precision_copies_do_not_make_a_folder_whole(tmp_path: Path) -> None:
    (fill(tmp_path) / "unet/model.safetensors").rename(tmp_path / "unet/model.fp16.safetensors")
    with pytest.raises(UserError, match=r"lacks unet/\*.safetensors;"):
        require_snapshot(str(tmp_path), *PARTS)


def test_a_folder_that_does_not_exist_is_named() -> None:
    with pytest.raises(UserError, match="/no/such/folder is neither a folder nor a repository name"):
        require_snapshot("/no/such/folder", *PARTS)


def test_a_whole_copy_in_the_cache_needs_no_hub(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_hub(fail, monkeypatch)
    fill(cached)
    assert snapshot(REPOSITORY, *PARTS) == cached


def test_what_the_cache_lacks_is_downloaded_if_the_hub_answers(
    cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fill(cached) / "vae/config.json").unlink()
    local = huggingface_hub.snapshot_download

    def download(source: str, local_files_only: bool = False, **files: Any) -> str:
        if local_files_only:
            return local(source, local_files_only=True, **files)
        assert "vae/config.json" in files["allow_patterns"]
        return str(fill(cached))

    let_hub(lambda *_, **__: None, monkeypatch)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert snapshot(REPOSITORY, *PARTS) == cached
    assert (cached / "vae/config.json").exists()


def test_a_hub_that_errs_is_reported_in_one_line_with_the_way_out(
    cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_hub(fail, monkeypatch)
    with pytest.raises(UserError) as refusal:
        require_snapshot(REPOSITORY, *PARTS)
    message = str(refusal.value)
    assert "\n" not in message
    for part in (
        REPOSITORY,
        "ConnectionError: no route",
        f"hf download {REPOSITORY}",
        "model.weights=FOLDER",
    ):
        assert part in message


def test_a_hub_that_stays_silent_is_not_waited_for(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "PATIENCE", 0.1)
    over = threading.Event()
    let_hub(lambda *_, **__: over.wait(), monkeypatch)
    try:
        with pytest.raises(UserError, match="did not answer"):
            require_snapshot(REPOSITORY, *PARTS)
    finally:
        over.set()


def test_offline_the_answer_needs_no_network_no_retry_and_no_torch(tmp_path: Path) -> None:
    code = f"""
import socket, sys, time
from dcvsr.runtime.errors import UserError
from dcvsr.weights import hub
from dcvsr.weights.snapshots import require_snapshot
def refuse(*_, **__): raise AssertionError("it goes online or waits")
socket.getaddrinfo = socket.socket.connect = time.sleep = refuse
hub.PATIENCE = 200.0
try:
    require_snapshot({REPOSITORY!r}, "vae")
except UserError as error:
    assert "offline mode" in str(error), error
    print("torch" in sys.modules)
"""
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path)}
    assert subprocess.check_output([sys.executable, "-c", code], env=offline, text=True) == "False\n"
