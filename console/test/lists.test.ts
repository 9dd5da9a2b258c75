import { describe, expect, it } from "vitest";
import { nextCursor, rowsOf } from "../src/lib/pages";
import { readViews, VIEWS_MAX, withView } from "../src/lib/saved";
import { placeBack, parseSearch, writeSearch } from "../src/lib/url";
import { turned } from "../src/pages/devices";

describe("pages", () => {
  it("go on by the cursor of the last one, end without one, and do not go round", () => {
    expect(nextCursor({ items: [], next: "b" }, [undefined, "a"])).toBe("b");
    expect(nextCursor({ items: [] }, [undefined])).toBeUndefined();
    expect(nextCursor({ items: [], next: null }, [undefined])).toBeUndefined();
    expect(nextCursor({ items: [], next: "a" }, [undefined, "a"])).toBeUndefined();
  });

  it("have each row once, in the order in which it came first", () => {
    const pages = [{ items: [{ id: "1" }, { id: "2" }] }, { items: [{ id: "2" }, { id: "3" }] }];
    expect(rowsOf(pages, ({ id }) => id).map(({ id }) => id)).toEqual(["1", "2", "3"]);
  });
});

describe("views", () => {
  const view = { name: "b", filter: "role:plc", sort: "name", columns: ["name"] };
  it("are read only where they are views", () => {
    expect(readViews(JSON.stringify([view, { name: 7 }, null, { ...view, columns: [1] }]))).toEqual([view]);
    for (const text of [null, "", "{", "7", '{"name":"x"}']) expect(readViews(text)).toEqual([]);
  });
  it("replace one of the same name, are in order, and bounded", () => {
    const all = withView(withView([view], { ...view, name: "a" }), { ...view, filter: "new" });
    expect(all.map(({ name, filter }) => [name, filter])).toEqual([
      ["a", "role:plc"],
      ["b", "new"],
    ]);
    let many = all;
    for (let at = 0; at < 40; at += 1) many = withView(many, { ...view, name: `v${at}` });
    expect(many).toHaveLength(VIEWS_MAX);
  });
});

describe("orders", () => {
  it("turn round with each click, and begin where it is wanted", () => {
    expect(turned("name", "seen")).toBe("-seen");
    expect(turned("-seen", "seen")).toBe("seen");
    expect(turned("-seen", "name")).toBe("name");
    expect(turned("name", "name")).toBe("-name");
  });
});

describe("addresses", () => {
  it("hold filters as they were written", () => {
    const search = { filter: 'name:"a b" and seen<24h & x', sort: "-seen" };
    expect(parseSearch(writeSearch(search))).toEqual(search);
    expect(writeSearch({ filter: "", sort: undefined })).toBe("");
  });
  it("lead back only to this console", () => {
    expect(placeBack("/devices?filter=x")).toBe("/devices?filter=x");
    for (const evil of [undefined, "", "//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)"]) expect(placeBack(evil)).toBe("/");
  });
});
