/** One field from which everything can be reached: pages, devices, findings, incidents. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useId, useMemo, useRef, useState } from "react";
import { listDevices, listFindings, listIncidents } from "../api/queries";
import { useMay, useSignOut } from "../api/session";
import { quoted } from "../lib/filter";
import { deviceName, title, words } from "../lib/format";
import { GOES } from "../lib/shortcuts";
import { setTheme } from "../lib/theme";
import { Dialog } from "./dialog";
import { complain } from "./toasts";

interface Item {
  key: string;
  group: string;
  name: string;
  beside?: string;
  run: () => void;
}

/** So many of each kind are shown. */
const EACH = 5;
/** Nothing is asked while somebody types faster than this. */
const TYPING_MS = 180;

function useSettled(text: string) {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}

function useFound(text: string) {
  return useQuery({
    queryKey: ["search", text],
    enabled: text.length >= 2,
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => {
      const filter = quoted(text);
      const [devices, findings, incidents] = await Promise.all([
        listDevices({ filter, limit: EACH, sort: "-seen" }, signal),
        listFindings({ filter, limit: EACH, sort: "-severity" }, signal),
        listIncidents({ filter, limit: EACH, sort: "-severity" }, signal),
      ]);
      return { devices: devices.items, findings: findings.items, incidents: incidents.items };
    },
  });
}

export function Palette({ close, help }: { close: () => void; help: () => void }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const id = useId();
  const list = useRef<HTMLUListElement>(null);
  const navigate = useNavigate();
  const signOut = useSignOut();
  const mayUsers = useMay("manage-users");
  const mayAudit = useMay("view-audit-log");
  const settled = useSettled(text.trim());
  const found = useFound(settled);

  const items = useMemo(() => {
    const go = (to: string) => () => void navigate({ to: to as "/" });
    const commands: Item[] = [
      ...GOES.map(({ to, name, key }) => ({ key: to, group: "Go to", name, beside: `g ${key}`, run: go(to) })),
      { key: "/detectors", group: "Go to", name: "Detectors", run: go("/detectors") },
      ...(mayUsers ? [{ key: "/users", group: "Go to", name: "Users", run: go("/users") }] : []),
      ...(mayAudit ? [{ key: "/audit", group: "Go to", name: "Audit log", run: go("/audit") }] : []),
      { key: "light", group: "Do", name: "Use the light theme", run: () => setTheme("light") },
      { key: "dark", group: "Do", name: "Use the dark theme", run: () => setTheme("dark") },
      { key: "system", group: "Do", name: "Use the theme of the system", run: () => setTheme("system") },
      { key: "help", group: "Do", name: "Show the keys", beside: "?", run: help },
      { key: "out", group: "Do", name: "Sign out", run: () => void signOut().catch(complain) },
    ];
    const wanted = text.trim().toLowerCase();
    const out = commands.filter(({ name }) => name.toLowerCase().includes(wanted));
    if (wanted.length >= 2 && found.data) {
      for (const one of found.data.incidents) out.push({ key: one.id, group: "Incidents", name: one.title, beside: title(one.severity), run: go(`/incidents/${one.id}`) });
      for (const one of found.data.findings) out.push({ key: one.id, group: "Findings", name: one.summary, beside: title(one.severity), run: go(`/findings/${one.id}`) });
      for (const one of found.data.devices) {
        const beside = [one.role && words(one.role), one.vendor, one.addresses[0]].filter(Boolean).join(", ");
        out.push({ key: one.id, group: "Devices", name: deviceName(one), beside, run: go(`/devices/${one.id}`) });
      }
    }
    if (wanted) out.push({ key: "all", group: "Search", name: `Devices with “${text.trim()}”`, run: () => void navigate({ to: "/devices", search: { filter: quoted(text.trim()) } as never }) });
    return out;
  }, [text, found.data, navigate, mayUsers, mayAudit, help, signOut]);

  useEffect(() => setAt(0), [text]);
  useEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }, [at]);
  const run = (item: Item | undefined) => {
    if (!item) return;
    close();
    item.run();
  };
  const onKeyDown = (event: React.KeyboardEvent) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      setAt((before) => (items.length ? (before + step + items.length) % items.length : 0));
    } else if (event.key === "Enter") {
      event.preventDefault();
      run(items[at]);
    }
  };
  return (
    <Dialog title="Search or go to" close={close} className="palette">
      <input
        type="text"
        role="combobox"
        aria-label="Search or go to"
        aria-expanded="true"
        aria-controls={`${id}-list`}
        aria-activedescendant={items[at] ? `${id}-${at}` : undefined}
        aria-autocomplete="list"
        autoComplete="off"
        spellCheck={false}
        maxLength={200}
        placeholder="A page, a device, an address, a finding"
        value={text}
        autoFocus
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
      />
      <ul id={`${id}-list`} ref={list} role="listbox" aria-label="What was found" className="palette-list">
        {items.map((item, place) => (
          <li
            key={`${item.group} ${item.key}`}
            id={`${id}-${place}`}
            role="option"
            aria-selected={place === at}
            data-group={item.group !== items[place - 1]?.group ? item.group : undefined}
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => run(item)}
          >
            <bdi className="palette-name">{item.name}</bdi>
            {item.beside && <span className="muted">{item.beside}</span>}
          </li>
        ))}
      </ul>
      <p className="unseen" role="status">
        {items.length} found
      </p>
    </Dialog>
  );
}
