"""How far detected landmarks are taken to be off where nothing else is known: in serving."""

LANDMARK_NOISE_MM = 3.0
"""About what was measured on lifelike faces (docs/landmark-noise.md)."""
