/** How much was said when: conversations as a dense series. */
import type { Schemas } from "../api/client";

type Flow = Pick<Schemas["FlowView"], "first" | "last" | "sent" | "received">;

/** So many points a series has at most. */
export const POINTS_MAX = 240;

/** Seconds since 1970, and bytes a second both ways between each and the next. Bytes are spread evenly over a conversation. */
export function seriesOf(flows: readonly Flow[], points = POINTS_MAX): [number[], number[]] {
  const spans = flows.map((flow) => ({
    from: new Date(flow.first).getTime() / 1_000,
    to: new Date(flow.last).getTime() / 1_000,
    bytes: flow.sent.bytes + flow.received.bytes,
  }));
  if (spans.length === 0) return [[], []];
  const begin = Math.min(...spans.map(({ from }) => from));
  const end = Math.max(...spans.map(({ to }) => to));
  const step = Math.max(1, Math.ceil((end - begin) / points));
  const size = Math.floor((end - begin) / step) + 1;
  const times = Array.from({ length: size }, (_, at) => begin + at * step);
  const bytes = new Array<number>(size).fill(0);
  for (const span of spans) {
    const [from, to] = [Math.floor((span.from - begin) / step), Math.floor((span.to - begin) / step)];
    const length = span.to - span.from;
    for (let at = from; at <= to; at += 1) {
      const overlap = Math.min(span.to, begin + (at + 1) * step) - Math.max(span.from, begin + at * step);
      bytes[at] = (bytes[at] ?? 0) + (length > 0 ? (span.bytes * overlap) / length : span.bytes);
    }
  }
  return [times, bytes.map((all) => all / step)];
}
