"""Materials of skin, eyes, hair and cloth for Cycles."""

from __future__ import annotations

import bpy

UNIT = 0.01
"""Blender units per mm."""
SUBSURFACE = (1.0, 0.37, 0.19)
"""Mean free paths in skin of red, green and blue relative to red. Source: Jensen et al. 2001."""
ROUGHNESS = {"mouth": 0.25, "tongue": 0.3, "teeth": 0.15, "eye_l": 0.05, "eye_r": 0.05}


def _material(name: str):
    """A material with a Principled BSDF: material, nodes, links, the BSDF."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    return material, nodes, links, next(n for n in nodes if n.type == "BSDF_PRINCIPLED")


def _textured(nodes, links, bsdf, albedo) -> None:
    texture = nodes.new("ShaderNodeTexImage")
    texture.image = albedo
    links.new(texture.outputs["Color"], bsdf.inputs["Base Color"])


def skin(albedo, height, scene: dict):
    """Skin with subsurface scattering, and wrinkles as bumps: images, and the scene's numbers."""
    material, nodes, links, bsdf = _material("skin")
    _textured(nodes, links, bsdf, albedo)
    bsdf.inputs["Roughness"].default_value = float(scene["roughness"])
    bsdf.inputs["Specular IOR Level"].default_value = float(scene["specular"])
    bsdf.inputs["Subsurface Weight"].default_value = 0.8
    bsdf.inputs["Subsurface Radius"].default_value = SUBSURFACE
    bsdf.inputs["Subsurface Scale"].default_value = float(scene["scatter_mm"]) * UNIT
    relief, bump = nodes.new("ShaderNodeTexImage"), nodes.new("ShaderNodeBump")
    relief.image = height
    bump.inputs["Strength"].default_value = 1.0
    bump.inputs["Distance"].default_value = float(scene["bump"]) * UNIT
    links.new(relief.outputs["Color"], bump.inputs["Height"])
    links.new(bump.outputs["Normal"], bsdf.inputs["Normal"])
    return material


def wet(name: str, albedo):
    """Eyes, teeth, tongue and the inside of the mouth."""
    material, nodes, links, bsdf = _material(name)
    _textured(nodes, links, bsdf, albedo)
    bsdf.inputs["Roughness"].default_value = ROUGHNESS.get(name, 0.3)
    return material


def plain_material(name: str, colour, roughness: float):
    """One colour [3], linear."""
    material, _, _, bsdf = _material(name)
    bsdf.inputs["Base Color"].default_value = (*(float(value) for value in colour), 1.0)
    bsdf.inputs["Roughness"].default_value = roughness
    return material


def hair_material(name: str, colour, roughness: float):
    """Hair: matte strands with a highlight along them; colour [3], linear.

    Blender's own hair shader takes ten times as long, for light that goes through strands.
    """
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    matte, shine = nodes.new("ShaderNodeBsdfDiffuse"), nodes.new("ShaderNodeBsdfHair")
    matte.inputs["Color"].default_value = (*(float(value) for value in colour), 1.0)
    shine.component = "Reflection"
    bright = [0.3 * float(value) ** 0.5 + 0.05 for value in colour]
    shine.inputs["Color"].default_value = (*bright, 1.0)
    shine.inputs["RoughnessU"].default_value = roughness
    shine.inputs["RoughnessV"].default_value = 1.0
    mix, output = nodes.new("ShaderNodeMixShader"), nodes.new("ShaderNodeOutputMaterial")
    mix.inputs["Fac"].default_value = 0.4
    links.new(matte.outputs["BSDF"], mix.inputs[1])
    links.new(shine.outputs["BSDF"], mix.inputs[2])
    links.new(mix.outputs["Shader"], output.inputs["Surface"])
    return material
