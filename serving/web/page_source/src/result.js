// What is said about a head.

export function showResult({ notes, facts }, head) {
  notes.replaceChildren(...(head.words.length ? head.words : ["Nothing to worry about was found."]).map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  notes.classList.toggle("good", head.words.length === 0);
  facts.replaceChildren(...lines(head.facts));
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
