/** Server-sent events (HTML Living Standard, section 9.2), read by hand so that a refusal can be told from a broken line. */
import type { Schemas } from "./client";

export type Happening = Schemas["EventView"];

/** A line of events may be so long, in characters; a longer one is given up. */
const LINE_MAX = 65_536;

/** Puts together events from pieces of text, wherever these were cut. */
export class EventParser {
  #rest = "";
  #data: string[] = [];
  #afterReturn = false;

  /** The data of the events that are complete with this piece. */
  feed(piece: string): string[] {
    const out: string[] = [];
    for (const char of piece) {
      if (char === "\n" && this.#afterReturn) {
        this.#afterReturn = false;
        continue;
      }
      this.#afterReturn = char === "\r";
      if (char === "\n" || char === "\r") this.#line(out);
      else if (this.#rest.length < LINE_MAX) this.#rest += char;
    }
    return out;
  }

  #line(out: string[]) {
    const line = this.#rest;
    this.#rest = "";
    if (line === "") {
      if (this.#data.length > 0) out.push(this.#data.join("\n"));
      this.#data = [];
      return;
    }
    const colon = line.indexOf(":");
    // A line that begins with a colon only says that the line is alive.
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.#data.push(value);
  }
}

/** An event that is one of those in the contract; anything else is left out. */
export function readEvent(data: string): Happening | undefined {
  try {
    const told: unknown = JSON.parse(data);
    if (typeof told === "object" && told !== null && "event" in told && typeof told.event === "string") return told as Happening;
  } catch {
    // Not JSON: leave it out.
  }
  return undefined;
}

export type Line = "connecting" | "live" | "polling";

/** Waits of 1, 2, 4 … 30 seconds, so that a server that comes back is not overrun. */
export const waitMs = (failures: number, random = Math.random) =>
  Math.min(30_000, 1_000 * 2 ** Math.min(failures, 5)) * (0.5 + random() / 2);

export interface Listening {
  open: (signal: AbortSignal) => Promise<Response>;
  heard: (event: Happening) => void;
  line: (line: Line) => void;
  wait: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** Listens until it is aborted; connects anew after each end. While there is no connection the line is `polling`. */
export async function listen(how: Listening, signal: AbortSignal): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    how.line(failures === 0 ? "connecting" : "polling");
    try {
      const response = await how.open(signal);
      if (!response.ok || !response.body) throw new Error(`status ${response.status}`);
      how.line("live");
      failures = 0;
      const parser = new EventParser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        for (const data of parser.feed(value)) {
          const event = readEvent(data);
          if (event) how.heard(event);
        }
      }
    } catch {
      // Told by the line; tried again below.
    }
    if (signal.aborted) return;
    how.line("polling");
    await how.wait(waitMs(failures), signal);
    failures += 1;
  }
}
