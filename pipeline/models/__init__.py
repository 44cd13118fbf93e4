"""The work of `facerelief model`: conversion, landmarks, facts and pictures of a face model."""
