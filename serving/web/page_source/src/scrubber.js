// The loop's iterations: from the average face over the start to the result.

const TWEEN_MS = 450;
const PAUSE_MS = 350;
const still = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

export class Scrubber {
  constructor({ range, ticks, note, play, box }, changed) {
    Object.assign(this, { _range: range, _ticks: ticks, _note: note, _play: play, _box: box });
    this._changed = changed;
    this._run = 0;
    range.addEventListener("input", () => this._go(Number(range.value)));
    play.addEventListener("click", () => this._playAll());
  }

  show(shape) {
    this._run++;
    this._shape = shape;
    this._box.hidden = shape.stations < 2;
    this._range.max = shape.stations - 1;
    this._range.value = shape.stations - 1;
    this._ticks.replaceChildren(...shape.labels.map((label) => {
      const tick = document.createElement("span");
      tick.textContent = label;
      return tick;
    }));
    this._describe(shape.stations - 1);
  }

  async _playAll() {
    const run = ++this._run;
    this._range.value = 0;
    await this._tween(0, run);
    if (run !== this._run) return;
    for (let station = 1; station < this._shape.stations; station++) {
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      if (run !== this._run) return;
      this._range.value = station;
      await this._tween(station, run);
    }
  }

  _go(station) {
    return this._tween(station, ++this._run);
  }

  /** Moves there, smoothly unless the user wants no motion. */
  async _tween(station, run) {
    this._describe(station);
    const from = this._shape.station;
    const began = performance.now();
    for (let share = still() ? 1 : 0; run === this._run; ) {
      const eased = share * share * (3 - 2 * share);
      this._shape.station = share >= 1 ? station : from + eased * (station - from);
      this._changed();
      if (share >= 1) return;
      await new Promise(requestAnimationFrame);
      share = Math.min(1, (performance.now() - began) / TWEEN_MS);
    }
  }

  _describe(station) {
    const text = describe(this._shape, station);
    this._range.style.setProperty("--to", `${(100 * station) / (this._shape.stations - 1 || 1)}%`);
    this._note.textContent = text;
    this._range.setAttribute("aria-valuetext", `${this._shape.labels[station]}: ${text}`);
    [...this._ticks.children].forEach((tick, k) => tick.classList.toggle("current", k === station));
  }
}

function describe(shape, station) {
  if (shape.stations < 2) return "";
  if (station === 0) return "The average face, before anything is known.";
  const moved = `${shape.distance(station - 1, station).toFixed(1)} mm from the one before`;
  if (station === 1) return `Start: fitted to the landmarks, ${moved}.`;
  const last = station === shape.stations - 1 ? ", the result" : "";
  return `Iteration ${station - 1}${last}: ${moved}.`;
}
