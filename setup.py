"""Which packages belong to facerelief; everything else is in pyproject.toml.

Beam workers and container images build the project from this file.
"""

from setuptools import find_packages, setup

setup(
    packages=find_packages(
        include=[f"{name}*" for name in ("facemodel", "components", "pipeline", "serving")]
    )
)
