"""The 3D morphable face model: mean, bases, mesh, landmarks and its file."""
