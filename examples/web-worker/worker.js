// A worker that sorts files by class: it has the images, and the engine a worker of its own below it.
import { Clip } from "./clip-everyday/clip.js";

const LABELS = ["cat", "dog", "person", "building", "food"];
const loading = Clip.load();

self.addEventListener("message", async ({ data: files }) => {
  const clip = await loading;
  const rankings = await clip.classify(files, LABELS);
  for (const [index, [best]] of rankings.entries()) self.postMessage(`${best.label}: ${files[index].name}`);
});
