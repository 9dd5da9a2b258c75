/** The places of the console. Each page is a file of its own that is loaded when it is first gone to. */
import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { parseSearch, writeSearch } from "./lib/url";
import { Frame } from "./ui/frame";
import { Shell } from "./ui/shell";
import { Empty, Failed, Loading } from "./ui/states";

const search = (given: Record<string, unknown>): Record<string, string | undefined> =>
  Object.fromEntries(Object.entries(given).map(([name, value]) => [name, String(value)]));

const root = createRootRoute({
  component: Frame,
  validateSearch: search,
  notFoundComponent: () => (
    <main className="alone">
      <Empty title="There is nothing here">
        <p>
          The address may be mistyped. <a href="/">Go to the overview</a>.
        </p>
      </Empty>
    </main>
  ),
});

const setup = createRoute({ getParentRoute: () => root, path: "/setup", component: lazyRouteComponent(() => import("./pages/enter"), "SetUp") });
const invitation = createRoute({
  getParentRoute: () => root,
  path: "/invitation",
  component: lazyRouteComponent(() => import("./pages/enter"), "Invitation"),
});
const signIn = createRoute({ getParentRoute: () => root, path: "/sign-in", component: lazyRouteComponent(() => import("./pages/signin"), "SignIn") });

const shell = createRoute({ getParentRoute: () => root, id: "shell", component: Shell });
const page = <P extends string>(path: P, component: ReturnType<typeof lazyRouteComponent>) =>
  createRoute({ getParentRoute: () => shell, path, component });

const pages = [
  page("/", lazyRouteComponent(() => import("./pages/overview"), "Overview")),
  page("/incidents", lazyRouteComponent(() => import("./pages/incidents"), "Incidents")),
  page("/incidents/$id", lazyRouteComponent(() => import("./pages/incident"), "Incident")),
  page("/findings", lazyRouteComponent(() => import("./pages/findings"), "Findings")),
  page("/findings/$id", lazyRouteComponent(() => import("./pages/finding"), "Finding")),
  page("/devices", lazyRouteComponent(() => import("./pages/devices"), "Devices")),
  page("/devices/$id", lazyRouteComponent(() => import("./pages/device"), "Device")),
  page("/explore", lazyRouteComponent(() => import("./pages/explore"), "Explore")),
  page("/map", lazyRouteComponent(() => import("./pages/map"), "NetworkMap")),
  page("/system", lazyRouteComponent(() => import("./pages/system"), "System")),
  page("/detectors", lazyRouteComponent(() => import("./pages/detectors"), "Detectors")),
  page("/users", lazyRouteComponent(() => import("./pages/users"), "Users")),
  page("/audit", lazyRouteComponent(() => import("./pages/audit"), "Audit")),
  page("/account", lazyRouteComponent(() => import("./pages/account"), "Account")),
] as const;

export const router = createRouter({
  routeTree: root.addChildren([setup, invitation, signIn, shell.addChildren(pages)]),
  parseSearch,
  stringifySearch: writeSearch,
  defaultPreload: "intent",
  scrollRestoration: true,
  defaultPendingComponent: () => <Loading />,
  defaultErrorComponent: ({ error, reset }) => <Failed error={error} again={reset} />,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
