// Which stage the work is at.

const STAGES = [
  ["finding faces", "Finding faces"],
  ["reconstructing", "Reconstructing"],
  ["texture and detail", "Texture and detail"],
  ["packing", "Packing"],
];

export function showStage({ box, list, status }, stage) {
  const current = STAGES.findIndex(([name]) => name === (stage === "waiting" ? STAGES[1][0] : stage));
  box.hidden = current < 0;
  if (!list.children.length) list.append(...STAGES.map(([, title]) => itemOf(title)));
  [...list.children].forEach((item, k) => {
    item.className = k < current ? "done" : k === current ? "now" : "";
  });
  say(status, current < 0 ? "" : `${STAGES[current][1]} …`);
}

/** Changes what is read aloud; the same text again would be read again. */
export function say(status, text) {
  if (status.textContent !== text) status.textContent = text;
}

function itemOf(title) {
  const item = document.createElement("li");
  item.textContent = title;
  return item;
}
