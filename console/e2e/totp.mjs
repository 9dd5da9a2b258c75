// One-time passwords (RFC 6238) as an authenticator shows them.
import { createHmac } from "node:crypto";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const STEP_MS = 30_000;

export function totp(secret, step) {
  const bits = [...secret.replaceAll(" ", "")].map((char) => ALPHABET.indexOf(char).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = createHmac("sha1", key).update(counter).digest();
  const at = mac.at(-1) & 15;
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

/** Codes that the server has not seen yet: it takes each half minute's once. */
export function authenticator(secret) {
  let used = 0;
  return async () => {
    // The server takes the code of the half minute that comes, too, so that nobody has to wait long.
    const now = () => Math.floor(Date.now() / STEP_MS);
    let step = Math.max(now(), used + 1);
    while (step > now() + 1) {
      await new Promise((done) => setTimeout(done, STEP_MS - (Date.now() % STEP_MS) + 50));
      step = Math.max(now(), used + 1);
    }
    used = step;
    return totp(secret, step);
  };
}
