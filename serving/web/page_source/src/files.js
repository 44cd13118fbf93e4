// The files of a head, to keep: fetched by the page, so that a failure is said in words.
import { content, facePath } from "./api.js";
import { say } from "./progress.js";

const forms = ({ images, facts }) => [
  ["glb", "glb", ["glTF: texture", ...glbParts(images, facts)].join(", ")],
  ["obj", "zip", "with material and texture, zipped"],
  ["ply", "ply", "with vertex colours"],
  ["json", "json", "coefficients, pose, landmarks, flags"],
  ["png", "png", "overview of photo and head"],
];

function glbParts(images, { targets }) {
  return [images.includes("normals") && "detail", targets > 0 && `${targets} ARKit morph targets`].filter(Boolean);
}

/** Lists the files of a head of a photo, as the server answered it; calls fail(message) when one does not come. */
export function showFiles(list, photo, face, head, { status, fail }) {
  list.replaceChildren(...forms(head).map(([form, ending, what]) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    const small = document.createElement("small");
    link.href = `${facePath(photo.photo, face)}/files/${form}`;
    link.download = `${photo.name}_${face}.${ending}`;
    link.textContent = `.${form}`;
    small.textContent = what;
    link.append(small);
    link.addEventListener("click", (event) => {
      event.preventDefault();
      fetchFile(link, status).catch((error) => fail(error.message));
    });
    item.append(link);
    return item;
  }));
}

async function fetchFile(link, status) {
  if (link.ariaBusy === "true") return;
  link.ariaBusy = "true";
  say(status, `Preparing ${link.download} …`);
  try {
    save(await content(link.href), link.download);
  } finally {
    link.ariaBusy = "false";
    say(status, "");
  }
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The browser has begun to read it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
