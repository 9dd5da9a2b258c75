/** Suggestions for expressions (`vendor:siemens and seen>24h`), from the fields that the server tells. */
import type { Schemas } from "../api/client";

export type Field = Schemas["FieldView"];

export interface Suggestion {
  /** What is put in place of what was typed. */
  insert: string;
  /** What it is. */
  about: string;
}

export interface Suggestions {
  /** What was typed stands from here… */
  from: number;
  /** …to here. */
  to: number;
  items: Suggestion[];
}

/** So many suggestions are shown. */
export const SHOWN_MAX = 8;

const SIGN: Record<string, readonly [string, string][]> = {
  level: [
    [">=", "at least"],
    [":", "exactly"],
  ],
  age: [
    ["<", "less long ago than"],
    [">", "longer ago than"],
  ],
  size: [
    [">", "more than"],
    ["<", "less than"],
  ],
  number: [
    [":", "is"],
    [">", "more than"],
  ],
};

const EXAMPLES: Record<string, readonly string[]> = { age: ["1h", "24h", "7d", "30d"], size: ["10KB", "1MB", "100MB", "1GB"] };

/** Text as the language takes it: as it stands if it is plain, or else in quotation marks (`\"`, `\\` and `\*`). */
export function quoted(text: string): string {
  const isWord = /^[\p{L}\p{N}_.\-/]+$/u.test(text) && !/^(and|or|not)$/i.test(text);
  return isWord ? text : `"${text.replace(/[\\"*]/g, "\\$&")}"`;
}

/** Where the word begins in which the caret stands; none within quotation marks that are not closed. */
function wordAt(text: string, caret: number): number | undefined {
  let start = 0;
  let isQuoted = false;
  for (let at = 0; at < caret; at += 1) {
    const char = text[at];
    if (isQuoted && char === "\\") at += 1;
    else if (char === '"') isQuoted = !isQuoted;
    else if (!isQuoted && (char === " " || char === "(" || char === ")")) start = at + 1;
  }
  return isQuoted ? undefined : start;
}

const known = (fields: readonly Field[], name: string) =>
  fields.find((field) => field.name === name || field.aliases.includes(name));

/** What could stand where the caret is. `values` are those that are known of some fields. */
export function suggest(
  text: string,
  caret: number,
  fields: readonly Field[],
  values: Readonly<Record<string, readonly string[]>> = {},
): Suggestions {
  const from = wordAt(text, caret);
  if (from === undefined) return { from: caret, to: caret, items: [] };
  const rest = /^[^\s()]*/.exec(text.slice(caret))?.[0].length ?? 0;
  const to = caret + rest;
  const word = text.slice(from, caret);
  const sign = /^([a-z-]+)(:|!=|>=|<=|=|>|<)(.*)$/i.exec(word);
  if (sign) {
    const [, name = "", operator = "", typed = ""] = sign;
    const field = known(fields, name.toLowerCase());
    if (!field) return { from, to, items: [] };
    const all = field.words?.length ? field.words : (values[field.name] ?? EXAMPLES[field.kind] ?? []);
    const fitting = all.filter((value) => value.toLowerCase().startsWith(typed.toLowerCase()) && value !== typed);
    return { from, to, items: fitting.slice(0, SHOWN_MAX).map((value) => ({ insert: `${name}${operator}${quoted(value)}`, about: field.about })) };
  }
  const typed = word.toLowerCase();
  const starts = fields.filter((field) => field.name.startsWith(typed) || field.aliases.some((alias) => alias.startsWith(typed)));
  const holds = typed ? fields.filter((field) => !starts.includes(field) && field.name.includes(typed)) : [];
  const items = [...starts, ...holds].flatMap((field) => {
    const [[operator]] = (SIGN[field.kind] ?? [[":", "holds"]]) as [[string, string]];
    return [{ insert: `${field.name}${operator}`, about: field.about }];
  });
  const before = text.slice(0, from).trim();
  if (before && !/(^|[\s(])(and|or|not)$/i.test(before) && !before.endsWith("(")) {
    for (const joint of ["and", "or", "not"]) {
      if (joint.startsWith(typed)) items.push({ insert: `${joint} `, about: joint === "and" ? "both" : joint === "or" ? "either" : "what does not fit" });
    }
  }
  return { from, to, items: items.slice(0, SHOWN_MAX) };
}

/** The text and the caret after a suggestion was taken. */
export function taken(text: string, found: Suggestions, chosen: Suggestion): { text: string; caret: number } {
  const head = text.slice(0, found.from) + chosen.insert;
  const tail = text.slice(found.to);
  // What ends with a sign goes on; anything else is complete.
  const isComplete = !/[:<>= ]$/.test(chosen.insert);
  const gap = isComplete && !tail.startsWith(" ") ? " " : "";
  return { text: head + gap + tail, caret: head.length + gap.length };
}

/** Where in the text a problem is, if its detail says so: `column 7: …`, counted from 1. */
export function columnOf(detail: string): number | undefined {
  const found = /^column (\d+):/.exec(detail);
  return found ? Number(found[1]) : undefined;
}
