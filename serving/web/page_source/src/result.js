// What is said about a head, and its files.
import { facePath } from "./api.js";

const FILES = [
  ["glb", ".glb", "glTF: texture, detail, 52 ARKit morph targets"],
  ["obj", ".obj", "with material and texture, zipped"],
  ["ply", ".ply", "with vertex colours"],
  ["json", ".json", "coefficients, pose, landmarks, flags"],
];

export function showResult({ notes, facts, files }, photo, face, head) {
  notes.replaceChildren(...(head.words.length ? head.words : ["Nothing to worry about was found."]).map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  notes.classList.toggle("good", head.words.length === 0);
  facts.replaceChildren(...lines(head.facts));
  files.replaceChildren(...FILES.map(([form, name, what]) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    const small = document.createElement("small");
    link.href = `${facePath(photo, face)}/files/${form}`;
    link.download = "";
    link.textContent = name;
    small.textContent = what;
    link.append(small);
    item.append(link);
    return item;
  }));
}

function lines(facts) {
  const degrees = (value) => `${value.toFixed(0).replace("-0", "0").replace("-", "−")}°`;
  const number = (value) => value.toLocaleString("en");
  return Object.entries({
    "Turned (yaw, pitch, roll)": [facts.yaw_deg, facts.pitch_deg, facts.roll_deg].map(degrees).join(", "),
    "Face in the photo": `${number(facts.face_px)} px`,
    Mesh: `${number(facts.vertices)} vertices, ${number(facts.triangles)} triangles`,
    "Time of the network": `${number(facts.milliseconds)} ms`,
  }).flatMap(([name, value]) => {
    const term = document.createElement("dt");
    const definition = document.createElement("dd");
    term.textContent = name;
    definition.textContent = value;
    return [term, definition];
  });
}
