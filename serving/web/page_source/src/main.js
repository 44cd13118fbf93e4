// Puts the page together.
import { about, facePath, forgetPhoto, headArrays, makeHead, openPhoto } from "./api.js";
import { lightPad } from "./light.js";
import { MODES } from "./materials.js";
import { markFace, showPhoto } from "./photo.js";
import { showStage } from "./progress.js";
import { showResult } from "./result.js";
import { Scrubber } from "./scrubber.js";
import { HeadShape } from "./shape.js";
import { Sliders } from "./sliders.js";
import { uploads } from "./upload.js";
import { Viewer } from "./viewer.js";

const part = (id) => document.getElementById(id);
const progress = { box: part("progress"), list: part("stages"), status: part("status") };
let photo;
let shape;
let turn = 0;
let largest = Infinity;

const viewer = makeViewer();
const refresh = () => viewer?.refresh();
const sliders = new Sliders(
  {
    identity: part("identity"),
    expression: part("expression"),
    search: part("search"),
    none: part("none"),
    reset: part("reset"),
    together: part("together"),
  },
  refresh,
);
const scrubber = new Scrubber(
  { range: part("iteration"), ticks: part("ticks"), note: part("iteration-note"), play: part("play"), box: part("loop") },
  () => {
    refresh();
    sliders.follow();
  },
);

function makeViewer() {
  try {
    return new Viewer(part("view"), part("canvas"));
  } catch {
    part("no-webgl").hidden = false;
    return undefined;
  }
}

function fail(message) {
  showStage(progress, "");
  part("error-text").textContent = message;
  part("error").hidden = false;
}

function clearError() {
  part("error").hidden = true;
}

async function send(file, name) {
  const mine = ++turn;
  clearError();
  if (file.size > largest * 2 ** 20) return fail(`${name} is larger than ${largest} MiB.`);
  showStage(progress, "finding faces");
  try {
    const opened = await openPhoto(file, name);
    if (mine !== turn) return forgetPhoto(opened.photo);
    if (photo) forgetPhoto(photo.photo).catch(() => {});
    photo = opened;
    showPhoto({ image: part("photo"), boxes: part("boxes"), hint: part("faces-hint") }, photo, choose);
    await choose(0);
  } catch (error) {
    if (mine === turn) fail(error.message);
  }
}

async function choose(number) {
  const mine = ++turn;
  const stopped = () => mine !== turn;
  clearError();
  markFace(part("boxes"), number);
  try {
    const head = await makeHead(photo.photo, number, (stage) => showStage(progress, stage), stopped);
    if (stopped()) return;
    const arrays = await headArrays(photo.photo, number);
    if (stopped()) return;
    await show(number, head, new HeadShape(arrays));
  } catch (error) {
    if (!stopped()) fail(error.message);
  }
}

async function show(number, head, made) {
  part("intro").hidden = true;
  part("studio").hidden = false;
  part("again").hidden = part("forget").hidden = false;
  shape = made;
  await viewer?.show(shape, facePath(photo.photo, number), head.images);
  viewer?.lookFrom(-head.facts.yaw_deg, head.facts.pitch_deg);
  part("photo-view").onclick = () => viewer?.lookFrom(-head.facts.yaw_deg, head.facts.pitch_deg);
  sliders.show(shape);
  scrubber.show(shape);
  part("morphs").hidden = shape.names.length === 0;
  showDetail(head.images.includes("normals"));
  part("albedo").disabled = !head.images.includes("albedo");
  showResult({ notes: part("notes"), facts: part("facts"), files: part("files") }, photo.photo, number, head);
  showStage(progress, "");
  part("status").textContent = "The head is ready.";
  const focused = document.activeElement;
  // The button that was pressed may just have gone.
  if (focused === document.body || focused.closest("[hidden]")) part("view").focus({ preventScroll: true });
  part("view").dataset.ready = `${photo.photo}/${number}`;
}

function showDetail(there) {
  part("detail").disabled = !there;
  part("detail-label").title = there ? "" : "This face has no detail map; see the notes.";
}

/** Leaving the page is enough; the server keeps nothing that no page shows. */
function forget() {
  if (photo) forgetPhoto(photo.photo).catch(() => {});
  photo = undefined;
}

function connect() {
  const camera = {
    open: part("camera"), dialog: part("camera-dialog"), video: part("video"),
    shoot: part("shoot"), cancel: part("cancel"),
  };
  uploads({ zone: document.body, input: part("file"), choose: part("choose"), camera, again: part("again") }, send, fail);
  window.addEventListener("pagehide", forget);
  window.addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
  part("forget").addEventListener("click", () => location.reload());
  part("dismiss").addEventListener("click", clearError);
  for (const mode of MODES) {
    part(mode).addEventListener("change", () => viewer?.setLook({ mode }));
  }
  for (const name of ["wireframe", "detail"]) {
    part(name).addEventListener("change", ({ target }) => viewer?.setLook({ [name]: target.checked }));
  }
  part("front").addEventListener("click", () => viewer?.lookFrom(0, 0));
  part("profile").addEventListener("click", () => viewer?.lookFrom(90, 0));
  lightPad(part("light"), (x, y) => viewer?.setLight(x, y));
}

async function introduce() {
  const { version, model_server: server, limits } = await about();
  largest = limits.mib;
  part("version").textContent = version;
  part("minutes").textContent = limits.minutes;
  part("limits").textContent = `up to ${limits.mib} MiB and ${limits.megapixels} megapixels`;
  if (server) part("privacy").textContent = `The part of the photo around each face goes to the model server ${server}. Nothing is stored.`;
}

connect();
introduce().catch((error) => fail(error.message));
