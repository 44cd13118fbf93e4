// Ways for a photo to come in: dropped, pasted, chosen, or taken by the camera.

const NO_IMAGE = "What was pasted is no image: copy an image or an image file, then paste it.";

/** Calls send(file, name) with each photo. */
export function uploads({ zone, input, choose, camera, again }, send, fail) {
  const take = (file) => file && send(file, file.name || "photo");
  for (const button of [choose, again]) button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    take(input.files[0]);
    input.value = "";
  });

  let inside = 0;
  const mark = () => zone.classList.toggle("over", inside > 0);
  const withFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => {
    if (withFiles(event)) inside++;
    mark();
  });
  document.addEventListener("dragleave", (event) => {
    if (withFiles(event)) inside = Math.max(0, inside - 1);
    mark();
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    inside = 0;
    mark();
    const file = event.dataTransfer.files[0];
    if (file) take(file);
    else fail("That is no file: drop an image file, or paste the image itself.");
  });
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    const file = files.find(({ type }) => type.startsWith("image/")) ?? files[0];
    if (file) take(file);
    else if (!event.target.closest?.("input, textarea")) fail(NO_IMAGE);
  });

  camera.open.addEventListener("click", () => startCamera(camera, send, fail));
}

/** One at a time: asking for permission may take long, and the button waits. */
async function startCamera(camera, send, fail) {
  camera.open.disabled = true;
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: 1920, height: 1080 } });
    camera.video.srcObject = stream;
    await camera.video.play();
    showCamera(camera, stream, send, fail);
  } catch (error) {
    stop(stream, camera.video);
    fail(cameraWords(error));
  } finally {
    camera.open.disabled = false;
  }
}

function showCamera({ dialog, video, shoot, cancel }, stream, send, fail) {
  dialog.showModal();
  shoot.focus();
  shoot.onclick = async () => {
    shoot.onclick = null;
    const shot = await frame(video).catch(() => null);
    dialog.close();
    if (shot) send(shot, "camera.jpg");
    else fail("The camera gave no image.");
  };
  cancel.onclick = () => dialog.close();
  dialog.onclose = () => stop(stream, video);
}

function stop(stream, video) {
  for (const track of stream?.getTracks() ?? []) track.stop();
  video.srcObject = null;
}

async function frame(video) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
}

function cameraWords(error) {
  if (error?.name === "NotAllowedError") return "The browser may not use the camera: allow it for this page.";
  if (error?.name === "NotFoundError") return "No camera was found.";
  return "The camera cannot be used here.";
}
