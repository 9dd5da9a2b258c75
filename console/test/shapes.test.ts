import { describe, expect, it } from "vitest";
import { ago, lasted, size } from "../src/lib/format";
import { graphOf, NODES_MAX } from "../src/lib/graph";
import { levelOf, place } from "../src/lib/levels";
import { seriesOf } from "../src/lib/series";
import { linesOf } from "../src/pages/map";
import { qrPath } from "../src/ui/totp";

const party = (id: string) => ({ device: id, ip: id });
const finding = (actor: string, victim: string | undefined, severity: string) => ({ actor: party(actor), victim: victim ? party(victim) : undefined, severity }) as never;

describe("the graph of an incident", () => {
  it("puts whoever was reached right of who reached him, and keeps the worst of each pair", () => {
    const graph = graphOf({
      actors: [party("a"), party("b")],
      victims: [party("b"), party("c")],
      timeline: [finding("a", "b", "high"), finding("a", "b", "low"), finding("b", "c", "critical"), finding("c", undefined, "low"), finding("c", "c", "low")],
    });
    expect(graph.nodes.map(({ id, layer }) => [id, layer])).toEqual([
      ["a", 0],
      ["b", 1],
      ["c", 2],
    ]);
    expect(graph.edges).toEqual([
      { from: "a", to: "b", severity: "high", count: 2 },
      { from: "b", to: "c", severity: "critical", count: 1 },
    ]);
  });

  it("ends where everybody was reached by another, and has a bound", () => {
    const round = graphOf({ actors: [party("a")], victims: [party("b")], timeline: [finding("a", "b", "low"), finding("b", "a", "low")] });
    expect(round.layers).toBe(2);
    const many = graphOf({ actors: [], victims: Array.from({ length: 90 }, (_, at) => party(`v${at}`)), timeline: [] });
    expect([many.nodes.length, many.left]).toEqual([NODES_MAX, 90 - NODES_MAX]);
  });
});

describe("the map", () => {
  it("has a level for roles, and one for what is not known", () => {
    expect(levelOf({ id: "1", role: "plc", locality: "on-link" })).toBe("Control");
    expect(levelOf({ id: "1", role: "plc", locality: "external" })).toBe("Internet");
    expect(levelOf({ id: "1", role: "toString", locality: "on-link" })).toBe("Unknown");
  });

  it("gives each device a place of its own", () => {
    const devices = Array.from({ length: 500 }, (_, at) => ({ id: `d${at}`, role: at % 3 ? "camera" : "plc", locality: "on-link" as const }));
    const { placed, bands } = place(devices, "level");
    expect(new Set(placed.map(({ x, y }) => `${x} ${y}`)).size).toBe(500);
    expect(bands.map(({ name }) => name)).toEqual(["Control", "Field and things"]);
  });

  it("has one line for a pair that both ends have told, and none to those who are not shown", () => {
    const peer = (id: string) => ({ id, bytes_in: 1, bytes_out: 2, conversations: 1, last: "" });
    const told = [
      { id: "a", peers: [peer("b"), peer("z"), peer("a")] },
      { id: "b", peers: [peer("a")] },
    ];
    expect(linesOf(told, new Set(["a", "b"]))).toEqual([{ from: "a", to: "b", bytes: 3 }]);
  });
});

describe("a series", () => {
  it("has as many bytes as the conversations", () => {
    const volume = (bytes: number) => ({ bytes, packets: 1, payload: 0 });
    const flows = [
      { first: "2026-03-02T08:00:00Z", last: "2026-03-02T08:00:10Z", sent: volume(600), received: volume(400) },
      { first: "2026-03-02T08:00:05Z", last: "2026-03-02T08:00:05Z", sent: volume(50), received: volume(0) },
    ];
    const [times, rates] = seriesOf(flows, 4);
    const step = (times[1] as number) - (times[0] as number);
    expect(Math.round(rates.reduce((sum, rate) => sum + rate * step, 0))).toBe(1_050);
    expect(seriesOf([])).toEqual([[], []]);
  });
});

describe("words", () => {
  it("say sizes and times", () => {
    expect([0, 999, 1_234, 8_507_401, 5e12].map(size)).toEqual(["0 B", "999 B", "1.2 kB", "8.5 MB", "5 TB"]);
    const from = new Date("2026-03-02T08:10:00Z");
    expect(ago("2026-03-02T08:05:00Z", from)).toBe("5 minutes ago");
    expect(ago("2026-02-28T08:05:00Z", from)).toBe("2 days ago");
    expect(ago("nonsense", from)).toBe("nonsense");
    expect(lasted("2026-03-02T08:03:20Z", "2026-03-02T08:09:59Z")).toBe("6 min 39 s");
    expect(lasted("2026-03-02T08:03:20Z", "2026-03-02T08:03:20Z")).toBe("under 1 s");
  });
});

describe("the QR code", () => {
  it("has the quiet zone and the corners of the standard", () => {
    const { path, size } = qrPath("otpauth://totp/Pavise:ada?secret=AAAA");
    const dark = new Set(path.split("M").slice(1).map((part) => part.split("h")[0]));
    expect((size - 8 - 17) % 4).toBe(0);
    for (let at = 0; at < 4; at += 1) for (let along = 0; along < size; along += 1) expect(dark.has(`${along} ${at}`)).toBe(false);
    for (let at = 0; at < 7; at += 1) for (const [x, y] of [[4 + at, 4], [size - 11 + at, 4], [4, size - 11 + at]]) expect(dark.has(`${x} ${y}`)).toBe(true);
  });
});
