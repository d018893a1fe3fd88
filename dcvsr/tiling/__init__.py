"""Tiles of a video latent, their blending, and chunks of decoded frames."""
