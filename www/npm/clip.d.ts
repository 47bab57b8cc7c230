/** Image as it is at hand: a file, its bytes, where it is, or what a page shows. Files are decoded as the page of CLIP does it. */
export type Image =
  | Blob
  | ArrayBuffer
  | Uint8Array
  | string
  | URL
  | ImageData
  | ImageBitmap
  | HTMLImageElement
  | HTMLCanvasElement
  | OffscreenCanvas
  | HTMLVideoElement
  | VideoFrame;

/** How far something is. `total` is 0 where it is not known. */
export interface Progress {
  /** Of loading: `device`, `download` (in bytes), `warm-up`. Of a training: `pictures`, `prompts`, … Else `images`. */
  stage: string;
  done: number;
  total: number;
}

export interface TaskOptions {
  onProgress?: (progress: Progress) => void;
  /** Ends the task; its promise is rejected with the signal's reason. */
  signal?: AbortSignal;
}

export interface LoadOptions extends TaskOptions {
  /**
   * `owner/name` or `owner/name@revision` on the Hugging Face hub, the address of a folder (with `/` at its end) or of a
   * safetensors file, or the files of a model. By default the model that comes with the package.
   */
  model?: string | URL | File[];
  /** By default the GPU where there is one. */
  device?: "auto" | "gpu" | "cpu";
  /** Address of the package's folder `engine`, where it does not lie beside this script. */
  base?: string | URL;
  /** Address of the hub. */
  hub?: string;
  /** On the CPU; more than one need a page that is isolated from other origins. */
  threads?: number;
}

export interface ClassifyOptions extends TaskOptions {
  /** Each with `{label}`; of several the mean is taken. By default `A photo of a {label}.` */
  templates?: string | string[];
}

export interface Ranked {
  label: string;
  /** 0 to 1. Of most models those of all labels sum to 1; of SigLIP each label has its own. */
  probability: number;
  /** Cosine of the features of image and label. */
  similarity: number;
}

export interface TrainOptions extends TaskOptions {
  /** `probe`: logistic regression on the features. `adapter`: beside the texts of the labels; better for few images. */
  method?: "probe" | "adapter";
  /** Of the adapter's texts. */
  templates?: string | string[];
  /** Share of each class' images, its last ones, that only measure the accuracy, 0 to 1. By default none. */
  heldOut?: number;
  seed?: number;
}

/** Classifier that was trained on a model's features. */
export interface Head {
  classes: string[];
  /** As a safetensors file, for `classify`, the page and the command. */
  file: Blob;
  /** Share of the held-out images that are named rightly, 0 to 1. */
  accuracy?: number;
  /** The same with the labels as texts alone. */
  zeroShotAccuracy?: number;
  notes: string[];
}

/** Error of the engine or a server. */
export class ClipError extends Error {
  /** The message without the place of the image. */
  reason: string;
  /**
   * What kind of error it is, such as `image-too-large`, by which it can be worded in another language; empty for errors
   * that the engine does not word itself. The message is in English.
   */
  code: string;
  /** Place of the image that it is about, among several. */
  index?: number;
}

/**
 * A model in a Web Worker. Its tasks run one after the other. Features are unit vectors of `model.embedDim` numbers.
 */
export class Clip {
  private constructor();
  /** Starts the engine and loads a model. */
  static load(options?: LoadOptions): Promise<Clip>;

  readonly model: {
    name: string;
    parameters: number;
    /** Size of its files. */
    bytes: number;
    /** Side of the image encoder's input, in pixels. */
    imageSize: number;
    /** Greatest length of a text, in tokens. */
    contextLength: number;
    embedDim: number;
    /** Whether each label has a probability of its own, so that none may fit. */
    independent: boolean;
  };
  readonly device: {
    gpu: boolean;
    name: string;
    /** Why this device; may be empty. */
    reason: string;
  };

  /** Labels by probability, or the classes of a head that was trained (or its file). */
  classify(image: Image, labels: string[] | Head | Blob, options?: ClassifyOptions): Promise<Ranked[]>;
  classify(images: Image[], labels: string[] | Head | Blob, options?: ClassifyOptions): Promise<Ranked[][]>;

  embedImage(image: Image, options?: TaskOptions): Promise<Float32Array>;
  embedImage(images: Image[], options?: TaskOptions): Promise<Float32Array[]>;

  /** Of the texts as they are, without a template. */
  embedText(text: string, options?: TaskOptions): Promise<Float32Array>;
  embedText(texts: string[], options?: TaskOptions): Promise<Float32Array[]>;

  /** Images, or features of images, by similarity to a text, an image or features. */
  search(
    query: string | Exclude<Image, string> | Float32Array,
    images: Image[] | Float32Array[],
    options?: TaskOptions & { top?: number },
  ): Promise<{ index: number; similarity: number }[]>;

  /** Trains a classifier on images by class. The images are not kept. */
  trainHead(samples: Record<string, Image[]>, options?: TrainOptions): Promise<Head>;

  /** Ends the worker and frees its memory; what is still going on is rejected. */
  close(): void;
}
