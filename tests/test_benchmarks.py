"""Parts of `make full-size`: random weights in diffusers' layout, and phases of a command."""

import sys

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from benchmarks.random_weights import TRUE_SIZE, Networks, missing_bytes, write
from benchmarks.watching import watched
from dcvsr.models.svd import new_unet, pretrained_image_encoder, pretrained_unet
from dcvsr.models.svd_autoencoder import pretrained_autoencoder

SMALL: Networks = {
    "unet": (TRUE_SIZE["unet"][0], lambda: new_unet(4, [32, 64], [1, 2], layers=1, embedding=32, frames=4)),
    "vae": (
        TRUE_SIZE["vae"][0],
        lambda: AutoencoderKLTemporalDecoder(
            block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D",) * 2
        ),
    ),
    "image_encoder": (
        TRUE_SIZE["image_encoder"][0],
        lambda: CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=32,
                intermediate_size=37,
                projection_dim=32,
                num_hidden_layers=2,
                num_attention_heads=4,
                patch_size=56,
            )
        ),
    ),
}


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


def test_the_true_networks_have_the_sizes_of_svd_s(tmp_path):
    assert missing_bytes(tmp_path, {"unet": TRUE_SIZE["unet"]}) == 2 * 1_524_623_082
    assert missing_bytes(tmp_path, {"vae": TRUE_SIZE["vae"]}) == 2 * 97_742_847


def test_random_weights_load_as_svd_s_do_and_are_the_same_each_time(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / name, SMALL)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    source = str(tmp_path / "one")
    unet = pretrained_unet(source, None, checkpointing=False)
    latent = pretrained_autoencoder(source, chunk=2).encode(torch.rand(1, 2, 3, 16, 16))
    image = pretrained_image_encoder(source)(torch.rand(1, 3, 16, 16))
    given = torch.cat([latent, latent], dim=2), torch.ones(1), image, torch.zeros(1, 3)
    with torch.no_grad():
        estimate = unet(*given).sample
    assert estimate.isfinite().all()
    assert estimate.std() > 0.01


def test_what_is_whole_is_not_written_again(tmp_path):
    write(tmp_path, SMALL)
    before = contents(tmp_path)
    (tmp_path / "vae/config.json").unlink()  # as if the process had been killed before
    kept = (tmp_path / "unet" / SMALL["unet"][0]).stat()
    assert missing_bytes(tmp_path, SMALL) == missing_bytes(tmp_path / "empty", {"vae": SMALL["vae"]}) > 0
    write(tmp_path, SMALL)
    assert contents(tmp_path) == before
    assert (tmp_path / "unet" / SMALL["unet"][0]).stat().st_mtime_ns == kept.st_mtime_ns
    assert missing_bytes(tmp_path, SMALL) == 0


def test_a_full_disk_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    class Usage:
        free = 1000

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)
    with pytest.raises(SystemExit, match=r"need .* GB, but .* GB free: name another folder with FOLDER="):
        write(tmp_path, SMALL)
    assert not list(tmp_path.iterdir())


def test_phases_of_a_command_have_its_time_and_memory(capfd):
    code = (
        "import sys, time; print('first done', flush=True); time.sleep(1); held = bytearray(100_000_000);"
        "print('second done', file=sys.stderr, flush=True); time.sleep(1)"
    )
    first, second, last = watched(
        [sys.executable, "-c", code], {"first": "first done", "second": "second done"}, "rest"
    )
    assert [first.name, second.name, last.name] == ["first", "second", "rest"]
    assert second.seconds > 0.25
    assert last.seconds > 0.25
    assert first.peak_bytes + 90e6 < second.peak_bytes <= last.peak_bytes
    assert min(phase.core_seconds for phase in (first, second, last)) >= 0
    assert "second done" in capfd.readouterr().err


def test_a_command_that_fails_ends_with_its_code():
    with pytest.raises(SystemExit) as stopped:
        watched([sys.executable, "-c", "raise SystemExit(3)"], {}, "rest")
    assert stopped.value.code == 3
