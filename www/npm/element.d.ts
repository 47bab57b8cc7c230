import type { Ranked } from "./clip.js";

/**
 * `<clip-classifier labels="cat, dog">`. Attributes: `labels` (commas between them), `templates` (`|` between them),
 * `model`, `device` and `base` as of `Clip.load`, `lang` (`en`, `zh`), and `eager` to load the model at once and not with the
 * first image. Events: `clip-result` and `clip-error`. Colour: `--clip-accent`.
 */
export class ClipClassifier extends HTMLElement {
  labels: string[];
  /** Shows an image with its ranking, and resolves to it. */
  classify(image: Blob): Promise<Ranked[]>;
}

declare global {
  interface HTMLElementTagNameMap {
    "clip-classifier": ClipClassifier;
  }
  interface HTMLElementEventMap {
    "clip-result": CustomEvent<{ image: Blob; ranking: Ranked[] }>;
    "clip-error": CustomEvent<{ error: Error }>;
  }
}
