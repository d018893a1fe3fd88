"""Noise levels, samplers, guidance and the training loss."""
