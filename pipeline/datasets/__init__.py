"""Data sets of synthetic faces: writing, resuming, describing."""
