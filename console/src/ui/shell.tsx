/** The frame of all pages for whoever is signed in: where to go, what is live, how it looks. */
import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useLocation, useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useMemo, useRef, useState } from "react";
import { useLine, useLive } from "../api/live";
import { overviewQuery } from "../api/queries";
import { type SignedIn, sessionQuery, useMay, useSignOut } from "../api/session";
import { GOES, useShortcuts } from "../lib/shortcuts";
import { setTheme, type Theme, useTheme } from "../lib/theme";
import { Dialog } from "./dialog";
import { Palette } from "./palette";
import { Failed, Loading } from "./states";
import { complain } from "./toasts";

const Enrol = lazy(() => import("../pages/enrol"));

/** Lets in who is signed in and has a second factor, and leads anybody else to where he has to go first. */
export function Shell() {
  const session = useQuery(sessionQuery);
  const user = session.data?.user;
  const mustEnrol = user?.must_enrol ?? false;
  const [isEnrolling, setEnrolling] = useState(false);
  useEffect(() => {
    if (mustEnrol) setEnrolling(true);
  }, [mustEnrol]);
  if (session.isError) {
    return (
      <main className="alone">
        <Failed error={session.error} again={() => void session.refetch()} />
      </main>
    );
  }
  if (!session.data) return <Loading what="Opening the console" />;
  if (!user) return <ToSignIn />;
  if (mustEnrol || isEnrolling) {
    return (
      <Suspense fallback={<Loading />}>
        <Enrol done={() => setEnrolling(false)} />
      </Suspense>
    );
  }
  return <Inside user={user} site={session.data.site} />;
}

/** Leads to where one signs in, once: the place to come back to is where one was before that. */
function ToSignIn() {
  const navigate = useNavigate();
  useEffect(() => {
    const back = window.location.pathname + window.location.search;
    void navigate({ to: "/sign-in", search: { back } as never, replace: true });
  }, [navigate]);
  return <Loading what="Going to where you sign in" />;
}

function Inside({ user, site }: { user: SignedIn; site: string }) {
  useLive();
  const [isPalette, setPalette] = useState(false);
  const [isHelp, setHelp] = useState(false);
  const [isMenu, setMenu] = useState(false);
  const navigate = useNavigate();
  const path = useLocation({ select: (location) => location.pathname });
  const main = useRef<HTMLElement>(null);
  useEffect(() => setMenu(false), [path]);
  useShortcuts(
    useMemo(
      () => ({
        palette: () => setPalette((open) => !open),
        search: () => {
          const field = document.querySelector<HTMLInputElement>("[data-search]");
          if (field) {
            field.focus();
            field.select();
          } else setPalette(true);
        },
        help: () => setHelp(true),
        go: (to) => void navigate({ to: to as "/" }),
      }),
      [navigate],
    ),
  );
  return (
    <div className="shell">
      <a className="skip" href="#main" onClick={(event) => { event.preventDefault(); main.current?.focus(); }}>
        Skip to the page
      </a>
      <header className="top">
        <button type="button" className="quiet menu-button" aria-expanded={isMenu} aria-controls="nav" onClick={() => setMenu(!isMenu)}>
          Menu
        </button>
        <Link to="/" className="brand" aria-label="Pavise, overview">
          <svg viewBox="0 0 32 32" width="20" height="20" aria-hidden="true">
            <path d="M6 3h20v17c0 4-4 7-10 9-6-2-10-5-10-9z" fill="currentColor" />
            <path d="M14.5 3h3v25.3l-1.5.7-1.5-.7z" className="brand-rib" />
          </svg>
          <span>Pavise</span>
        </Link>
        {site && <span className="site"><bdi>{site}</bdi></span>}
        <button type="button" className="open-palette" onClick={() => setPalette(true)}>
          <span>Search or go to…</span>
          <kbd>Ctrl K</kbd>
        </button>
        <LineMark />
      </header>
      <Nav user={user} isOpen={isMenu} help={() => setHelp(true)} />
      <main id="main" ref={main} tabIndex={-1}>
        <Outlet />
      </main>
      {isPalette && <Palette close={() => setPalette(false)} help={() => setHelp(true)} />}
      {isHelp && <Help close={() => setHelp(false)} />}
    </div>
  );
}

function LineMark() {
  const line = useLine();
  const says = {
    live: ["Live", "Changes are shown as they happen"],
    connecting: ["Connecting", "Listening for changes"],
    polling: ["Every 15 s", "The line of events is down: what is shown is asked for every 15 seconds until it is back"],
  }[line];
  return (
    <span className={`line line-${line}`} title={says[1]} role="status">
      <span className="line-dot" aria-hidden="true" />
      {says[0]}
    </span>
  );
}

const PLACES: readonly { to: string; name: string; needs?: string }[] = [
  { to: "/", name: "Overview" },
  { to: "/incidents", name: "Incidents" },
  { to: "/findings", name: "Findings" },
  { to: "/devices", name: "Devices" },
  { to: "/explore", name: "Explore" },
  { to: "/map", name: "Map" },
];
const BEHIND: typeof PLACES = [
  { to: "/system", name: "System" },
  { to: "/detectors", name: "Detectors" },
  { to: "/users", name: "Users", needs: "manage-users" },
  { to: "/audit", name: "Audit log", needs: "view-audit-log" },
];

function Nav({ user, isOpen, help }: { user: SignedIn; isOpen: boolean; help: () => void }) {
  const overview = useQuery(overviewQuery).data;
  const mayUsers = useMay("manage-users");
  const mayAudit = useMay("view-audit-log");
  const signOut = useSignOut();
  const theme = useTheme();
  const shown = (place: (typeof PLACES)[number]) => !place.needs || (place.needs === "manage-users" ? mayUsers : mayAudit);
  const link = ({ to, name }: (typeof PLACES)[number]) => (
    <li key={to}>
      <Link to={to as "/"} activeOptions={{ exact: to === "/" }} activeProps={{ "aria-current": "page" }}>
        {name}
        {to === "/incidents" && overview && overview.incidents > 0 && (
          <span className="badge">
            {overview.incidents}
            <span className="unseen"> open</span>
          </span>
        )}
      </Link>
    </li>
  );
  return (
    <nav id="nav" className={isOpen ? "nav open" : "nav"} aria-label="Console">
      <ul>{PLACES.map(link)}</ul>
      <ul className="behind">{BEHIND.filter(shown).map(link)}</ul>
      <div className="nav-end">
        <label className="theme">
          <span>Theme</span>
          <select value={theme} onChange={(event) => setTheme(event.target.value as Theme)}>
            <option value="system">System</option>
            <option value="light">Light</option>
            <option value="dark">Dark</option>
          </select>
        </label>
        <button type="button" className="quiet" onClick={help}>
          Keyboard <kbd>?</kbd>
        </button>
        <Link to="/account" activeProps={{ "aria-current": "page" }} className="who">
          <bdi>{user.display || user.name}</bdi>
          <span className="muted">Your account</span>
        </Link>
        <button type="button" className="quiet" onClick={() => void signOut().catch(complain)}>
          Sign out
        </button>
      </div>
    </nav>
  );
}

function Help({ close }: { close: () => void }) {
  const keys: readonly [string[], string][] = [
    [["Ctrl", "K"], "Search, or go somewhere"],
    [["/"], "Search in the list that is shown"],
    [["?"], "This help"],
    ...GOES.map(({ key, name }): [string[], string] => [["g", key], name]),
    [["Esc"], "Close a dialogue, leave a field"],
  ];
  return (
    <Dialog title="Keyboard" close={close} className="narrow">
      <dl className="keys">
        {keys.map(([all, what]) => (
          <div key={what}>
            <dt>
              {all.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <p className="muted">On a Mac, Cmd does what Ctrl does elsewhere. In lists, Tab goes from row to row.</p>
    </Dialog>
  );
}
