"""Wrinkles and pores: from a photo and a coarse face to a relief, by shape from shading."""
