"""Baseline upscalers with the protocol of ``dcvsr.models.upscaler.Upscaler``."""
