"""The denoiser and its networks, tiled sampling, checkpoints and cost."""
