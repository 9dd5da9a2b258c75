import { describe, expect, it } from "vitest";
import { EventParser, type Happening, type Line, listen, readEvent, waitMs } from "../src/api/events";

const STREAM = ': alive\n\nid: 3\ndata: {"event":"device","id":"d1","new":true,"trust":"full"}\n\ndata: one\ndata: two\n\nevent: x\ndata\n\nid: 4\n\n';
const TOLD = ['{"event":"device","id":"d1","new":true,"trust":"full"}', "one\ntwo", ""];

describe("events", () => {
  it("are read as the standard has it", () => {
    expect(new EventParser().feed(STREAM)).toEqual(TOLD);
  });

  it("are the same wherever the pieces were cut, and with any ends of lines", () => {
    for (const end of ["\n", "\r", "\r\n"]) {
      const text = STREAM.replaceAll("\n", end);
      for (let size = 1; size < 20; size += 1) {
        const parser = new EventParser();
        const out: string[] = [];
        for (let at = 0; at < text.length; at += size) out.push(...parser.feed(text.slice(at, at + size)));
        expect(out).toEqual(TOLD);
      }
    }
  });

  it("that are none are left out", () => {
    expect(readEvent('{"event":"progress","packets":3,"at":"x"}')).toMatchObject({ event: "progress" });
    for (const data of ["", "{", "7", "null", '{"event":7}', "[]"]) expect(readEvent(data)).toBeUndefined();
  });

  it("do not fill the memory when a line never ends", () => {
    const parser = new EventParser();
    for (let round = 0; round < 300; round += 1) parser.feed("x".repeat(1_000));
    expect(parser.feed("\n\ndata: y\n\n")).toEqual(["y"]);
  });
});

describe("listening", () => {
  it("connects anew after a refusal, a broken line and an end, and waits longer while it fails", async () => {
    const lines: Line[] = [];
    const heard: Happening[] = [];
    const waits: number[] = [];
    const end = new AbortController();
    const answers: (() => Response)[] = [
      () => new Response("", { status: 503 }),
      () => {
        throw new TypeError("broken");
      },
      () => new Response('data: {"event":"incident-gone","id":"i1"}\n\n'),
      () => {
        end.abort();
        throw new DOMException("", "AbortError");
      },
    ];
    await listen(
      {
        open: async () => (answers.shift() as () => Response)(),
        heard: (event) => heard.push(event),
        line: (line) => lines.push(line),
        wait: async (ms) => {
          waits.push(ms);
        },
      },
      end.signal,
    );
    expect(heard).toEqual([{ event: "incident-gone", id: "i1" }]);
    expect(lines.filter((line, at) => line !== lines[at - 1])).toEqual(["connecting", "polling", "live", "polling"]);
    expect(waits).toHaveLength(3);
  });

  it("waits between a half and the whole of 1, 2, 4 … 30 seconds", () => {
    expect([0, 1, 2, 9].map((failures) => waitMs(failures, () => 1))).toEqual([1_000, 2_000, 4_000, 30_000]);
    expect(waitMs(0, () => 0)).toBe(500);
  });
});
