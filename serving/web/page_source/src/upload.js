// Ways for a photo to come in: dropped, pasted, chosen, or taken by the camera.

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
    const file = [...event.clipboardData.files].find(({ type }) => type.startsWith("image/"));
    if (file) take(file);
  });

  camera.open.addEventListener("click", () => startCamera(camera, send, fail));
}

async function startCamera({ dialog, video, shoot, cancel }, send, fail) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: 1920, height: 1080 } });
  } catch (error) {
    return fail(cameraWords(error));
  }
  video.srcObject = stream;
  await video.play();
  dialog.showModal();
  shoot.focus();
  const close = () => dialog.close();
  shoot.onclick = async () => {
    const shot = await frame(video);
    dialog.close();
    send(shot, "camera.jpg");
  };
  cancel.onclick = close;
  dialog.onclose = () => {
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
  };
}

function frame(video) {
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
