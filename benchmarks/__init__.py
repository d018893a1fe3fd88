"""Benchmarks: ratios to a named reference, both measured in one run on the same work."""
