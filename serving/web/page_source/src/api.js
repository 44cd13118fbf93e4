// Requests to the page's own server; nothing else is ever asked.

const POLL_MS = 150;

/** An answer that says what is wrong, in words. */
export class ApiError extends Error {}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new ApiError("The server does not answer. Is facerelief web still running?");
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  throw new ApiError(answer.error ?? `The server answered with ${response.status}.`);
}

export async function about() {
  return (await ask("api/about")).json();
}

/** Sends an image file -> {photo, width, height, faces}. */
export async function openPhoto(file, name) {
  const query = new URLSearchParams({ name });
  const response = await ask(`api/photos?${query}`, { method: "POST", body: file });
  return response.json();
}

export async function forgetPhoto(photo) {
  await ask(`api/photos/${photo}`, { method: "DELETE", keepalive: true });
}

export const previewPath = (photo) => `api/photos/${photo}/preview.jpg`;
export const facePath = (photo, face) => `api/photos/${photo}/faces/${face}`;

/** Has a head made; calls report(stage) until it is there -> what is known of it. */
export async function makeHead(photo, face, report, stopped) {
  const path = facePath(photo, face);
  let progress = await (await ask(path, { method: "POST" })).json();
  while (!progress.done && !progress.error && !stopped()) {
    report(progress.stage);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    progress = await (await ask(path)).json();
  }
  if (progress.error) throw new ApiError(progress.error);
  return progress;
}

/** The arrays of a head -> {facts, arrays: {name: {data, shape}}}. */
export async function headArrays(photo, face) {
  const response = await ask(`${facePath(photo, face)}/head.bin`);
  return unpack(await response.arrayBuffer());
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
