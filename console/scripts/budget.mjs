// Fails the build if what is loaded first is more than the page may weigh.
import { readFileSync, readdirSync } from "node:fs";
import { gzipSync } from "node:zlib";

const LIMIT_BYTES = 350_000;
const dist = new URL("../dist/", import.meta.url);
const page = readFileSync(new URL("index.html", dist), "utf8");
const weigh = (path) => gzipSync(readFileSync(new URL(path.replace(/^\//, ""), dist))).length;
const first = [...page.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map((found) => found[1]);
const total = first.reduce((sum, path) => sum + weigh(path), gzipSync(page).length);
for (const name of readdirSync(new URL("assets", dist))) {
  const path = `/assets/${name}`;
  console.log(`${first.includes(path) ? "first" : "later"} ${String(weigh(path)).padStart(8)} ${name}`);
}
if (/<script(?![^>]*\ssrc=)|<style|\sstyle=/.test(page)) throw new Error("index.html holds scripts or styles that the policy refuses");
console.log(`first load: ${total} of ${LIMIT_BYTES} bytes, gzipped`);
if (total > LIMIT_BYTES) throw new Error("the first load is too heavy: split it");
