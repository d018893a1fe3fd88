"""Spatial self-attention with SAP, TAP and suppressed attention (sections 3.1 to 3.3)."""
