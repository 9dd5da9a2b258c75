import { describe, expect, it } from "vitest";
import { columnOf, type Field, quoted, suggest, taken } from "../src/lib/filter";

const FIELDS: Field[] = [
  { name: "role", aliases: [], kind: "text", about: "the parts it plays" },
  { name: "main-role", aliases: [], kind: "text", about: "the part it plays before all others" },
  { name: "seen", aliases: ["last"], kind: "age", about: "when it was last seen" },
  { name: "bytes", aliases: [], kind: "size", about: "bytes" },
  { name: "severity", aliases: [], kind: "level", about: "how bad", words: ["info", "low", "medium", "high", "critical"] },
];
const inserts = (text: string, caret = text.length, values = {}) => suggest(text, caret, FIELDS, values).items.map(({ insert }) => insert);

describe("suggestions", () => {
  it("are fields by their beginning first, then by what stands within, and by their other names", () => {
    expect(inserts("ro")).toEqual(["role:", "main-role:"]);
    expect(inserts("la")).toEqual(["seen<"]);
    expect(inserts("")).toEqual(["role:", "main-role:", "seen<", "bytes>", "severity>="]);
  });

  it("are values after a sign: words of a level, examples of ages, and what is known", () => {
    expect(inserts("severity>=h")).toEqual(["severity>=high"]);
    expect(inserts("seen<")).toEqual(["seen<1h", "seen<24h", "seen<7d", "seen<30d"]);
    expect(inserts("role:", 5, { role: ["plc", "smart device"] })).toEqual(["role:plc", 'role:"smart device"']);
    expect(inserts("nothing:x")).toEqual([]);
  });

  it("are for the word in which the caret stands", () => {
    const found = suggest("(ro and seen<24h", 3, FIELDS);
    expect([found.from, found.to]).toEqual([1, 3]);
    expect(taken("(ro and seen<24h", found, { insert: "role:", about: "" })).toEqual({ text: "(role: and seen<24h", caret: 6 });
  });

  it("are joints only where something stands before", () => {
    expect(inserts("role:plc a")).toContain("and ");
    expect(inserts("a")).not.toContain("and ");
    expect(inserts("role:plc and a")).not.toContain("and ");
  });

  it("are none within quotation marks", () => {
    expect(inserts('name:"se')).toEqual([]);
    expect(inserts('name:"a\\" se')).toEqual([]);
    expect(inserts('name:"se" s')).toContain("seen<");
  });

  it("leave the caret behind what is complete, and at the sign of what goes on", () => {
    expect(taken("seen<2", suggest("seen<2", 6, FIELDS), { insert: "seen<24h", about: "" })).toEqual({ text: "seen<24h ", caret: 9 });
    expect(taken("se", suggest("se", 2, FIELDS), { insert: "seen<", about: "" })).toEqual({ text: "seen<", caret: 5 });
  });
});

describe("text in an expression", () => {
  it("stands in quotation marks where it would mean something else", () => {
    expect(["plc", "10.0.0.1", "and", "front door", 'say "hi"', "a*", "fe80::1", "back\\slash"].map(quoted)).toEqual([
      "plc",
      "10.0.0.1",
      '"and"',
      '"front door"',
      '"say \\"hi\\""',
      '"a\\*"',
      '"fe80::1"',
      '"back\\\\slash"',
    ]);
  });

  it("has a column where it is wrong, if the server says so", () => {
    expect(columnOf("column 12: found `x`")).toBe(12);
    expect(columnOf("something else in column 12: x")).toBeUndefined();
  });
});
