"""Stable Video Diffusion's VAE from diffusers, decoded by chunks of frames and, on demand, by tiles."""

import math

import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from einops import rearrange
from torch import Tensor, nn

from dcvsr.models.temporal_decoder import WORKSPACE, decoded
from dcvsr.tiling.canvas import Canvas
from dcvsr.tiling.chunks import chunks, crossfaded
from dcvsr.tiling.grid import Tile, TileGrid
from dcvsr.weights import snapshot

_BLEND = 0.1
"""Width of the Gaussian window of decoded tiles, in tiles, as the denoiser's (spec A16)."""


class SVDAutoencoder(nn.Module):
    """SVD's VAE, frozen, in float32: encodes each frame (mode of the posterior) and decodes chunks of frames.

    Args:
        vae: the network.
        chunk: frames decoded together (spec A20).
        overlap: frames that consecutive chunks share at least; they are cross-faded.
        tile: side of the tiles that a chunk is decoded in, in latent pixels; None for whole frames. A tile
            has its own statistics in the group normalisation, and its attention sees only itself, so tiles
            change the result (spec A20).
        tile_overlap: fraction of a tile that neighbours share; they are blended as the denoiser's tiles are.

    Raises:
        ValueError: if chunks of ``chunk`` frames cannot overlap by ``overlap``, or tiles by ``tile_overlap``.
    """

    def __init__(
        self,
        vae: AutoencoderKLTemporalDecoder,
        chunk: int,
        overlap: int = 0,
        tile: int | None = None,
        tile_overlap: float = 0.25,
    ) -> None:
        super().__init__()
        chunks(1, chunk, overlap)
        self.vae = vae.requires_grad_(False).eval()
        self.vae.enable_gradient_checkpointing()  # used where a latent requires gradients
        self.chunk, self.overlap = chunk, overlap
        self.grid = None if tile is None else TileGrid(tile, chunk, tile_overlap)
        self.factor = 2 ** (len(vae.config["block_out_channels"]) - 1)
        self.channels: int = vae.config["latent_channels"]

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        """Encode video ``b f c h w`` in [0, 1] to an unscaled latent ``b f k h/8 w/8``."""
        frames = rearrange(2 * video.float() - 1, "b f c h w -> (b f) 1 c h w")
        latent = torch.cat([self.vae.encode(frame).latent_dist.mode() for frame in frames])  # type: ignore
        return rearrange(latent, "(b f) k h w -> b f k h w", b=len(video))

    def decode(self, latent: Tensor) -> Tensor:
        """Decode an unscaled latent ``b f k h w`` to video ``b f c 8h 8w``, not clamped.

        A latent that requires gradients is decoded by diffusers' layers, recomputed in the backward pass,
        because `decoded` works in place.
        """
        parts = (
            (chunk, torch.stack([self._decode_chunk(clip) for clip in latent[:, chunk].float()]))
            for chunk in chunks(latent.shape[1], self.chunk, self.overlap)
        )
        return (torch.cat(list(crossfaded(parts)), dim=1) + 1) / 2

    def decoding_memory(self, frames: int, height: int, width: int) -> int:
        """Estimate the bytes that decoding needs, from the channels at full size: see ``decoded``."""
        channels: int = self.vae.config["block_out_channels"][0]
        sizes = self.decoded_sizes(frames, height, width)
        return max(4 * channels * (2 * part + WORKSPACE) * h * w for part, h, w in sizes)

    def decoded_sizes(self, frames: int, height: int, width: int) -> list[tuple[int, int, int]]:
        """Return frames, height and width of each part decoded for a video; what parts share counts twice."""
        factor = self.factor
        return [
            (chunk.stop - chunk.start, factor * rows, factor * columns)
            for chunk in chunks(frames, self.chunk, self.overlap)
            for _, rows, columns in (tile.shape for tile in self._tiles(1, height // factor, width // factor))
        ]

    def _decode_chunk(self, latent: Tensor) -> Tensor:
        """Decode a chunk of a clip, ``f k h w``."""
        frames, _, rows, columns = latent.shape
        if torch.is_grad_enabled() and latent.requires_grad:
            return self.vae.decode(latent, num_frames=frames).sample  # type: ignore[union-attr]
        tiles = self._tiles(frames, rows, columns)
        if len(tiles) == 1:
            return decoded(self.vae.decoder, latent)
        scale = self.factor
        canvas = Canvas(latent.new_empty(frames, 3, scale * rows, scale * columns), _BLEND, math.inf)
        for tile in tiles:
            canvas.add(tile.scaled(scale), decoded(self.vae.decoder, latent[tile.index]))
        return canvas.merge()

    def _tiles(self, frames: int, rows: int, columns: int) -> list[Tile]:
        """Return the tiles of a chunk of ``frames``."""
        whole = Tile(slice(0, frames), slice(0, rows), slice(0, columns))
        return [whole] if self.grid is None else self.grid.windows(frames, rows, columns)[0]


def pretrained_autoencoder(
    source: str, chunk: int, overlap: int = 0, tile: int | None = None, tile_overlap: float = 0.25
) -> SVDAutoencoder:
    """Load SVD's VAE from ``source``, a folder or a hub repository, as float32."""
    vae = AutoencoderKLTemporalDecoder.from_pretrained(
        snapshot(source, "vae"), subfolder="vae", torch_dtype=torch.float32
    )
    return SVDAutoencoder(vae, chunk, overlap, tile, tile_overlap)
