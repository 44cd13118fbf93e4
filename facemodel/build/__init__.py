"""Builds the default face model from CC0 data."""
