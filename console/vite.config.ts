import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// Where `npm run dev` finds the API. The server checks Host and Origin, so both are set to its own.
const server = process.env.PAVISE_ORIGIN ?? "http://localhost:8443";

export default defineConfig({
  plugins: [react()],
  build: {
    // Nothing is put into the page as text: the policy of the server allows only files of its own.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    target: "es2023",
  },
  server: { proxy: { "/api": { target: server, changeOrigin: true, headers: { origin: server } } } },
});
