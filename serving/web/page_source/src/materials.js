// How the surface looks: the photo's texture, its albedo, clay, or what the network sees.
import { ApiError, content } from "./api.js";
import {
  AmbientLight,
  Color,
  DirectionalLight,
  DoubleSide,
  LinearFilter,
  LinearMipmapLinearFilter,
  MeshLambertMaterial,
  MeshStandardMaterial,
  SRGBColorSpace,
  Texture,
  Vector2,
} from "three";

export const MODES = ["texture", "albedo", "clay", "shading"];
const CLAY = 0xc9c2ba;
/** Ambient light, and the light that is dragged, for each mode. */
const LIGHTS = {
  texture: [2.1, 1.0],
  albedo: [1.0, 2.9],
  clay: [0.25, 3.1],
  shading: [0, 0],
};
const HEADLIGHT = Math.PI;

/** The maps of a head by name; an ApiError if the server or the browser does not give one. */
export async function loadMaps(path, names) {
  const load = async (name) => [name, makeMap(name, await decode(await content(`${path}/${name}.jpg`)))];
  return Object.fromEntries(await Promise.all(names.map(load)));
}

/** Upside down, as WebGL wants it. */
async function decode(file) {
  try {
    return await createImageBitmap(file, { imageOrientation: "flipY", colorSpaceConversion: "none" });
  } catch {
    throw new ApiError("The browser cannot read an image of this head.");
  }
}

function makeMap(name, bitmap) {
  const map = new Texture(bitmap);
  map.flipY = false;
  if (name !== "normals") map.colorSpace = SRGBColorSpace;
  map.minFilter = LinearMipmapLinearFilter;
  map.magFilter = LinearFilter;
  map.anisotropy = 8;
  map.needsUpdate = true;
  return map;
}

/** Gives the memory of maps back. */
export function releaseMaps(maps) {
  for (const map of Object.values(maps)) {
    map.dispose();
    map.image.close();
  }
}

/** A material for a mode; with the detail's normal map if there is one and it is wanted. */
export function makeMaterial(mode, maps, detail) {
  const normals = detail ? { normalMap: maps.normals, normalScale: new Vector2(1, 1) } : {};
  const solid = { side: DoubleSide, polygonOffset: true, polygonOffsetFactor: 1, polygonOffsetUnits: 1 };
  if (mode === "shading") return new MeshLambertMaterial({ color: 0xffffff, ...normals, ...solid });
  const colour = mode === "clay" ? { color: new Color(CLAY) } : { map: maps[mode] };
  return new MeshStandardMaterial({ roughness: 0.72, metalness: 0, ...colour, ...normals, ...solid });
}

/** The lights; all hang on the camera, so they stay where they are when the head is turned. */
export class Lights {
  constructor(camera) {
    this._ambient = new AmbientLight(0xffffff);
    this._light = new DirectionalLight(0xffffff);
    this._head = new DirectionalLight(0xffffff);
    this._head.position.set(0, 0, 1);
    for (const light of [this._light, this._head]) camera.add(light, light.target);
    camera.add(this._ambient);
  }

  setMode(mode) {
    const [ambient, light] = LIGHTS[mode];
    this._ambient.intensity = ambient;
    this._light.intensity = light;
    this._head.intensity = mode === "shading" ? HEADLIGHT : 0;
  }

  /** x to the right, y up, both in [-1, 1] on the unit disc. */
  setDirection(x, y) {
    this._light.position.set(x, y, Math.sqrt(Math.max(0.02, 1 - x * x - y * y)));
  }
}
