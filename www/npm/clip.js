// CLIP in a Web Worker, for any page: the messages of the engine (src/engine/messages.rs) as functions.
// Types and their description: clip.d.ts.

import { imageBytes } from "./image-bytes.js";
import { platform } from "./platform.js";

// In a variable, or bundlers would take the folder for a file.
const here = import.meta.url;
const ENGINE = new URL("./engine/", here);
const HUB = "https://huggingface.co";
const TEMPLATES = ["A photo of a {label}."];
/** Images that are with the engine at once: the next one is there when one is done. */
const AT_ONCE = 2;
/** Texts in a message: the engine does not listen until all are encoded. */
const TEXTS_AT_ONCE = 32;

export class ClipError extends Error {
  name = "ClipError";
  /** `said`: a text, or what the engine says, with its code. */
  constructor(said, index, options) {
    const reason = sentence(said);
    super(index === undefined ? reason : `image ${index}: ${reason}`, options);
    this.reason = reason;
    this.code = said.code ?? "";
    this.index = index;
  }
}

export class Clip {
  #worker;
  #closed; // why, once it is
  #listener; // of the task that is going on
  #last = Promise.resolve(); // task
  #id = 0;
  #head; // file of the head in use
  model;
  device;

  static async load({ model, device = "auto", base = ENGINE, hub = HUB, threads, onProgress, signal } = {}) {
    signal?.throwIfAborted();
    const clip = new Clip();
    try {
      const [source, files] = modelSource(model);
      await clip.#open(new URL(base, platform.base()), { device, source, hub, threads }, files, onProgress, signal);
    } catch (error) {
      clip.close();
      throw error;
    }
    return clip;
  }

  async #open(base, request, files, onProgress, signal) {
    try {
      this.#start(base);
      await this.#converse(signal, (resolve, reject) => {
        this.#send({ Open: request }, { files });
        this.#send("StoreNothing");
        return {
          Loading: ({ stage, done, total }) => onProgress?.({ stage: STAGES[stage] ?? stage, done, total }),
          Ready: ({ model, device }) => {
            this.model = {
              name: model.name,
              parameters: model.parameters,
              bytes: model.bytes,
              imageSize: model.image_size,
              contextLength: model.context_length,
              embedDim: model.embed_dim,
              independent: model.independent,
            };
            this.device = { ...device, reason: sentence(device.reason) };
            resolve();
          },
          OpenFailed: ({ error, gpu }) => reject(Object.assign(new ClipError(error), { gpu })),
          Died: ({ error, gpu }) => reject(Object.assign(new ClipError(error), { gpu })),
        };
      });
    } catch (error) {
      if (!error.gpu || request.device !== "auto") throw error;
      this.#worker.terminate();
      await this.#open(base, { ...request, device: "cpu" }, files, onProgress, signal);
      this.device.reason = error.message;
    }
  }

  classify(images, labels, { templates = TEMPLATES, onProgress, signal } = {}) {
    const ask = async (all) => {
      let head;
      if (!Array.isArray(labels)) {
        head = labels instanceof Blob ? labels : labels?.file;
        if (!head) throw new TypeError("labels: an array of texts, what trainHead returned, or its file");
      }
      const classes = await this.#useHead(head);
      const question = this.#next();
      const added = [];
      try {
        return await this.#each(all, { onProgress, signal }, (answer, refuse, reject) => {
          this.#send({ Classify: { question, labels: classes ?? labels, templates: [].concat(templates) } });
          const send = (id, bytes) => {
            added.push(id);
            this.#send({ AddImage: { image: id, name: String(id) } }, { bytes });
          };
          const events = {
            Answers: ({ question: of, rankings }) => {
              if (of === question) for (const [id, ranking] of readRankings(rankings)) answer(id, ranking);
            },
            ImageFailed: ({ image, error }) => refuse(image, error),
            QuestionFailed: ({ question: of, error }) => of === question && reject(new ClipError(error)),
          };
          return [send, events];
        });
      } finally {
        if (!this.#closed) {
          this.#send("Cancel");
          this.#send({ RemoveImages: { images: added } });
        }
      }
    };
    return this.#task(signal, () => oneOrMany(images, ask));
  }

  embedImage(images, { onProgress, signal } = {}) {
    const ask = (all) =>
      this.#each(all, { onProgress, signal }, (answer, refuse) => [
        (id, bytes) => this.#send({ EmbedImage: { request: id } }, { bytes }),
        {
          Embedded: ({ request }, [features]) => answer(request, new Float32Array(features)),
          EmbedFailed: ({ request, error }) => refuse(request, error),
        },
      ]);
    return this.#task(signal, () => oneOrMany(images, ask));
  }

  embedText(texts, { signal } = {}) {
    const ask = async (all) => {
      const rows = [];
      for (let at = 0; at < all.length; at += TEXTS_AT_ONCE) {
        const some = all.slice(at, at + TEXTS_AT_ONCE).map(String);
        const request = this.#next();
        const features = await this.#converse(signal, (resolve, reject) => {
          this.#send({ EmbedTexts: { request, texts: some } });
          return {
            Embedded: ({ request: of }, [features]) => of === request && resolve(new Float32Array(features)),
            EmbedFailed: ({ request: of, error }) => of === request && reject(new ClipError(error)),
          };
        });
        const length = features.length / some.length;
        rows.push(...some.map((_, row) => features.slice(row * length, (row + 1) * length)));
      }
      return rows;
    };
    return this.#task(signal, () => oneOrMany(texts, ask));
  }

  async search(query, images, { top = images.length, onProgress, signal } = {}) {
    const embedded = images.every((image) => image instanceof Float32Array);
    const features = embedded ? images : await this.embedImage(images, { onProgress, signal });
    let wanted = query;
    if (typeof query === "string") wanted = await this.embedText(query, { signal });
    else if (!(query instanceof Float32Array)) wanted = await this.embedImage(query, { signal });
    return features
      .map((row, index) => ({ index, similarity: cosine(row, wanted) }))
      .sort((a, b) => b.similarity - a.similarity)
      .slice(0, top);
  }

  trainHead(samples, options = {}) {
    const { method = "probe", templates = TEMPLATES, heldOut = 0, seed = 0, onProgress, signal } = options;
    return this.#task(signal, async () => {
      const classes = Object.keys(samples);
      const images = classes.flatMap((label, index) => samples[label].map((image) => ({ image, class: index })));
      const files = [];
      for (const [index, { image }] of images.entries()) {
        const bytes = await imageBytes(image, signal).catch((error) => throwAbout(index, error, signal));
        files.push(new File([bytes], String(index)));
      }
      const ids = images.map(() => this.#next());
      const heldOutOf = heldOutPart(images.map((image) => image.class), heldOut);
      const plan = {
        name: "samples",
        settings: { ...UNUSED_SETTINGS, method, held_out: heldOut, seed },
        classes,
        templates: [].concat(templates),
        samples: images.map(({ class: index }, at) => ({
          ...{ sample: ids[at], path: `${classes[index]}/${at}`, class: index, captions: [] },
          held_out: heldOutOf.has(at),
        })),
        problems: [],
        notes: [],
      };
      const training = (request, files) => this.#send({ Training: request }, { files });
      this.#head = undefined; // a training begins with the original model
      try {
        return await this.#converse(signal, (resolve, reject) => {
          training({ AddSamples: { samples: ids } }, files);
          training({ Start: { plan } });
          let report;
          const fail = ({ error }) => reject(new ClipError(error));
          const events = {
            SamplesRead: ({ samples }) => {
              const bad = samples.find(({ file }) => "Err" in file);
              if (bad) reject(new ClipError(bad.file.Err, ids.indexOf(bad.sample)));
            },
            Progress: ({ stage, done, total }) => onProgress?.({ stage: stage.toLowerCase(), done, total }),
            Finished: (outcome) => {
              report = outcome.report;
              training({ Export: { what: "Head" } });
            },
            Failed: fail,
            ExportFailed: fail,
            Exported: (_, [file]) =>
              resolve({
                classes,
                file: new Blob([file], { type: "application/octet-stream" }),
                accuracy: report.after?.top_1,
                zeroShotAccuracy: report.before?.top_1,
                notes: report.notes,
              }),
          };
          return { Training: (event, bytes) => dispatch(events, event, bytes) };
        });
      } finally {
        if (!this.#closed) {
          // What comes before its answer is of this training, not of the next.
          await this.#converse(undefined, (resolve) => {
            training({ RemoveSamples: { samples: ids } });
            training({ Stop: { discard: true } });
            return { Training: (event) => dispatch({ Stopped: resolve }, event) };
          });
        }
      }
    });
  }

  close() {
    this.#end(new ClipError("this model was closed"));
  }

  // ---------------------------------------------------------------- engine

  #start(base) {
    const address = new URL("worker-loader.js", base);
    try {
      this.#worker = platform.startWorker(address);
    } catch (cause) {
      const why = "a worker must come from the same origin as the page, so copy the package's folder `engine` there";
      throw new ClipError(`${address} could not be started (${cause.message}): ${why}, and name it as \`base\``, undefined, {
        cause,
      });
    }
    this.#worker.onmessage = ({ data }) => {
      const died = data.message.Died;
      if (died && this.model) this.#end(new ClipError(`the engine crashed (${sentence(died.error)}): load the model again`));
      const listener = this.#listener;
      try {
        listener?.hear(data.message, data.bytes ?? []);
      } catch (error) {
        listener.fail(error); // thrown by the caller's `onProgress`
      }
    };
    this.#worker.onerror = (event) => {
      event.preventDefault?.();
      this.#end(new ClipError(event.message ? `the engine failed: ${event.message}` : `${address} could not be loaded`));
    };
  }

  #send(message, { bytes, files } = {}) {
    this.#worker.postMessage({ message, bytes, files }, bytes ? [bytes] : []);
  }

  #next() {
    return ++this.#id;
  }

  #end(error) {
    if (this.#closed) return;
    this.#closed = error;
    this.#worker?.terminate();
    this.#listener?.fail(error);
  }

  /** Runs one task after the other, since the engine's answers do not tell whose they are. */
  #task(signal, run) {
    const result = this.#last.then(() => {
      signal?.throwIfAborted();
      if (this.#closed) throw this.#closed;
      return run();
    });
    this.#last = result.catch(() => {});
    return orAborted(result, signal);
  }

  /** Calls `begin`, which sends messages and returns what to do at each event until it is settled. */
  async #converse(signal, begin) {
    if (this.#closed) throw this.#closed;
    const { promise, resolve, reject } = settleable();
    const onAbort = () => reject(signal.reason);
    signal?.throwIfAborted();
    signal?.addEventListener("abort", onAbort);
    try {
      const events = begin(resolve, reject);
      this.#listener = { hear: (event, bytes) => dispatch(events, event, bytes), fail: reject };
      return await promise;
    } finally {
      this.#listener = undefined;
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Has the engine answer each image, a few at a time; `begin` returns how one is sent, and the events. */
  #each(images, { onProgress, signal }, begin) {
    if (images.length === 0) return [];
    return this.#converse(signal, (resolve, reject) => {
      const answers = new Array(images.length);
      const places = new Map();
      let next = 0;
      let done = 0;
      let send;
      const feed = async () => {
        if (next === images.length) return;
        const [place, id] = [next++, this.#next()];
        try {
          const bytes = await imageBytes(images[place], signal);
          if (signal?.aborted || this.#closed) return;
          places.set(id, place);
          send(id, bytes);
        } catch (error) {
          if (!signal?.aborted) reject(about(place, error));
        }
      };
      const answer = (id, value) => {
        if (!places.has(id)) return; // of a task that was aborted
        answers[places.get(id)] = value;
        places.delete(id);
        done += 1;
        onProgress?.({ stage: "images", done, total: images.length });
        if (done === images.length) resolve(answers);
        else feed();
      };
      const refuse = (id, error) => places.has(id) && reject(new ClipError(error, places.get(id)));
      const [sender, events] = begin(answer, refuse, reject);
      send = sender;
      for (let i = 0; i < AT_ONCE; i++) feed();
      return events;
    });
  }

  /** Uses a head, or with none the model alone; returns its classes. */
  async #useHead(file) {
    if (this.#head?.file === file) return this.#head?.classes;
    this.#head = undefined;
    const classes = await this.#converse(undefined, (resolve, reject) => {
      if (file) this.#send({ Training: "UseHead" }, { files: [new File([file], "head.safetensors")] });
      else this.#send({ Training: { Use: { trained: false } } });
      const events = {
        InUse: ({ trained }) => resolve(trained?.classes),
        ImportFailed: ({ error }) => reject(new ClipError(error)),
        Failed: ({ error }) => reject(new ClipError(error)),
      };
      return { Training: (event) => dispatch(events, event) };
    });
    this.#head = file && { file, classes };
    return classes;
  }
}

const STAGES = { Device: "device", Download: "download", WarmUp: "warm-up" };

/** Settings of other methods of training, which every plan has. */
const UNUSED_SETTINGS = {
  ...{ epochs: 1, batch_size: 1, micro_batch: 1, learning_rate: 0, weight_decay: 0, warmup_steps: 0, rank: 1, alpha: 1 },
  ...{ mlp: false, image_tower: "Frozen", text_tower: "Frozen", temperature: false, gradient_checkpointing: false },
  ...{ width: 1, layers: 1 },
};

/** Calls what handles an event: `{ Name: value }`, or a name alone. */
function dispatch(events, event, bytes) {
  const [[name, value]] = typeof event === "string" ? [[event]] : Object.entries(event);
  events[name]?.(value, bytes);
}

/** The model as the engine wants it named, and its files. */
function modelSource(model) {
  if (!model) return ["Bundled"];
  if (Array.isArray(model)) return ["Files", model];
  const text = String(model);
  const hub = /^([\w.-]+\/[\w.-]+?)(?:@(.+))?$/.exec(text);
  if (hub && !text.startsWith(".")) return [{ Place: { Hub: { id: hub[1], revision: hub[2] ?? "main" } } }];
  return [{ Place: { Url: new URL(text, platform.base()).href } }];
}

/** Places of the images that are held out: the last ones of each class, never all of them. */
function heldOutPart(classes, fraction) {
  const held = new Set();
  for (const index of new Set(classes)) {
    const places = classes.flatMap((other, place) => (other === index ? [place] : []));
    const count = Math.min(Math.floor(places.length * fraction), places.length - 1);
    for (const place of places.slice(places.length - count)) held.add(place);
  }
  return held;
}

/** Id and ranking of each image: `[images][labels]` of label, probability, similarity, 4 bytes each. */
function* readRankings({ labels, images, scores }) {
  const view = new DataView(scores.buffer, scores.byteOffset, scores.byteLength);
  const row = scores.byteLength / images.length;
  for (const [index, id] of images.entries()) {
    const ranking = [];
    for (let at = index * row; at < (index + 1) * row; at += 12) {
      ranking.push({
        label: labels[view.getUint32(at, true)],
        probability: view.getFloat32(at + 4, true),
        similarity: view.getFloat32(at + 8, true),
      });
    }
    yield [id, ranking];
  }
}

function cosine(a, b) {
  if (a.length !== b.length) throw new RangeError(`embeddings of ${a.length} and ${b.length} numbers are of different models`);
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}

async function oneOrMany(items, ask) {
  if (Array.isArray(items)) return ask(items);
  try {
    return (await ask([items]))[0];
  } catch (error) {
    // A single image needs no number.
    if (error instanceof ClipError) {
      throw new ClipError({ code: error.code, text: error.reason }, undefined, { cause: error.cause });
    }
    throw error;
  }
}

/** What the engine says, which is a text, or an object of its code, its values and the text. */
const sentence = (said) => said.text ?? said;

const about = (index, error) => new ClipError(error.message, index, { cause: error });

function throwAbout(index, error, signal) {
  throw signal?.aborted ? signal.reason : about(index, error);
}

function settleable() {
  let resolve, reject;
  const promise = new Promise((...both) => ([resolve, reject] = both));
  return { promise, resolve, reject };
}

/** The result, or at once the reason of an abort. */
function orAborted(result, signal) {
  if (!signal) return result;
  const { promise, reject } = settleable();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) onAbort();
  return Promise.race([result, promise]).finally(() => signal.removeEventListener("abort", onAbort));
}
