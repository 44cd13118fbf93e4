"""The photo's colours on the mesh."""
