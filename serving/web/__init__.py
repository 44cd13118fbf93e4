"""The local page of `facerelief web`: photos in, heads to turn, move and download."""
