// The real server over a fresh state, and the built console in front of it under one origin.
import { spawn, spawnSync } from "node:child_process";
import { createReadStream, existsSync, mkdirSync, rmSync } from "node:fs";
import { createServer, request } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const dist = join(here, "../dist");
const work = join(here, "work");

/** The server listens here and the front on 127.0.0.1, at the same port: so both have one origin, which passkeys hold for. */
const BEHIND = "127.0.0.2";

const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
/** As crates/api sends them with every answer. */
const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), publickey-credentials-get=(self), publickey-credentials-create=(self)",
};

function run(binary, ...args) {
  const { status, stderr } = spawnSync(binary, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${args.join(" ")} ended with ${status}: ${stderr}`);
}

/** Starts the server on `port` over what was found in an attack of the laboratory; gives the link with which it is set up. */
export async function startServer(binary, port, attack) {
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work);
  const capture = join(work, `${attack}.pcapng`);
  const state = join(work, "state");
  run(binary, "lab", "attack", attack, "--out", capture);
  run(binary, "watch", capture, "--state", state, "--quiet");
  const child = spawn(binary, ["serve", "--state", state, "--plain", "--listen", `${BEHIND}:${port}`], { stdio: ["ignore", "pipe", "pipe"] });
  const secret = await new Promise((done, fail) => {
    let said = "";
    const hear = (piece) => {
      said += piece;
      const found = /\/setup#(\S+)/.exec(said);
      if (found) done(found[1]);
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.on("exit", (code) => fail(new Error(`the server ended with ${code}: ${said}`)));
  });
  return { secret, stop: () => child.kill("SIGTERM") };
}

/** Serves dist/ and passes on /api/; `faults.events` breaks the line of events, `faults.api` all of the API. */
export function startFront(port) {
  const faults = { events: false, api: false };
  const open = new Set();
  const front = createServer((asked, answer) => {
    const path = new URL(asked.url, "http://localhost").pathname;
    if (path.startsWith("/api/")) {
      if (faults.api || (faults.events && path === "/api/v1/events")) return answer.destroy();
      const passed = request({ host: BEHIND, port, method: asked.method, path: asked.url, headers: asked.headers }, (told) => {
        answer.writeHead(told.statusCode, told.headers);
        answer.flushHeaders();
        told.pipe(answer);
      });
      if (path === "/api/v1/events") open.add(answer);
      answer.on("close", () => {
        open.delete(answer);
        passed.destroy();
      });
      passed.on("error", () => answer.destroy());
      return asked.pipe(passed);
    }
    const file = normalize(join(dist, path));
    const found = file.startsWith(dist) && extname(file) && existsSync(file) ? file : join(dist, "index.html");
    if (path.startsWith("/assets/") && !existsSync(file)) return answer.writeHead(404, HEADERS).end();
    answer.writeHead(200, { ...HEADERS, "content-type": TYPES[extname(found)] ?? "application/octet-stream" });
    return createReadStream(found).pipe(answer);
  });
  return new Promise((done) => {
    front.listen(port, "127.0.0.1", () =>
      done({
        faults,
        breakEvents: () => open.forEach((answer) => answer.destroy()),
        stop: () => {
          front.closeAllConnections();
          front.close();
        },
      }),
    );
  });
}
