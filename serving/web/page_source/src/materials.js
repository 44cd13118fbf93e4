// How the surface looks: the photo's texture, its albedo, clay, or what the network sees.
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
  TextureLoader,
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

export async function loadMaps(path, names) {
  const loader = new TextureLoader();
  const load = async (name) => {
    const map = await loader.loadAsync(`${path}/${name}.jpg`);
    if (name !== "normals") map.colorSpace = SRGBColorSpace;
    map.minFilter = LinearMipmapLinearFilter;
    map.magFilter = LinearFilter;
    map.anisotropy = 8;
    return [name, map];
  };
  return Object.fromEntries(await Promise.all(names.map(load)));
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
