"""Errors of reconstructed faces."""
