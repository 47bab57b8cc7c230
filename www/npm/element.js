// <clip-classifier labels="cat, dog">: drop or choose an image, and see which label fits.

import { Clip } from "./clip.js";

const TEXTS = {
  en: {
    choose: "Choose an image",
    drop: "or drop or paste one here",
    loading: "Loading the model",
    thinking: "Looking",
    failed: "That did not work:",
    noLabels: "There is nothing to choose from: this element's attribute `labels` is empty.",
    notImage: "There is no image in what you dropped.",
  },
  zh: {
    choose: "选择图片",
    drop: "或拖放、粘贴到这里",
    loading: "正在加载模型",
    thinking: "正在识别",
    failed: "出错了：",
    noLabels: "没有可选的标签：该元素的 `labels` 属性为空。",
    notImage: "拖放的内容里没有图片。",
  },
};

const STYLE = `
  :host { display: block; max-width: 30rem; font: inherit; color: CanvasText; --accent: var(--clip-accent, #0f766e); }
  @supports (color: light-dark(red, red)) { :host { --accent: var(--clip-accent, light-dark(#0f766e, #55d3c2)); } }
  :host([hidden]) { display: none; }
  * { box-sizing: border-box; margin: 0; }
  .frame { border: 2px dashed color-mix(in srgb, CanvasText 35%, Canvas); border-radius: 12px; padding: 1rem; background: Canvas; }
  .frame.over { border-color: var(--accent); background: color-mix(in srgb, var(--accent) 12%, Canvas); }
  .choose { display: flex; flex-wrap: wrap; gap: .5rem .75rem; align-items: center; }
  button { font: inherit; min-height: 44px; padding: .5rem 1.1rem; border: 0; border-radius: 999px; cursor: pointer;
    background: var(--accent); color: Canvas; font-weight: 600; }
  button:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
  .hint { color: color-mix(in srgb, CanvasText 70%, Canvas); }
  img { display: block; max-width: 100%; max-height: 16rem; margin: 1rem auto 0; border-radius: 8px; }
  progress { width: 100%; accent-color: var(--accent); }
  .status, .error { margin-top: .75rem; }
  .error { color: #b42318; color: light-dark(#b42318, #ff9d91); overflow-wrap: anywhere; }
  ol { list-style: none; padding: 0; margin-top: 1rem; display: grid; gap: .5rem; }
  li { display: grid; grid-template-columns: 1fr auto; gap: 0 .75rem; }
  li > span:first-child { overflow-wrap: anywhere; }
  .percent { font-variant-numeric: tabular-nums; }
  .bar { grid-column: 1 / -1; height: .5rem; border-radius: 999px; background: color-mix(in srgb, CanvasText 12%, Canvas); overflow: hidden; }
  .bar i { display: block; height: 100%; border-radius: inherit; background: color-mix(in srgb, var(--accent) 45%, Canvas); }
  li:first-child { font-weight: 600; }
  li:first-child i { background: var(--accent); }
  [hidden] { display: none; }
`;

// Elements that want the same model on the same device share it.
const models = new Map();

function shared(options) {
  const key = JSON.stringify([options.model, options.device, options.base]);
  if (!models.has(key)) {
    const listeners = new Set();
    const clip = Clip.load({ ...options, onProgress: (progress) => listeners.forEach((listener) => listener(progress)) });
    clip.catch(() => models.delete(key)); // another try may do better
    models.set(key, { clip, listeners });
  }
  return models.get(key);
}

const list = (text, separator) => (text ?? "").split(separator).map((item) => item.trim()).filter(Boolean);

export class ClipClassifier extends HTMLElement {
  static observedAttributes = ["labels", "templates", "model", "device", "base", "lang"];
  #parts = {};
  #image; // { blob, address }
  #asked = 0;
  #abort;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.innerHTML = `
      <style>${STYLE}</style>
      <div class="frame" part="frame">
        <div class="choose"><button type="button" part="button"></button><span class="hint"></span></div>
        <input type="file" accept="image/*" hidden>
        <img alt="" part="image" hidden>
        <div class="status" hidden><span></span><progress></progress></div>
        <p class="error" role="alert" hidden></p>
        <div role="status"><ol part="answer" hidden></ol></div>
      </div>`;
    for (const name of ["button", ".hint", "input", "img", ".status", "progress", ".error", "ol", ".frame"]) {
      this.#parts[name.replace(".", "")] = root.querySelector(name);
    }
    const { button, input, frame } = this.#parts;
    button.addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      if (input.files[0]) this.classify(input.files[0]).catch(() => {});
      input.value = "";
    });
    frame.addEventListener("dragover", (event) => {
      event.preventDefault();
      frame.classList.add("over");
    });
    frame.addEventListener("dragleave", () => frame.classList.remove("over"));
    frame.addEventListener("drop", (event) => {
      event.preventDefault();
      frame.classList.remove("over");
      this.#take(event.dataTransfer, true);
    });
    this.addEventListener("paste", (event) => this.#take(event.clipboardData, false));
  }

  connectedCallback() {
    this.#showTexts();
    if (this.hasAttribute("eager")) this.#model().clip.catch((error) => this.#fail(error));
  }

  disconnectedCallback() {
    this.#abort?.abort();
  }

  attributeChangedCallback(name, before, now) {
    if (before === now || !this.isConnected) return;
    if (name === "lang") this.#showTexts();
    else if (this.#image) this.classify(this.#image.blob).catch(() => {});
  }

  get labels() {
    return list(this.getAttribute("labels"), /[,，\n]/);
  }

  set labels(labels) {
    this.setAttribute("labels", [].concat(labels).join(", "));
  }

  /** Shows an image with its ranking, and resolves to it. */
  async classify(image) {
    const asked = ++this.#asked;
    this.#abort?.abort();
    const { signal } = (this.#abort = new AbortController());
    this.#show(image);
    const { labels } = this;
    const { progress } = this.#parts;
    const model = this.#model();
    const listen = ({ done, total }) => {
      if (total) [progress.max, progress.value] = [total, done];
      else progress.removeAttribute("value");
    };
    try {
      if (labels.length === 0) throw new Error(this.#texts.noLabels);
      model.listeners.add(listen);
      this.#busy(this.#texts.loading);
      const clip = await model.clip;
      signal.throwIfAborted();
      this.#busy(this.#texts.thinking);
      const templates = list(this.getAttribute("templates"), /[|\n]/);
      const ranking = await clip.classify(image, labels, { signal, ...(templates.length && { templates }) });
      this.#answer(ranking);
      this.dispatchEvent(new CustomEvent("clip-result", { bubbles: true, composed: true, detail: { image, ranking } }));
      return ranking;
    } catch (error) {
      if (asked === this.#asked && !signal.aborted) this.#fail(error);
      throw error;
    } finally {
      model.listeners.delete(listen);
      if (asked === this.#asked) this.#busy();
    }
  }

  get #texts() {
    const language = this.closest("[lang]")?.lang || document.documentElement.lang || "en";
    return language.startsWith("zh") ? TEXTS.zh : TEXTS.en;
  }

  #model() {
    const attribute = (name) => this.getAttribute(name) ?? undefined;
    return shared({ model: attribute("model"), device: attribute("device"), base: attribute("base") });
  }

  #take(transfer, complain) {
    const file = [...transfer.files].find((file) => file.type.startsWith("image/")) ?? transfer.files[0];
    if (file) this.classify(file).catch(() => {});
    else if (complain) this.#fail(new Error(this.#texts.notImage));
  }

  #showTexts() {
    const { button, hint } = this.#parts;
    button.textContent = this.#texts.choose;
    hint.textContent = this.#texts.drop;
  }

  #show(image) {
    const { img, error, ol } = this.#parts;
    if (this.#image) URL.revokeObjectURL(this.#image.address);
    const address = URL.createObjectURL(image);
    this.#image = { blob: image, address };
    img.src = address;
    img.alt = image.name ?? "";
    img.hidden = false;
    error.hidden = ol.hidden = true;
  }

  #busy(text) {
    const { status, progress } = this.#parts;
    status.hidden = !text;
    status.firstElementChild.textContent = text ?? "";
    progress.removeAttribute("value");
  }

  #answer(ranking) {
    const { ol } = this.#parts;
    const percent = new Intl.NumberFormat(this.lang || undefined, { style: "percent", maximumFractionDigits: 1 });
    ol.replaceChildren(
      ...ranking.map(({ label, probability }) => {
        const row = document.createElement("li");
        row.innerHTML = `<span></span><span class="percent"></span><div class="bar" aria-hidden="true"><i></i></div>`;
        const [name, share, bar] = row.children;
        name.textContent = label;
        share.textContent = percent.format(probability);
        bar.firstElementChild.style.width = `${100 * probability}%`;
        return row;
      }),
    );
    ol.hidden = false;
  }

  #fail(error) {
    const { error: line } = this.#parts;
    line.textContent = `${this.#texts.failed} ${error.message}`;
    line.hidden = false;
    this.dispatchEvent(new CustomEvent("clip-error", { bubbles: true, composed: true, detail: { error } }));
  }
}

customElements.define("clip-classifier", ClipClassifier);
