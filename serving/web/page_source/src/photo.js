// The photo with a button on each face.
import { previewPath } from "./api.js";

const FEW = 8; // More marks than this are drawn thinly: they would cover the photo.

/** Shows a photo; calls chosen(number) when a face is clicked. */
export function showPhoto({ image, boxes, hint }, { photo, width, height, faces }, chosen) {
  image.src = previewPath(photo);
  image.width = width;
  image.height = height;
  const percent = (value, whole) => `${(100 * value) / whole}%`;
  const buttons = faces.map(({ box: [left, top, right, bottom] }, number) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-label", `Face ${number + 1} of ${faces.length}`);
    Object.assign(button.style, {
      left: percent(left, width),
      top: percent(top, height),
      width: percent(right - left, width),
      height: percent(bottom - top, height),
    });
    button.addEventListener("click", () => chosen(number));
    return button;
  });
  boxes.replaceChildren(...buttons);
  boxes.classList.toggle("many", faces.length > FEW);
  hint.hidden = faces.length < 2;
  hint.textContent = `${faces.length} faces: click the one to show.`;
}

/** Marks the button of a face as pressed; of none if there is no number. */
export function markFace(boxes, number) {
  [...boxes.children].forEach((button, k) => button.setAttribute("aria-pressed", k === number));
}
