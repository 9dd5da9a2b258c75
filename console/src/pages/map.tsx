/** Who stands where and talks to whom: devices by level or zone. */
import { useQueries, useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useMemo } from "react";
import type { Schemas } from "../api/client";
import { deviceQuery, listDevices } from "../api/queries";
import { count, deviceName, plural, title } from "../lib/format";
import { place } from "../lib/levels";
import { useUrl } from "../lib/url";
import { FilterBar } from "../ui/filterbar";
import { TRUSTS } from "../ui/marks";
import { PageHead } from "../ui/page";
import { Empty, Failed, Loading } from "../ui/states";

const Canvas = lazy(() => import("../ui/mapcanvas"));

/** So many devices are on the map: one page. */
const DEVICES_MAX = 500;
/** Of so many of them it is asked whom they talk to: those with findings first, then those that say most. */
const ASKED_MAX = 80;

const OWN = "not locality:external";
const QUICK = [
  { name: "Yours", filter: OWN },
  { name: "With the Internet", filter: "ip:* or mac:*" },
  { name: "Quarantine", filter: "trust:quarantine" },
] as const;

/** The shapes that the drawing has for trust. */
const SHAPES = { full: <circle cx="8" cy="8" r="7" />, limited: <path d="M8 0l8 8-8 8-8-8z" />, quarantine: <path d="M1 1h14v14H1z" /> };

type Row = Schemas["DeviceRow"];

export interface Line {
  from: string;
  to: string;
  bytes: number;
}

/** Each pair once, however many of its ends were asked. */
export function linesOf(told: readonly Pick<Schemas["DeviceView"], "id" | "peers">[], shown: ReadonlySet<string>): Line[] {
  const lines = new Map<string, Line>();
  for (const { id, peers } of told) {
    for (const peer of peers) {
      if (!shown.has(peer.id) || peer.id === id) continue;
      const [from, to] = id < peer.id ? [id, peer.id] : [peer.id, id];
      lines.set(`${from} ${to}`, { from, to, bytes: peer.bytes_in + peer.bytes_out });
    }
  }
  return [...lines.values()];
}

export function NetworkMap() {
  const [search, change] = useUrl();
  const filter = search.filter ?? OWN;
  const by = search.by === "zone" ? "zone" : "level";
  const navigate = useNavigate();
  const query = useQuery({ queryKey: ["map", filter], queryFn: ({ signal }) => listDevices({ filter, sort: "-bytes", limit: DEVICES_MAX }, signal), staleTime: 60_000 });
  const rows = (query.data?.items ?? []) as Row[];
  const asked = useMemo(() => [...rows].sort((a, b) => b.findings - a.findings).slice(0, ASKED_MAX), [rows]);
  const details = useQueries({
    queries: asked.map(({ id }) => ({ ...deviceQuery(id), staleTime: 300_000 })),
    combine: (all) => ({ told: all.flatMap(({ data }) => (data ? [data] : [])), waiting: all.filter(({ isPending }) => isPending).length }),
  });
  const waiting = details.waiting;
  const lines = useMemo(
    () => (waiting > 0 ? [] : linesOf(details.told, new Set(rows.map(({ id }) => id)))),
    [waiting, details.told, rows],
  );
  const { placed, bands } = useMemo(() => place(rows, by), [rows, by]);
  const total = query.data?.total ?? 0;
  return (
    <div className="fill-page">
      <PageHead
        title="Map"
        aside={
          <label className="pick">
            <span>By</span>
            <select value={by} onChange={(event) => change({ by: event.target.value === "zone" ? "zone" : "" })}>
              <option value="level">Level, from the role</option>
              <option value="zone">Zone</option>
            </select>
          </label>
        }
      />
      <FilterBar resource="devices" value={filter} apply={(filter) => change({ filter: filter || OWN })} error={query.error} placeholder={OWN} quick={QUICK} />
      {query.isError ? (
        <Failed error={query.error} again={() => void query.refetch()} />
      ) : query.isPending ? (
        <Loading what="Looking for devices" />
      ) : rows.length === 0 ? (
        <Empty title="No device fits the filter">
          <p>The map shows at most {DEVICES_MAX} devices, by the part that each plays.</p>
        </Empty>
      ) : (
        <>
          <Suspense fallback={<Loading what="Drawing the map" />}>
            <Canvas devices={rows.map((row) => ({ id: row.id, name: deviceName(row), trust: row.trust, worst: row.findings > 0 ? (row.worst ?? undefined) : undefined }))} placed={placed} bands={bands} lines={lines} open={(id) => void navigate({ to: "/devices/$id", params: { id } })} />
          </Suspense>
          <div className="map-legend">
            {TRUSTS.map((trust) => (
              <span key={trust} className={`mark trust-${trust}`}>
                <svg viewBox="0 0 16 16" width="12" height="12" aria-hidden="true" fill="currentColor">
                  {SHAPES[trust]}
                </svg>
                {title(trust)}
              </span>
            ))}
            <span className="muted">A coloured ring: open findings</span>
            <span className="muted" role="status">
              {plural(rows.length, "device")}
              {total > rows.length ? ` of ${count(total)}: narrow the filter to see the others` : ""}
              {waiting > 0 ? `, asking whom they talk to: ${waiting} to go` : `, ${plural(lines.length, "line")}`}
              {rows.length > ASKED_MAX ? `, of the ${ASKED_MAX} with the most findings and bytes` : ""}
            </span>
            <Link to="/devices" search={{ filter } as never}>
              The same as a list
            </Link>
          </div>
        </>
      )}
    </div>
  );
}
