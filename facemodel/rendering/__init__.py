"""Meshes to images: z-buffer, Phong shading and light."""
