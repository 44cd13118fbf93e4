"""TFX and Beam shells around facemodel."""
