"""Scripts for a Python with Blender's bpy; nothing of the project imports them, see render.py."""
