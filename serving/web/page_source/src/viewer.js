// The head on the screen.
import {
  BufferAttribute,
  BufferGeometry,
  LinearSRGBColorSpace,
  Mesh,
  MeshBasicMaterial,
  PerspectiveCamera,
  SRGBColorSpace,
  Scene,
  Spherical,
  Vector3,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
import { Lights, makeMaterial, releaseMaps } from "./materials.js";

const FIELD_OF_VIEW = 24;
const TURN = Math.PI / 36;
const ZOOM = 1.1;
const MARGIN = 1.04;

export class Viewer {
  /** frame holds the canvas and takes the keys. */
  constructor(frame, canvas) {
    this._frame = frame;
    this._renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true });
    this._renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    this._camera = new PerspectiveCamera(FIELD_OF_VIEW, 1, 10, 5000);
    this._scene = new Scene();
    this._scene.add(this._camera);
    this._lights = new Lights(this._camera);
    this._controls = new OrbitControls(this._camera, frame);
    this._controls.enablePan = false;
    this._controls.addEventListener("change", () => this.invalidate());
    this._radius = 150;
    this._look = { mode: "texture", detail: true, wireframe: false };
    frame.addEventListener("keydown", (event) => this._onKey(event));
    new ResizeObserver(() => this._resize()).observe(frame);
  }

  /** Shows a head; maps are materials.loadMaps's. */
  show(shape, maps) {
    this._clear();
    this._shape = shape;
    this._maps = maps;
    this._geometry = new BufferGeometry();
    this._geometry.setIndex(new BufferAttribute(new Uint32Array(shape.triangles), 1));
    this._geometry.setAttribute("uv", new BufferAttribute(shape.uv, 2));
    this._geometry.setAttribute("position", new BufferAttribute(shape.positions, 3));
    this._geometry.setAttribute("normal", new BufferAttribute(shape.normals, 3));
    this._mesh = new Mesh(this._geometry);
    const lines = { wireframe: true, transparent: true, opacity: 0.2, color: 0x10151c };
    this._lines = new Mesh(this._geometry, new MeshBasicMaterial(lines));
    for (const mesh of [this._mesh, this._lines]) mesh.frustumCulled = false;
    this._scene.add(this._mesh, this._lines);
    this.refresh();
    this._centre();
    this._applyLook();
  }

  get hasDetail() {
    return Boolean(this._maps?.normals);
  }

  /** What was chosen last, also while a face without detail is shown. */
  get wantsDetail() {
    return this._look.detail;
  }

  /** Takes over the shape after it has changed. */
  refresh() {
    this._shape.update();
    this._geometry.attributes.position.needsUpdate = true;
    this._geometry.attributes.normal.needsUpdate = true;
    this.invalidate();
  }

  /** mode, detail, wireframe. */
  setLook(look) {
    Object.assign(this._look, look);
    if (this._mesh) this._applyLook();
  }

  setLight(x, y) {
    this._lights.setDirection(x, y);
    this.invalidate();
  }

  /** Looks at the head from a side: degrees to the subject's left, and up. */
  lookFrom(side, up) {
    const place = new Spherical(this._distance(), Math.PI / 2 - rad(up), rad(side));
    this._place(place);
  }

  /** Draws before the screen is refreshed next. */
  invalidate() {
    if (this._asked) return;
    this._asked = true;
    requestAnimationFrame(() => {
      this._asked = false;
      this._renderer.render(this._scene, this._camera);
    });
  }

  _applyLook() {
    const { mode, detail, wireframe } = this._look;
    const known = mode === "albedo" && !this._maps.albedo ? "texture" : mode;
    this._mesh.material.dispose();
    this._mesh.material = makeMaterial(known, this._maps, detail && this.hasDetail);
    this._lines.visible = wireframe;
    this._lights.setMode(known);
    // The network sees the cosine itself as a grey value.
    const linear = known === "shading";
    this._renderer.outputColorSpace = linear ? LinearSRGBColorSpace : SRGBColorSpace;
    this.invalidate();
  }

  _clear() {
    if (!this._mesh) return;
    this._scene.remove(this._mesh, this._lines);
    releaseMaps(this._maps);
    for (const part of [this._geometry, this._mesh.material, this._lines.material]) part.dispose();
    this._mesh = undefined;
  }

  _centre() {
    this._geometry.computeBoundingBox();
    const box = this._geometry.boundingBox;
    box.getCenter(this._controls.target);
    this._radius = box.getSize(new Vector3()).y / 2;
    this._controls.minDistance = 1.2 * this._radius;
    this._controls.maxDistance = 12 * this._radius;
  }

  _distance() {
    const half = Math.tan(rad(FIELD_OF_VIEW / 2)) * Math.min(1, this._camera.aspect * 1.2);
    return (MARGIN * this._radius) / half + 0.5 * this._radius;
  }

  _place(place) {
    place.makeSafe();
    this._camera.position.setFromSpherical(place).add(this._controls.target);
    this._controls.update();
    this.invalidate();
  }

  _onKey(event) {
    if (event.target !== this._frame || event.ctrlKey || event.metaKey || event.altKey) return;
    const turns = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const zooms = { "+": 1 / ZOOM, "=": 1 / ZOOM, "-": ZOOM };
    const offset = this._camera.position.clone().sub(this._controls.target);
    const place = new Spherical().setFromVector3(offset);
    if (event.key in turns) {
      place.theta += TURN * turns[event.key][0];
      place.phi += TURN * turns[event.key][1];
    } else if (event.key in zooms) place.radius *= zooms[event.key];
    else if (event.key === "0" || event.key === "Home") return this.lookFrom(0, 0);
    else return;
    event.preventDefault();
    this._place(place);
  }

  _resize() {
    const { clientWidth: width, clientHeight: height } = this._frame;
    if (!width || !height) return;
    this._renderer.setSize(width, height, false);
    this._camera.aspect = width / height;
    this._camera.updateProjectionMatrix();
    this.invalidate();
  }
}

const rad = (degrees) => (degrees * Math.PI) / 180;
