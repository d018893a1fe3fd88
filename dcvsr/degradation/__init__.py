"""Random degradations that make LR from HR: RealBasicVSR's, a light one, and bicubic downsampling."""
