import { defineConfig } from "vite";

const server = process.env["WATCHKEEPER_URL"] ?? "http://127.0.0.1:8400";

export default defineConfig({
  // Relative addresses let the UI live below any path of a reverse proxy.
  base: "./",
  build: {
    target: "es2023",
    // All three know light-dark(), which the themes are written with.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    // The Content-Security-Policy allows no data: addresses and no inline script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    host: "127.0.0.1",
    proxy: Object.fromEntries(
      ["/api", "/loki", "/-"].map((path) => [path, { target: server, changeOrigin: true }]),
    ),
  },
});
