import { defineConfig } from "vite";
import clip from "clip-everyday/vite";

export default defineConfig({ base: "./", plugins: [clip()] });
