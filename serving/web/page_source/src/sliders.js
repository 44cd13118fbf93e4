// Sliders for identity vectors and expressions; they move the mesh in the browser.

const IDENTITY_RANGE = [-3, 3];
const WEIGHT_RANGE = [0, 1];
/** Keys that bring a slider back. */
const RESTORING = ["Delete", "Backspace"];
/** Names that end in a side and have no twin there: the jaw and the mouth as a whole. */
const WHOLE = ["jaw", "mouth"];
const ACROSS = { eyeLookIn: "eyeLookOut", eyeLookOut: "eyeLookIn" };

/** Fills the panel for a shape; calls changed() after each move. */
export class Sliders {
  constructor({ identity, expression, search, none, reset, together }, changed) {
    this._lists = { identity, expression };
    this._search = search;
    this._none = none;
    this._changed = changed;
    search.addEventListener("input", () => this._filter());
    reset.addEventListener("click", () => this.reset());
    this._reset = reset;
    this._together = together;
  }

  show(shape) {
    this._shape = shape;
    this._rows = shape.names.map((name, slider) => this._row(name, slider));
    for (const [kind, list] of Object.entries(this._lists)) {
      list.replaceChildren(...this._rows.filter((row) => row.kind === kind).map((row) => row.item));
      list.closest("details").hidden = !shape.kinds.includes(kind);
    }
    this._search.value = "";
    this._filter();
    this.follow();
  }

  /** Takes the values over that the reconstruction has at the shape's place. */
  follow() {
    this._rows.forEach((row, slider) => {
      const edit = this._shape.edits.get(slider);
      row.show(edit ?? this._shape.value(slider), edit !== undefined);
    });
    this._reset.disabled = this._shape.edits.size === 0;
  }

  reset() {
    this._shape.edits.clear();
    this.follow();
    this._changed();
  }

  _row(name, slider) {
    const kind = this._shape.kinds[slider];
    const item = document.createElement("li");
    const label = document.createElement("label");
    const input = document.createElement("input");
    const value = document.createElement("output");
    const text = title(name, kind);
    label.textContent = text;
    label.htmlFor = input.id = `slider-${slider}`;
    value.htmlFor = input.id;
    const [low, high] = limits(kind, this._shape.range(slider));
    Object.assign(input, { type: "range", min: low, max: high, step: 0.01 });
    input.addEventListener("input", () => this._move(slider, Number(input.value)));
    input.addEventListener("dblclick", () => this._restore(slider));
    input.addEventListener("keydown", (event) => {
      if (!RESTORING.includes(event.key)) return;
      event.preventDefault();
      this._restore(slider);
    });
    input.setAttribute("aria-keyshortcuts", RESTORING.join(" "));
    value.setAttribute("aria-live", "off"); // 61 of them change at once
    item.append(label, value, input);
    const show = (number, edited) => {
      input.value = number;
      value.textContent = number.toFixed(2).replace("-0.00", "0.00").replace("-", "−");
      const share = (part) => `${(100 * (part - low)) / (high - low)}%`;
      input.style.setProperty("--from", share(Math.min(0, number)));
      input.style.setProperty("--to", share(Math.max(0, number)));
      item.classList.toggle("edited", edited);
    };
    return { item, kind, show, words: `${text} ${name}`.toLowerCase() };
  }

  /** The slider, and its twin on the other side if both are to move together. */
  _moved(slider) {
    const twin = this._together.checked ? this._shape.names.indexOf(twinOf(this._shape.names[slider])) : -1;
    return twin < 0 ? [slider] : [slider, twin];
  }

  _move(slider, value) {
    for (const moved of this._moved(slider)) {
      this._shape.edits.set(moved, value);
      this._rows[moved].show(value, true);
    }
    this._reset.disabled = false;
    this._changed();
  }

  _restore(slider) {
    for (const moved of this._moved(slider)) this._shape.edits.delete(moved);
    this.follow();
    this._changed();
  }

  _filter() {
    const wanted = this._search.value.trim().toLowerCase();
    let shown = 0;
    for (const { item, kind, words } of this._rows) {
      if (kind !== "expression") continue;
      item.hidden = !words.includes(wanted);
      shown += !item.hidden;
    }
    this._none.hidden = shown > 0;
  }
}

/** The name of the same movement on the other side of the face; undefined if there is none. */
function twinOf(name) {
  const [, part, side] = name.match(/^(\w+)(Left|Right)$/) ?? [];
  if (!part || WHOLE.includes(part)) return undefined;
  return (ACROSS[part] ?? part) + (side === "Left" ? "Right" : "Left");
}

/** "mouthSmileLeft" -> "Mouth smile left", "identity/3" -> "Identity 3". */
function title(name, kind) {
  if (kind === "identity") return name.replace("identity/", "Identity ");
  const words = name.replace(/([A-Z])/g, " $1").toLowerCase();
  return words[0].toUpperCase() + words.slice(1);
}

/** The usual range, wider where the reconstruction itself is outside it. */
function limits(kind, [smallest, largest]) {
  const [low, high] = kind === "identity" ? IDENTITY_RANGE : WEIGHT_RANGE;
  const outward = (value) => Math.sign(value) * Math.ceil(10 * Math.abs(value)) / 10;
  return [Math.min(low, outward(smallest)), Math.max(high, outward(largest))];
}
