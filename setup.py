"""The packages that belong to facerelief; everything else is in pyproject.toml.

Beam workers and container images build the project from this file.
"""

from setuptools import setup

setup(
    packages=[
        "facemodel",
        "facemodel.build",
        "components",
        "pipeline",
        "pipeline.commands",
        "pipeline.spark",
        "serving",
    ]
)
