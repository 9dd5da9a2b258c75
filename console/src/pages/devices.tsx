/** All devices: a table that stays quick with a hundred thousand rows, since only those in sight are in the page. */
import { createColumnHelper, flexRender, getCoreRowModel, useReactTable } from "@tanstack/react-table";
import { useVirtualizer } from "@tanstack/react-virtual";
import { Link } from "@tanstack/react-router";
import { useEffect, useMemo, useRef, useState } from "react";
import type { Schemas } from "../api/client";
import { listDevices } from "../api/queries";
import { count, deviceName, size, title } from "../lib/format";
import { usePages } from "../lib/pages";
import { keepColumns, keepViews, loadColumns, loadViews, type View, withView } from "../lib/saved";
import { useUrl } from "../lib/url";
import { Field } from "../ui/code";
import { Dialog } from "../ui/dialog";
import { FilterBar } from "../ui/filterbar";
import { Severity, Trust, When } from "../ui/marks";
import { Old, PageHead } from "../ui/page";
import { Empty, Failed, Loading } from "../ui/states";

type Row = Schemas["DeviceRow"];

/** Rows of one page, the most that the server gives: few requests for many devices. */
const PAGE = 500;
const ROW_PX = 38;
/** Rows beyond the edge that are ready. */
const OVERSCAN = 12;

const QUICK = [
  { name: "Yours", filter: "not locality:external" },
  { name: "Quarantine", filter: "trust:quarantine" },
  { name: "New in the last day", filter: "first<24h and not locality:external" },
  { name: "Controllers", filter: "role:plc or role:rtu" },
  { name: "Cameras", filter: "role:camera" },
] as const;

const none = <span className="muted">–</span>;
const text = (value: string | null | undefined) => (value ? <bdi>{value}</bdi> : none);
const column = createColumnHelper<Row>();

interface Meta {
  name: string;
  /** Width in pixels; what is left goes to the first column. */
  width: number;
  sort?: string;
  right?: boolean;
}

const meta = (name: string, width: number, more: Partial<Meta> = {}): Meta => ({ name, width, ...more });

const COLUMNS = (asOf: string | undefined) => [
  column.display({
    id: "name",
    meta: meta("Device", 180, { sort: "name" }),
    cell: ({ row: { original } }) => (
      <Link to="/devices/$id" params={{ id: original.id }}>
        <bdi>{deviceName(original)}</bdi>
      </Link>
    ),
  }),
  column.display({ id: "address", meta: meta("Address", 132), cell: ({ row: { original } }) => text(original.addresses[0]) }),
  column.display({ id: "mac", meta: meta("Link-layer address", 150), cell: ({ row: { original } }) => text(original.macs[0]) }),
  column.display({ id: "role", meta: meta("Role", 112, { sort: "role" }), cell: ({ row: { original } }) => text(original.role && title(original.role)) }),
  column.display({ id: "vendor", meta: meta("Vendor", 120, { sort: "vendor" }), cell: ({ row: { original } }) => text(original.vendor) }),
  column.display({ id: "model", meta: meta("Model", 130), cell: ({ row: { original } }) => text(original.model) }),
  column.display({ id: "firmware", meta: meta("Firmware", 110), cell: ({ row: { original } }) => text(original.firmware) }),
  column.display({ id: "system", meta: meta("Operating system", 150), cell: ({ row: { original } }) => text(original.operating_system) }),
  column.display({ id: "zone", meta: meta("Zone", 120), cell: ({ row: { original } }) => text(original.zone) }),
  column.display({ id: "locality", meta: meta("Stands", 100), cell: ({ row: { original } }) => title(original.locality) }),
  column.display({ id: "protocols", meta: meta("Protocols", 200), cell: ({ row: { original } }) => text(original.protocols.join(", ")) }),
  column.display({ id: "trust", meta: meta("Trust", 128, { sort: "trust" }), cell: ({ row: { original } }) => (original.locality === "external" ? none : <Trust trust={original.trust} />) }),
  column.display({
    id: "findings",
    meta: meta("Findings", 90),
    cell: ({ row: { original } }) =>
      original.findings > 0 && original.worst ? (
        <Link to="/findings" search={{ filter: `device:${original.id} and verdict:none` } as never} className="findings-link">
          <Severity level={original.worst} bare /> {count(original.findings)}
        </Link>
      ) : (
        none
      ),
  }),
  column.display({
    id: "bytes",
    meta: meta("Bytes", 90, { sort: "bytes", right: true }),
    cell: ({ row: { original } }) => <span className="number">{size(original.bytes_in + original.bytes_out)}</span>,
  }),
  column.display({ id: "first", meta: meta("First seen", 144, { sort: "first" }), cell: ({ row: { original } }) => <When at={original.first} asOf={asOf} /> }),
  column.display({ id: "seen", meta: meta("Last seen", 144, { sort: "seen" }), cell: ({ row: { original } }) => <When at={original.last} asOf={asOf} /> }),
];

const USUAL = ["name", "address", "role", "vendor", "model", "trust", "findings", "bytes", "seen"];
/** Orders that begin at their far end, because that is what is wanted of them. */
const DOWN_FIRST = new Set(["seen", "first", "bytes", "trust"]);

/** What a click on a column's name does to the order. */
export const turned = (sort: string, by: string) =>
  sort === by ? `-${by}` : sort === `-${by}` ? by : DOWN_FIRST.has(by) ? `-${by}` : by;

export function Devices() {
  const [search, change] = useUrl();
  const filter = search.filter ?? "";
  const sort = search.sort ?? "-trust";
  const [shown, setShown] = useState(() => loadColumns(USUAL));
  const [isColumns, setColumns] = useState(false);
  const list = usePages<Row, Awaited<ReturnType<typeof listDevices>>>(
    ["devices", filter, sort],
    (cursor, signal) => listDevices({ filter, sort, cursor, limit: PAGE }, signal),
    (row) => row.id,
  );
  const total = list.first?.total;
  return (
    <div className="fill-page">
      <PageHead
        title="Devices"
        aside={
          <>
            <Views filter={filter} sort={sort} columns={shown} apply={(view) => { setShown(view.columns); keepColumns(view.columns); change({ filter: view.filter, sort: view.sort }); }} />
            <button type="button" onClick={() => setColumns(true)}>
              Columns
            </button>
          </>
        }
      />
      <FilterBar resource="devices" value={filter} apply={(filter) => change({ filter })} error={list.error} placeholder="vendor:siemens and role:plc and seen>24h" quick={QUICK} />
      {list.isError ? (
        <Failed error={list.error} again={() => void list.refetch()} />
      ) : list.isPending ? (
        <Loading what="Looking for devices" />
      ) : list.rows.length === 0 ? (
        <Empty title={filter ? "No device fits the filter" : "No device is known yet"}>
          {filter ? (
            <p>
              A word alone stands anywhere: <code>siemens</code>. A field is named with a colon: <code>role:plc</code>. Ages and sizes are compared: <code>seen&gt;7d</code>, <code>bytes&gt;1GB</code>.
            </p>
          ) : (
            <p>
              Devices appear as soon as a sensor sees what they send: <code>pavise watch</code> into the same state.
            </p>
          )}
        </Empty>
      ) : (
        <Grid list={list} shown={shown} sort={sort} turn={(by) => change({ sort: turned(sort, by) })} />
      )}
      {total !== undefined && !list.isError && (
        <p className="muted grid-foot">
          {count(list.rows.length)} of {count(total)} loaded{list.isFetchingNextPage ? "…" : ""} <Old list={list} />
        </p>
      )}
      {isColumns && (
        <Columns
          shown={shown}
          change={(columns) => {
            setShown(columns);
            keepColumns(columns);
          }}
          close={() => setColumns(false)}
        />
      )}
    </div>
  );
}

interface Listed {
  rows: Row[];
  first: { as_of: string; total: number } | undefined;
  hasNextPage: boolean;
  isFetchingNextPage: boolean;
  fetchNextPage: () => unknown;
}

function Grid({ list, shown, sort, turn }: { list: Listed; shown: readonly string[]; sort: string; turn: (by: string) => void }) {
  const asOf = list.first?.as_of;
  const columns = useMemo(() => COLUMNS(asOf), [asOf]);
  const visibility = useMemo(() => Object.fromEntries(columns.map(({ id }) => [id, shown.includes(id as string)])), [columns, shown]);
  const table = useReactTable({ data: list.rows, columns, getCoreRowModel: getCoreRowModel(), getRowId: (row) => row.id, state: { columnVisibility: visibility } });
  const scroller = useRef<HTMLDivElement>(null);
  const rows = table.getRowModel().rows;
  const virtual = useVirtualizer({ count: rows.length, getScrollElement: () => scroller.current, estimateSize: () => ROW_PX, overscan: OVERSCAN });
  const items = virtual.getVirtualItems();
  const lastInSight = items.at(-1)?.index ?? 0;
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = list;
  useEffect(() => {
    if (hasNextPage && !isFetchingNextPage && lastInSight >= rows.length - OVERSCAN * 2) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage, lastInSight, rows.length]);

  const leaves = table.getVisibleLeafColumns();
  const of = (leaf: (typeof leaves)[number]) => leaf.columnDef.meta as Meta;
  const template = leaves.map((leaf, place) => (place === 0 ? `minmax(${of(leaf).width}px, 1fr)` : `minmax(${of(leaf).width}px, ${of(leaf).width / 150}fr)`)).join(" ");
  const width = leaves.reduce((sum, leaf) => sum + of(leaf).width, 0);
  return (
    <div className="vgrid" ref={scroller} role="region" aria-label="Devices" tabIndex={0}>
      <div role="table" aria-label="Devices" aria-rowcount={list.first ? list.first.total + 1 : -1} aria-colcount={leaves.length} style={{ minInlineSize: `${width}px` }}>
        <div role="rowgroup" className="vgrid-head">
          <div role="row" className="vgrid-row" aria-rowindex={1} style={{ gridTemplateColumns: template }}>
            {leaves.map((leaf) => {
              const { name, sort: by, right } = of(leaf);
              const order = sort === by ? "ascending" : sort === `-${by}` ? "descending" : undefined;
              return (
                <div key={leaf.id} role="columnheader" aria-sort={by ? (order ?? "none") : undefined} className={right ? "right" : undefined}>
                  {by ? (
                    <button type="button" className="sorter" onClick={() => turn(by)}>
                      {name}
                      <span aria-hidden="true">{order === "ascending" ? "↑" : order === "descending" ? "↓" : ""}</span>
                    </button>
                  ) : (
                    name
                  )}
                </div>
              );
            })}
          </div>
        </div>
        <div role="rowgroup" className="vgrid-body" style={{ blockSize: `${virtual.getTotalSize()}px` }}>
          {items.map((item) => {
            const row = rows[item.index];
            if (!row) return null;
            return (
              <div key={row.id} role="row" aria-rowindex={item.index + 2} className="vgrid-row" style={{ gridTemplateColumns: template, blockSize: `${item.size}px`, transform: `translateY(${item.start}px)` }}>
                {row.getVisibleCells().map((cell) => (
                  <div key={cell.id} role="cell" className={(cell.column.columnDef.meta as Meta).right ? "right" : undefined}>
                    {flexRender(cell.column.columnDef.cell, cell.getContext())}
                  </div>
                ))}
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}

function Columns({ shown, change, close }: { shown: readonly string[]; change: (columns: string[]) => void; close: () => void }) {
  const all = COLUMNS(undefined);
  const order = all.map(({ id }) => id as string);
  return (
    <Dialog title="Columns" close={close} className="narrow">
      <div className="columns">
        {all.map(({ id, meta }) => (
          <label key={id} className="check">
            <input
              type="checkbox"
              checked={shown.includes(id as string)}
              disabled={id === "name"}
              onChange={(event) => change(order.filter((one) => (one === id ? event.target.checked : shown.includes(one))))}
            />
            <span>{(meta as Meta).name}</span>
          </label>
        ))}
      </div>
      <div className="row end">
        <button type="button" onClick={() => change(USUAL)}>
          As usual
        </button>
        <button type="button" className="primary" onClick={close}>
          Done
        </button>
      </div>
    </Dialog>
  );
}

function Views({ filter, sort, columns, apply }: { filter: string; sort: string; columns: string[]; apply: (view: View) => void }) {
  const [views, setViews] = useState(loadViews);
  const [isSaving, setSaving] = useState(false);
  const [name, setName] = useState("");
  const now = views.find((view) => view.filter === filter && view.sort === sort);
  const keep = (all: View[]) => {
    setViews(all);
    keepViews(all);
  };
  return (
    <>
      {views.length > 0 && (
        <label className="pick">
          <span>View</span>
          <select
            value={now?.name ?? ""}
            onChange={(event) => {
              const view = views.find((one) => one.name === event.target.value);
              if (view) apply(view);
            }}
          >
            <option value="">Not saved</option>
            {views.map((view) => (
              <option key={view.name} value={view.name}>
                {view.name}
              </option>
            ))}
          </select>
        </label>
      )}
      {now ? (
        <button type="button" onClick={() => keep(views.filter((view) => view !== now))}>
          Forget view
        </button>
      ) : (
        <button type="button" onClick={() => setSaving(true)}>
          Save view
        </button>
      )}
      {isSaving && (
        <Dialog title="Save this view" close={() => setSaving(false)} className="narrow">
          <p className="muted">The filter, the order and the columns, in this browser.</p>
          <form
            className="form"
            onSubmit={(event) => {
              event.preventDefault();
              keep(withView(views, { name: name.trim(), filter, sort, columns }));
              setSaving(false);
              setName("");
            }}
          >
            <Field label="Name" required maxLength={60} autoFocus value={name} onChange={(event) => setName(event.target.value)} />
            <div className="row end">
              <button type="submit" className="primary" disabled={!name.trim()}>
                Save
              </button>
            </div>
          </form>
        </Dialog>
      )}
    </>
  );
}
