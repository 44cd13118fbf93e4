"""Files of a reconstructed face: meshes, facts and the overview."""
