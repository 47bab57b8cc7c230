// Reads the weights that our program keeps of a model as it does, a piece while the next is on its way, and
// does nothing with them.

const PIECE = 16 << 20;

async function read(model) {
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("models");
  let file = null;
  for await (const entry of folder.values()) {
    const found = entry.name.startsWith(`${encodeURIComponent(model)} `) && (await entry.getFile());
    if (found && found.size > (file?.size ?? 0)) file = found;
  }
  if (!file) throw new Error(`nothing is kept of ${model}`);
  const began = performance.now();
  const piece = (start) => (start < file.size ? file.slice(start, start + PIECE).arrayBuffer() : null);
  let next = piece(0);
  for (let start = 0; start < file.size; start += PIECE) {
    const asked = next;
    next = piece(start + PIECE);
    await asked;
  }
  return performance.now() - began;
}

onmessage = ({ data }) =>
  read(data).then(
    (ms) => postMessage({ ms }),
    (error) => postMessage({ error: String(error) }),
  );
