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
  list.replaceChildren(...STAGES.map(([, title], k) => {
    const item = document.createElement("li");
    item.textContent = title;
    item.className = k < current ? "done" : k === current ? "now" : "";
    return item;
  }));
  status.textContent = current < 0 ? "" : `${STAGES[current][1]} …`;
}
