"""Full-reference, no-reference and temporal metrics of restored clips, as torchmetrics classes."""
