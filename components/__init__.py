"""TFX and Beam shells around facemodel."""

_ARTIFACTS = ("Faces", "Report")


def __getattr__(name):
    """Finds artifact types where TFX looks for them; Beam's workers need not import TFX."""
    if name in _ARTIFACTS:
        from components import artifacts

        return getattr(artifacts, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
