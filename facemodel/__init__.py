"""A 3D morphable face model, its rendering and the network that fits it to a photo.

Paper: Richardson, Sela and Kimmel, 3DV 2016.
"""

__version__ = "0.1.0"
