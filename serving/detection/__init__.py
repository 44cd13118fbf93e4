"""Finds faces and their landmarks: from serving.detection import FaceDetector."""


def __getattr__(name):
    """Imports the detector when it is first asked for (PEP 562), as serving does."""
    if name == "FaceDetector":
        from serving.detection.detector import FaceDetector

        return FaceDetector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
