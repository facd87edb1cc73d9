// Sends images to /predict and /explain, and shows what comes back.

const MOST_IMAGES = 100; // on the page at once
const RETRIES = 4; // where the service is busy

const find = (selector, within = document) => within.querySelector(selector);
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const percent = (probability) => `${Math.round(100 * probability)}%`;

const results = find("#results");
const model = find("#model");
const threshold = find("#threshold");
const cards = new Map(); // from an element to what it shows
const explaining = new Map(); // from a model's name to whether it has class activation maps
let turn = Promise.resolve(); // one image after another

// What the service says

function sentence(detail, name) {
  const place = [`image 1 (${name}): `, `image (${name}): `].find((each) => detail.startsWith(each));
  const text = place ? `This image ${detail.slice(place.length)}` : detail;
  return text.charAt(0).toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");
}

async function ask(path, field, card, query) {
  const form = new FormData();
  form.append(field, card.data, card.name);
  for (let attempt = 0; ; attempt += 1) {
    let answer;
    try {
      answer = await fetch(`${path}?${new URLSearchParams(query)}`, { method: "POST", body: form });
    } catch {
      throw new Error("The service cannot be reached. Check that it still runs, and try again.");
    }
    if (answer.ok) return answer;
    const said = await answer.json().catch(() => ({}));
    const detail = said.detail ?? `the service answered with status ${answer.status}`;
    if (answer.status !== 503 || attempt === RETRIES) throw new Error(sentence(detail, card.name));
    await pause(1000 * 2 ** attempt);
  }
}

// Cards: one for each image

function label(card) {
  const [best] = card.top;
  return best.probability < Number(threshold.value) ? "unsure" : best.class;
}

function addCard(name) {
  const element = find("#card").content.firstElementChild.cloneNode(true);
  const card = { name, element, data: null, top: null, round: 0 };
  cards.set(element, card);
  find(".name", element).textContent = name;
  const remove = find(".remove", element);
  remove.setAttribute("aria-label", `Remove ${name}`);
  remove.addEventListener("click", () => {
    const next = element.nextElementSibling ?? element.previousElementSibling;
    removeCard(card);
    (next ? find(".remove", next) : find("#files")).focus();
  });
  results.prepend(element);
  showWhatThereIs();
  return card;
}

function removeCard(card) {
  card.round = -1;
  cards.delete(card.element);
  for (const image of card.element.querySelectorAll("img")) URL.revokeObjectURL(image.src);
  card.element.remove();
  showWhatThereIs();
}

function showWhatThereIs() {
  find("#empty").hidden = cards.size > 0;
  find("#clear").hidden = cards.size < 2;
}

function show(figure, blob, text) {
  const image = find("img", figure);
  URL.revokeObjectURL(image.src);
  image.onerror = () => { figure.hidden = true; }; // a format that this browser does not know
  image.alt = text;
  image.src = URL.createObjectURL(blob);
  figure.hidden = false;
}

function showFault(card, text) {
  card.top = null;
  find(".classes", card.element).replaceChildren();
  find(".map", card.element).hidden = true;
  find(".answer", card.element).hidden = true;
  const fault = find(".fault", card.element);
  fault.textContent = text;
  fault.hidden = false;
  announce(`${card.name}: ${text}`);
}

function showAnswer(card) {
  const answer = find(".answer", card.element);
  answer.hidden = false;
  answer.textContent = label(card);
  find(".fault", card.element).hidden = true;
  find(".classes", card.element).replaceChildren(...card.top.map((each) => classRow(card, each)));
  announce(`${card.name}: ${label(card)}, ${percent(card.top[0].probability)}`);
}

function classRow(card, { class: name, probability }) {
  const explains = explaining.get(card.model);
  const row = document.createElement(explains ? "button" : "div");
  row.className = "class";
  for (const [kind, text] of [["label", name], ["percent", percent(probability)], ["track", ""]]) {
    const part = document.createElement("span");
    part.className = kind;
    part.textContent = text;
    row.append(part);
  }
  const bar = document.createElement("span");
  bar.className = "bar";
  bar.style.width = `${100 * probability}%`;
  find(".track", row).append(bar);
  if (explains) {
    row.type = "button";
    row.title = `Show the class activation map of ${name}`;
    row.dataset.name = name;
    row.setAttribute("aria-pressed", "false");
    row.addEventListener("click", () => explain(card, name));
  }
  const item = document.createElement("li");
  item.append(row);
  return item;
}

function announce(text) {
  find("#status").textContent = text;
}

function showMessage(text) {
  find("#message").textContent = text;
  find("#message").hidden = !text;
}

// Questions

async function classify(card) {
  card.round += 1;
  const { round } = card;
  card.element.setAttribute("aria-busy", "true");
  try {
    const answer = await ask("predict", "images", card, { model: model.value });
    const { predictions: [{ top }], model: name } = await answer.json();
    if (card.round !== round) return;
    Object.assign(card, { top, model: name });
    showAnswer(card);
    if (explaining.get(name)) await explain(card, top[0].class);
    else find(".map", card.element).hidden = true;
  } catch (error) {
    if (card.round === round) showFault(card, error.message);
  } finally {
    if (card.round === round) card.element.removeAttribute("aria-busy");
  }
}

async function explain(card, name) {
  card.shown = name;
  const { round } = card;
  for (const row of card.element.querySelectorAll("button.class")) {
    row.setAttribute("aria-pressed", String(row.dataset.name === name));
  }
  const map = find(".map", card.element);
  try {
    const answer = await ask("explain", "image", card, { model: card.model, class: name });
    const image = await answer.blob();
    if (card.round !== round || card.shown !== name) return;
    const text = `Class activation map of ${name}`;
    find("figcaption", map).textContent = text;
    show(map, image, text);
  } catch (error) {
    if (card.round !== round) return;
    map.hidden = true;
    showMessage(error.message);
  }
}

function take(files) {
  showMessage("");
  const images = [...files].slice(0, MOST_IMAGES - cards.size);
  if (images.length < files.length) {
    showMessage(`The page shows ${MOST_IMAGES} images at once; remove some before you add more.`);
  }
  const title = find("#answers-title");
  if (images.length && title.getBoundingClientRect().top > innerHeight / 2) title.scrollIntoView();
  for (const file of images) {
    const card = addCard(file.name || "image");
    turn = turn.then(async () => {
      if (!cards.has(card.element)) return;
      try {
        card.data = new Blob([await file.arrayBuffer()]); // stays, whatever becomes of the file
      } catch {
        showFault(card, "This is no file that can be read; a folder cannot be dropped here.");
        return;
      }
      show(find(".photo", card.element), card.data, card.name);
      await classify(card);
    });
  }
}

function takeTransfer(transfer) {
  if (transfer?.files.length) take(transfer.files);
  else showMessage("What you dropped or pasted holds no image file. Save the image, then choose it.");
}

// Ways in

find("#files").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = ""; // so that the same file can be chosen again
});

const over = (event) => event.dataTransfer?.types.includes("Files");
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.toggle("over", over(event));
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  takeTransfer(event.dataTransfer);
});
document.addEventListener("paste", (event) => takeTransfer(event.clipboardData));

find("#paste").hidden = !navigator.clipboard?.read;
find("#paste").addEventListener("click", async () => {
  try {
    const files = [];
    for (const item of await navigator.clipboard.read()) {
      const type = item.types.find((each) => each.startsWith("image/"));
      if (type) files.push(new File([await item.getType(type)], "pasted image", { type }));
    }
    takeTransfer({ files });
  } catch {
    showMessage("The browser does not let this page read the clipboard. Allow it, or press Ctrl+V.");
  }
});

for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", async () => {
    const name = `${button.dataset.example}.jpg`;
    try {
      const answer = await fetch(`examples/${name}`);
      take([new File([await answer.blob()], name)]);
    } catch {
      showMessage("The service cannot be reached. Check that it still runs, and try again.");
    }
  });
}

const camera = find("#camera-dialog");
const video = find("video", camera);

find("#camera").hidden = !navigator.mediaDevices?.getUserMedia;
find("#camera").addEventListener("click", async () => {
  showMessage("");
  try {
    const wanted = { video: { facingMode: "environment" } };
    video.srcObject = await navigator.mediaDevices.getUserMedia(wanted);
    camera.showModal();
  } catch (error) {
    showMessage(error.name === "NotAllowedError"
      ? "The browser does not let this page use the camera. Allow it beside the address, and try again."
      : "No camera can be used. Connect one, or choose an image file.");
  }
});
find("#shoot").addEventListener("click", () => {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  if (!canvas.width) return; // the camera has not begun
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => take([new File([blob], "camera.jpg")]), "image/jpeg", 0.95);
  camera.close();
});
find("#close-camera").addEventListener("click", () => camera.close());
camera.addEventListener("close", () => {
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
});

// Settings

threshold.addEventListener("input", () => {
  find("#threshold-value").textContent = percent(threshold.value);
  for (const card of cards.values()) {
    if (card.top) find(".answer", card.element).textContent = label(card);
  }
});
threshold.addEventListener("change", () => {
  const answered = [...cards.values()].filter((card) => card.top);
  announce(answered.map((card) => `${card.name}: ${label(card)}`).join(", "));
});

model.addEventListener("change", () => {
  for (const card of [...cards.values()].filter((each) => each.data)) {
    turn = turn.then(() => cards.has(card.element) && classify(card));
  }
});

find("#clear").addEventListener("click", () => {
  for (const card of [...cards.values()]) removeCard(card);
  find("#files").focus();
});

async function listModels() {
  try {
    const models = await (await fetch("models")).json();
    for (const { name, explains } of models) {
      explaining.set(name, explains);
      model.add(new Option(name));
    }
    find("#model-setting").hidden = models.length < 2;
  } catch {
    showMessage("The service cannot be reached. Check that it still runs, and load this page again.");
  }
}

turn = listModels();
