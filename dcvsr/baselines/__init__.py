"""Baseline upscalers, compared with the method by evaluation."""
