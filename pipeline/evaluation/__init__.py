"""Measurements: errors on held-out faces, landmark noise, time."""
