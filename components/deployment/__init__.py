"""Exported models: asking them, keeping their versions, serving them for a test."""
