"""Package list of dcvsr; everything else is in setup.cfg.

The configuration tree conf/ is installed as the package dcvsr.conf, which ``find:`` cannot express.
"""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["dcvsr", "dcvsr.*"]), "dcvsr.conf"])
