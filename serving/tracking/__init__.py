"""Faces through a film: who is where, one identity for each person, motion without jitter."""
