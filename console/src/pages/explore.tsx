/** Conversations: what was said between whom, when, and how much. */
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { lazy, Suspense, useMemo } from "react";
import { deviceQuery, listFlows, overviewQuery } from "../api/queries";
import { count, deviceName, moment, plural, size } from "../lib/format";
import { nextCursor } from "../lib/pages";
import { seriesOf } from "../lib/series";
import { useUrl } from "../lib/url";
import { FilterBar } from "../ui/filterbar";
import { FlowTable } from "../ui/flowtable";
import { PageHead, Panel } from "../ui/page";
import { Empty, Failed, Loading } from "../ui/states";

const Series = lazy(() => import("../ui/series"));

const QUICK = [
  { name: "Refused or unanswered", filter: "state:refused or state:syn-sent" },
  { name: "Large", filter: "bytes>1MB" },
  { name: "Remote control", filter: "protocol:telnet or protocol:ssh or protocol:rdp or protocol:vnc" },
  { name: "Industrial", filter: "protocol:modbus or protocol:s7comm or protocol:enip or protocol:dnp3 or protocol:iec104 or protocol:opcua" },
] as const;

const RANGES = [
  ["", "All that is kept"],
  ["3600", "The last hour"],
  ["86400", "The last day"],
  ["604800", "The last week"],
] as const;

/** A moment as a field for local times takes it. */
const local = (text: string | undefined) => {
  if (!text) return "";
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return "";
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
};
const rfc3339 = (text: string) => {
  const at = new Date(text);
  return text && !Number.isNaN(at.getTime()) ? at.toISOString() : "";
};

export function Explore() {
  const [search, change] = useUrl();
  const { filter = "", device, since, until } = search;
  const list = useInfiniteQuery({
    queryKey: ["flows", filter, device, since, until],
    queryFn: ({ pageParam, signal }) => listFlows({ filter, device, since, until, cursor: pageParam, limit: 100 }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last, _all, _at, cursors) => nextCursor(last, cursors),
    placeholderData: keepPreviousData,
  });
  const rows = useMemo(() => list.data?.pages.flatMap((page) => page.items) ?? [], [list.data]);
  const looked = list.data?.pages.reduce((sum, page) => sum + page.looked_at, 0) ?? 0;
  return (
    <>
      <PageHead title="Explore">
        <p className="muted lead-in">Conversations, the latest first.</p>
      </PageHead>
      <FilterBar resource="flows" value={filter} apply={(filter) => change({ filter })} error={list.error} placeholder="protocol:modbus and bytes>1MB" quick={QUICK} />
      <Range since={since} until={until} device={device} change={change} />
      {list.isError ? (
        <Failed error={list.error} again={() => void list.refetch()} />
      ) : list.isPending ? (
        <Loading what="Looking through conversations" />
      ) : (
        <>
          {rows.length > 1 && <Volume rows={rows} choose={(from, to) => change({ since: from.toISOString(), until: to.toISOString() })} />}
          {rows.length === 0 ? (
            <Empty title={list.hasNextPage ? "Nothing fits among those that were looked at" : "No conversation fits"}>
              {list.hasNextPage ? <p>There are more: go on looking below.</p> : <p>Widen the time range, or take a condition away. Old conversations go when the room for them is used up.</p>}
            </Empty>
          ) : (
            <Panel title="Conversations" aside={<span className="muted">{size(rows.reduce((sum, flow) => sum + flow.sent.bytes + flow.received.bytes, 0))} in those shown</span>}>
              <FlowTable rows={rows} />
            </Panel>
          )}
          <footer className="more">
            <span className="muted" role="status">
              {plural(rows.length, "conversation")} shown, {count(looked)} looked at
            </span>
            {list.hasNextPage && (
              <button type="button" disabled={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
                {list.isFetchingNextPage ? "Looking…" : "Look further back"}
              </button>
            )}
          </footer>
        </>
      )}
    </>
  );
}

function Volume({ rows, choose }: { rows: Parameters<typeof seriesOf>[0]; choose: (from: Date, to: Date) => void }) {
  const data = useMemo(() => seriesOf(rows), [rows]);
  return (
    <Panel title="Bytes a second, of the conversations shown" aside={<span className="muted">Drag to choose a time range</span>}>
      <Suspense fallback={<div className="series" />}>
        <Series data={data} label="Bytes a second over time; the numbers stand in the table below" choose={choose} />
      </Suspense>
    </Panel>
  );
}

function Range({ since, until, device, change }: { since?: string; until?: string; device?: string; change: (parts: Record<string, string>) => void }) {
  const asOf = useQuery(overviewQuery).data?.as_of;
  const of = useQuery({ ...deviceQuery(device ?? ""), enabled: Boolean(device) }).data;
  const from = (seconds: string) => (asOf && seconds ? new Date(new Date(asOf).getTime() - Number(seconds) * 1_000).toISOString() : "");
  const isPreset = !until && (!since || RANGES.some(([seconds]) => seconds && from(seconds) === since));
  const preset = RANGES.find(([seconds]) => seconds && from(seconds) === since)?.[0] ?? "";
  return (
    <div className="range">
      <label className="pick">
        <span>Time</span>
        <select value={isPreset ? preset : "own"} onChange={(event) => event.target.value !== "own" && change({ since: from(event.target.value), until: "" })}>
          {RANGES.map(([seconds, name]) => (
            <option key={seconds} value={seconds}>
              {name}
            </option>
          ))}
          {!isPreset && <option value="own">As set beside</option>}
        </select>
      </label>
      <label className="pick">
        <span>Since</span>
        <input type="datetime-local" step="1" value={local(since)} onChange={(event) => change({ since: rfc3339(event.target.value) })} />
      </label>
      <label className="pick">
        <span>Until</span>
        <input type="datetime-local" step="1" value={local(until)} onChange={(event) => change({ until: rfc3339(event.target.value) })} />
      </label>
      {device && (
        <span className="tag of">
          Of{" "}
          <Link to="/devices/$id" params={{ id: device }}>
            <bdi>{of ? deviceName(of) : device}</bdi>
          </Link>
          <button type="button" className="quiet" aria-label="Of all devices" onClick={() => change({ device: "" })}>
            ×
          </button>
        </span>
      )}
      {asOf && <span className="muted small">The latest packet is of {moment(asOf)}</span>}
    </div>
  );
}
