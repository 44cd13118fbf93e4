"""Path-traced photos of faces outside the face model's span, and the errors on them.

Scenes are made here (scenes.py), rendered by blender/render.py under another Python, and evaluated
here again (evaluate.py); see docs/raycast.md.
"""
