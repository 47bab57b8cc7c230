/** Plug-in for Vite that puts the engine's files beside the built program. */
export default function clip(): { name: string };
