// A ball to drag the light on, by pointer or arrow keys.

const STEP = 0.1;
const START = [-0.35, 0.45];

/** Calls moved(x, y) with the light's place on the unit disc, x right and y up. */
export function lightPad(pad, moved) {
  let place = START;

  const set = (x, y) => {
    const length = Math.max(1, Math.hypot(x, y) / 0.98);
    place = [x / length, y / length];
    pad.style.setProperty("--x", `${50 + 50 * place[0]}%`);
    pad.style.setProperty("--y", `${50 - 50 * place[1]}%`);
    pad.setAttribute("aria-valuenow", Math.round(100 * place[0]));
    pad.setAttribute("aria-valuetext", words(...place));
    moved(...place);
  };

  const follow = (event) => {
    const box = pad.getBoundingClientRect();
    set((2 * (event.clientX - box.left)) / box.width - 1, 1 - (2 * (event.clientY - box.top)) / box.height);
  };
  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    follow(event);
  });
  pad.addEventListener("pointermove", (event) => {
    if (pad.hasPointerCapture(event.pointerId)) follow(event);
  });
  pad.addEventListener("dblclick", () => set(...START));
  pad.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const step = steps[event.key];
    if (step) set(place[0] + STEP * step[0], place[1] + STEP * step[1]);
    else if (event.key === "Home") set(...START);
    else return;
    event.preventDefault();
  });
  set(...place);
}

function words(x, y) {
  const angle = (part) => Math.round((Math.asin(part) * 180) / Math.PI);
  const side = x < 0 ? "left" : "right";
  const height = y < 0 ? "below" : "above";
  return `${Math.abs(angle(x))}° from the ${side}, ${Math.abs(angle(y))}° from ${height}`;
}
