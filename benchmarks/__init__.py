"""What is timed or weighed: ratios against a named reference, both measured in one run on the same work."""
