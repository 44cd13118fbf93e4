"""Renders the scenes of a raycast set; a script for a Python with Blender's bpy and numpy.

It imports nothing of this project, which runs on another Python:

    uv venv -p 3.11 bpyenv
    uv pip install -p bpyenv bpy==5.0.1 numpy
    bpyenv/bin/python pipeline/evaluation/raycast/blender/render.py SET --threads 2

Pictures that exist are left as they are, so it may be stopped and started again.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import time

import bpy
import numpy as np
from development import develop
from materials import UNIT, hair_material, plain_material, skin, wet
from mathutils import Vector
from pictures import byte_image, float_image, rendered, save_jpeg

HEIGHT_STEP_MM, HEIGHT_ZERO = 0.01, 128


def main(words: list[str] | None = None) -> None:
    """Renders all scenes of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", type=pathlib.Path, help="folder of the set")
    parser.add_argument("--threads", type=int, default=2, help="of the renderer")
    parser.add_argument("--samples", type=int, default=8, help="of each pixel, at most")
    parser.add_argument("--count", type=int, help="stop after so many pictures")
    parser.add_argument("--drop-scenes", action="store_true", help="delete rendered scenes")
    options = parser.parse_args(words)
    mesh_file = options.set / "mesh.npz"
    if not mesh_file.is_file():
        parser.error(f"{mesh_file}: no such file; make the scenes first")
    common = dict(np.load(mesh_file))
    names = sorted(path.stem for path in (options.set / "scenes").glob("*.npz"))
    waiting = [name for name in names if not picture_path(options.set, name).is_file()]
    waiting = waiting[: options.count]
    (options.set / "pictures").mkdir(exist_ok=True)
    say(f"{len(names) - len(waiting)} of {len(names)} scenes are left out or rendered")
    for number, name in enumerate(waiting, 1):
        began = time.perf_counter()
        scene_file = options.set / "scenes" / f"{name}.npz"
        scene = dict(np.load(scene_file))
        linear = render(common, scene, threads=options.threads, samples=options.samples)
        save_jpeg(
            picture_path(options.set, name), develop(linear, scene), int(scene["jpeg_quality"])
        )
        if options.drop_scenes:
            scene_file.unlink()
        say(f"{name}: {number} of {len(waiting)}, {time.perf_counter() - began:.1f} s")


def say(text: str) -> None:
    """A line of progress."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def picture_path(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Where a scene's picture is."""
    return folder / "pictures" / f"{name}.jpg"


def render(common: dict, scene: dict, *, threads: int, samples: int) -> np.ndarray:
    """Path traces a scene: float32 [S, S, 3] linear."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    world = bpy.context.scene
    _settings(world, threads, samples, int(scene["side"]))
    _camera(world, scene)
    _environment(world, scene["environment"])
    _lamps(world, scene)
    _head(world, common, scene)
    _shoulders(world, scene)
    rotation = scene["rotation"]
    frame = plain_material("frame", scene["glasses_colour"], 0.25)
    for name in ("hair", "brows"):
        roughness = float(scene["hair_roughness"])
        material = hair_material(name, scene[f"{name}_colour"], roughness)
        _curves(world, name, scene, rotation, material)
    _curves(world, "glasses", scene, rotation, frame)
    return rendered(world)


def _settings(world, threads: int, samples: int, side: int) -> None:
    world.render.engine = "CYCLES"
    world.cycles.device = "CPU"
    world.render.threads_mode = "FIXED"
    world.render.threads = threads
    world.cycles.samples = samples
    world.cycles.use_adaptive_sampling = True
    world.cycles.adaptive_threshold = 0.05
    world.cycles.adaptive_min_samples = 4
    world.cycles.use_denoising = True
    world.cycles.denoiser = "OPENIMAGEDENOISE"
    world.cycles.denoising_prefilter, world.cycles.denoising_quality = "FAST", "BALANCED"
    world.cycles.max_bounces = 3
    world.cycles.diffuse_bounces = 2
    world.cycles.glossy_bounces = 1
    world.cycles.transmission_bounces = 0
    world.cycles.caustics_reflective = world.cycles.caustics_refractive = False
    world.cycles.sample_clamp_indirect = 5.0
    world.cycles.seed = 0
    world.cycles_curves.shape = "RIBBONS"
    world.render.resolution_x = world.render.resolution_y = side
    world.render.resolution_percentage = 100
    world.render.film_transparent = False
    world.view_settings.view_transform = "Raw"
    world.render.image_settings.file_format = "OPEN_EXR"
    world.render.image_settings.color_depth = "32"
    world.render.image_settings.color_mode = "RGB"


def _camera(world, scene: dict) -> None:
    side = float(scene["side"])
    lens = bpy.data.cameras.new("camera")
    lens.sensor_fit = "HORIZONTAL"
    lens.sensor_width = 36.0
    lens.lens = float(scene["focal_px"]) / side * 36.0
    x, y = scene["principal"]
    lens.shift_x, lens.shift_y = (side / 2 - x) / side, (y - side / 2) / side
    lens.clip_start, lens.clip_end = 0.1, 1e4
    holder = bpy.data.objects.new("camera", lens)
    holder.location = (0.0, 0.0, float(scene["distance"]) * UNIT)
    world.collection.objects.link(holder)
    world.camera = holder


def _environment(world, image: np.ndarray) -> None:
    """Light from all around; the file's y is up, Blender's equirectangular z is."""
    surround = bpy.data.worlds.new("world")
    world.world = surround
    surround.use_nodes = True
    nodes, links = surround.node_tree.nodes, surround.node_tree.links
    nodes.clear()
    texture = nodes.new("ShaderNodeTexEnvironment")
    texture.image = float_image("surround", image.astype(np.float32))
    places = nodes.new("ShaderNodeTexCoord")
    turn = nodes.new("ShaderNodeMapping")
    turn.inputs["Rotation"].default_value = (np.pi / 2, 0.0, 0.0)
    background, output = nodes.new("ShaderNodeBackground"), nodes.new("ShaderNodeOutputWorld")
    links.new(places.outputs["Generated"], turn.inputs["Vector"])
    links.new(turn.outputs["Vector"], texture.inputs["Vector"])
    links.new(texture.outputs["Color"], background.inputs["Color"])
    links.new(background.outputs["Background"], output.inputs["Surface"])
    surround.cycles.sampling_method = "MANUAL"
    surround.cycles.sample_map_resolution = 512


def _lamps(world, scene: dict) -> None:
    """Square lamps; strength 1 gives the head as much light as surroundings of radiance 1."""
    rows = zip(
        scene["lamp_places"], scene["lamp_sides"], scene["lamp_strengths"], scene["lamp_colours"]
    )
    for place, side, strength, colour in rows:
        lamp = bpy.data.lights.new("lamp", "AREA")
        lamp.size = float(side) * UNIT
        away = float(np.linalg.norm(place)) * UNIT
        lamp.energy = float(strength) * np.pi**2 * away**2
        lamp.color = [float(value) for value in colour]
        holder = bpy.data.objects.new("lamp", lamp)
        holder.location = [float(value) * UNIT for value in place]
        holder.rotation_euler = Vector(-place).to_track_quat("-Z", "Y").to_euler()
        holder.visible_camera = False
        world.collection.objects.link(holder)


def _head(world, common: dict, scene: dict) -> None:
    mesh = _mesh("head", scene["vertices"] @ scene["rotation"].T, common["triangles"])
    layer = mesh.uv_layers.new(name="uv")
    layer.data.foreach_set("uv", common["uv"][common["uv_triangles"].ravel()].ravel())
    names = [str(name) for name in common["region_names"]]
    albedo = byte_image("albedo", scene["albedo"])
    height = float_image("height", _height_mm(scene["height"]))
    for name in names:
        material = skin(albedo, height, scene) if name == "skin" else wet(name, albedo)
        mesh.materials.append(material)
    mesh.polygons.foreach_set("material_index", _region_of(common).astype(np.int32))
    mesh.update()
    world.collection.objects.link(bpy.data.objects.new("head", mesh))


def _region_of(common: dict) -> np.ndarray:
    """[T] the region of each triangle: skin where it has a corner of skin, but not the eyes'."""
    corners = common["regions"][common["triangles"]]
    return np.where((corners == corners[:, :1]).all(1), corners[:, 0], corners.min(1))


def _height_mm(stored: np.ndarray) -> np.ndarray:
    height = (stored.astype(np.float32) - HEIGHT_ZERO) * HEIGHT_STEP_MM
    return np.repeat(height[..., None], 3, -1)


def _shoulders(world, scene: dict) -> None:
    mesh = _mesh("shoulders", scene["shoulders"], scene["shoulder_triangles"])
    mesh.materials.append(plain_material("shirt", scene["shirt"], 0.9))
    world.collection.objects.link(bpy.data.objects.new("shoulders", mesh))


def _mesh(name: str, vertices: np.ndarray, triangles: np.ndarray):
    """A smooth mesh from vertices [V, 3] mm in the camera frame."""
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(vertices))
    mesh.vertices.foreach_set("co", (vertices * UNIT).astype(np.float32).ravel())
    mesh.loops.add(triangles.size)
    mesh.loops.foreach_set("vertex_index", triangles.astype(np.int32).ravel())
    mesh.polygons.add(len(triangles))
    mesh.polygons.foreach_set("loop_start", np.arange(0, triangles.size, 3, dtype=np.int32))
    mesh.update(calc_edges=True)
    mesh.validate()
    mesh.shade_smooth()
    return mesh


def _curves(world, name: str, scene: dict, rotation: np.ndarray, material) -> None:
    sizes = scene[f"{name}_sizes"]
    if not len(sizes):
        return
    curves = bpy.data.hair_curves.new(name)
    curves.add_curves([int(size) for size in sizes])
    points = (scene[f"{name}_points"] @ rotation.T * UNIT).astype(np.float32)
    curves.position_data.foreach_set("vector", points.ravel())
    radius = curves.attributes.get("radius") or curves.attributes.new("radius", "FLOAT", "POINT")
    radius.data.foreach_set("value", (scene[f"{name}_radius"] * UNIT).astype(np.float32))
    curves.materials.append(material)
    world.collection.objects.link(bpy.data.objects.new(name, curves))


if __name__ == "__main__":
    main()
