// Puts the page together.
import { about, ApiError, facePath, forgetPhoto, headArrays, makeHead, openPhoto, use } from "./api.js";
import { showFiles } from "./files.js";
import { lightPad } from "./light.js";
import { loadMaps, MODES, releaseMaps } from "./materials.js";
import { markFace, showPhoto } from "./photo.js";
import { privacyWords } from "./privacy.js";
import { say, showStage } from "./progress.js";
import { showResult } from "./result.js";
import { Scrubber } from "./scrubber.js";
import { HeadShape } from "./shape.js";
import { Sliders } from "./sliders.js";
import { uploads } from "./upload.js";
import { Viewer } from "./viewer.js";

/** Times that a photo is asked for within the minutes after which it would be forgotten. */
const USES = 4;

const part = (id) => document.getElementById(id);
const progress = { box: part("progress"), list: part("stages"), status: part("status") };
/** The photo whose head is on the screen, and the number of that face. */
let shown;
/** Ids of the photos that the server has of this page. */
const kept = new Set();
/** Counts what was begun last; whatever began before it shows nothing any more. */
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

/** Has work(stopped) make and show a head; only the one that began last shows or says anything. */
async function take(work) {
  const mine = ++turn;
  const stopped = () => mine !== turn;
  clearError();
  try {
    await work(stopped);
  } catch (error) {
    if (!stopped()) fail(error.message);
  }
  if (!stopped()) markFace(part("boxes"), shown?.number);
}

/** The photo takes the place of the one before when its first head is there. */
function send(file, name) {
  return take(async (stopped) => {
    if (file.size > largest * 2 ** 20) throw new ApiError(`${name} is larger than ${largest} MiB.`);
    showStage(progress, "finding faces");
    const photo = await openPhoto(file, name);
    kept.add(photo.photo);
    try {
      if (!stopped()) await make(photo, 0, stopped);
    } finally {
      if (shown?.photo !== photo) forget(photo);
    }
  });
}

function choose(number) {
  markFace(part("boxes"), number);
  return take((stopped) => make(shown.photo, number, stopped));
}

/** Everything is loaded before anything on the screen changes. */
async function make(photo, number, stopped) {
  const head = await makeHead(photo.photo, number, (stage) => showStage(progress, stage), stopped);
  if (stopped()) return;
  const path = facePath(photo.photo, number);
  const [arrays, maps] = await Promise.all([headArrays(path), viewer ? loadMaps(path, head.images) : {}]);
  if (stopped()) releaseMaps(maps);
  else show(photo, number, head, new HeadShape(arrays), maps);
}

function show(photo, number, head, shape, maps) {
  part("intro").hidden = true;
  part("studio").hidden = false;
  part("again").hidden = part("forget").hidden = false;
  if (shown?.photo !== photo) {
    if (shown) forget(shown.photo);
    showPhoto({ image: part("photo"), boxes: part("boxes"), hint: part("faces-hint") }, photo, choose);
  }
  shown = { photo, number };
  viewer?.show(shape, maps);
  viewer?.lookFrom(-head.facts.yaw_deg, head.facts.pitch_deg);
  part("photo-view").onclick = () => viewer?.lookFrom(-head.facts.yaw_deg, head.facts.pitch_deg);
  sliders.show(shape);
  scrubber.show(shape);
  part("morphs").hidden = shape.names.length === 0;
  showDetail(head.images.includes("normals"));
  part("albedo").disabled = !head.images.includes("albedo");
  showResult({ notes: part("notes"), facts: part("facts") }, head);
  showFiles(part("files"), photo, number, head, { status: part("status"), fail });
  showStage(progress, "");
  say(part("status"), "The head is ready.");
  const focused = document.activeElement;
  // The button that was pressed may just have gone.
  if (focused === document.body || focused.closest("[hidden]")) part("view").focus({ preventScroll: true });
  part("view").dataset.ready = `${photo.photo}/${number}`;
}

function showDetail(there) {
  part("detail").disabled = !there;
  part("detail").checked = there && (viewer?.wantsDetail ?? true);
  part("detail-label").title = there ? "" : "This face has no detail map; see the notes.";
}

function forget({ photo }) {
  kept.delete(photo);
  forgetPhoto(photo).catch(() => {});
}

/** Leaving the page is enough; the server keeps nothing that no page shows. */
function forgetAll() {
  for (const photo of kept) forgetPhoto(photo).catch(() => {});
  kept.clear();
}

/** While the page is open, its photo is in use. */
function keepAlive(minutes) {
  const touch = () => shown && use(shown.photo.photo, shown.number).catch(() => {});
  setInterval(touch, (minutes / USES) * 60_000);
}

function connect() {
  const camera = {
    open: part("camera"), dialog: part("camera-dialog"), video: part("video"),
    shoot: part("shoot"), cancel: part("cancel"),
  };
  uploads({ zone: document.body, input: part("file"), choose: part("choose"), camera, again: part("again") }, send, fail);
  window.addEventListener("pagehide", forgetAll);
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
  const facts = await about();
  const { version, limits } = facts;
  largest = limits.mib;
  part("version").textContent = version;
  part("limits").textContent = `up to ${limits.mib} MiB and ${limits.megapixels} megapixels`;
  part("privacy").textContent = privacyWords(facts, window.location);
  keepAlive(limits.minutes);
}

connect();
introduce().catch((error) => fail(error.message));
