// Search in images of one's own by words.
import { Clip } from "clip-everyday";

const find = <E extends HTMLElement>(id: string) => document.getElementById(id) as E;
const [images, query] = [find<HTMLInputElement>("images"), find<HTMLInputElement>("query")];
const status = find("status");

const clip = await Clip.load();
status.textContent = `${clip.model.name} on ${clip.device.name}`;

let files: File[] = [];
let features: Float32Array[] = [];

images.addEventListener("change", async () => {
  files = [...(images.files ?? [])];
  features = await clip.embedImage(files, {
    onProgress: ({ done, total }) => (status.textContent = `${done} of ${total} images read`),
  });
  await search();
});
query.addEventListener("change", search);

async function search() {
  const hits = await clip.search(query.value, features, { top: 10 });
  find("hits").replaceChildren(
    ...hits.map(({ index, similarity }) => {
      const row = document.createElement("li");
      row.textContent = `${files[index].name} (${similarity.toFixed(3)})`;
      return row;
    }),
  );
}
