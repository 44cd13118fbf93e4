// Requests to the page's own server; nothing else is ever asked.

const POLL_MS = 150;

/** An answer that says what is wrong, in words. */
export class ApiError extends Error {}

const SILENT = "The server does not answer. Is facerelief web still running?";

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new ApiError(SILENT);
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  throw new ApiError(answer.error ?? `The server answered with ${response.status}.`);
}

/** The whole content of an answer as "json", "blob" or "arrayBuffer". */
async function read(response, form) {
  try {
    return await response[form]();
  } catch {
    throw new ApiError(SILENT);
  }
}

export async function about() {
  return read(await ask("api/about"), "json");
}

/** Sends an image file -> {photo, width, height, faces}. */
export async function openPhoto(file, name) {
  const query = new URLSearchParams({ name });
  return read(await ask(`api/photos?${query}`, { method: "POST", body: file }), "json");
}

export async function forgetPhoto(photo) {
  await ask(`api/photos/${photo}`, { method: "DELETE", keepalive: true });
}

export const previewPath = (photo) => `api/photos/${photo}/preview.jpg`;
export const facePath = (photo, face) => `api/photos/${photo}/faces/${face}`;

/** Has a head made; calls report(stage) until it is there -> what is known of it. */
export async function makeHead(photo, face, report, stopped) {
  const path = facePath(photo, face);
  let progress = await read(await ask(path, { method: "POST" }), "json");
  while (!progress.done && !progress.error && !stopped()) {
    report(progress.stage);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    progress = await read(await ask(path), "json");
  }
  if (progress.error) throw new ApiError(progress.error);
  return progress;
}

/** The arrays of a head -> {facts, arrays: {name: {data, shape}}}. */
export async function headArrays(path) {
  return unpack(await read(await ask(`${path}/head.bin`), "arrayBuffer"));
}

/** A map of a head, or a file of it -> Blob. */
export async function content(path) {
  return read(await ask(path), "blob");
}

/** Asks for a head, so that the server keeps it and its photo. */
export async function use(photo, face) {
  await ask(facePath(photo, face));
}

const TYPES = {
  float32: Float32Array,
  int32: Int32Array,
  int16: Int16Array,
  uint8: Uint8Array,
};

/** Reads what serving/web/arrays.py packed. */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays = {};
  for (const [name, { type, shape, offset }] of Object.entries(header.arrays)) {
    const count = shape.reduce((product, size) => product * size, 1);
    arrays[name] = { data: new TYPES[type](buffer, 4 + length + offset, count), shape };
  }
  return { facts: header.facts, arrays };
}
