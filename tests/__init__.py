"""Named here, so that it is found before the package of this name that torch-fidelity brings."""
