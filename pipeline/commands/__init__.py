"""One module for each command of `facerelief`."""
