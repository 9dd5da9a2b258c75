/** What the pages ask for. */
import { queryOptions } from "@tanstack/react-query";
import { api, take } from "./client";

const HOUR_MS = 3_600_000;

export const overviewQuery = queryOptions({
  queryKey: ["overview"],
  queryFn: ({ signal }) => take(api.GET("/api/v1/overview", { signal })),
});

export const fieldsQuery = queryOptions({
  queryKey: ["fields"],
  queryFn: ({ signal }) => take(api.GET("/api/v1/fields", { signal })),
  staleTime: HOUR_MS,
});

export const detectorsQuery = queryOptions({
  queryKey: ["detectors"],
  queryFn: ({ signal }) => take(api.GET("/api/v1/detectors", { signal })),
  staleTime: HOUR_MS,
});

export const zonesQuery = queryOptions({
  queryKey: ["zones"],
  queryFn: ({ signal }) => take(api.GET("/api/v1/zones", { signal })),
});

export const systemQuery = queryOptions({
  queryKey: ["system"],
  queryFn: ({ signal }) => take(api.GET("/api/v1/system", { signal })),
  refetchInterval: 30_000,
});

export const incidentQuery = (id: string) =>
  queryOptions({
    queryKey: ["incident", id],
    queryFn: ({ signal }) => take(api.GET("/api/v1/incidents/{id}", { params: { path: { id } }, signal })),
  });

export const findingQuery = (id: string) =>
  queryOptions({
    queryKey: ["finding", id],
    queryFn: ({ signal }) => take(api.GET("/api/v1/findings/{id}", { params: { path: { id } }, signal })),
  });

export const deviceQuery = (id: string) =>
  queryOptions({
    queryKey: ["device", id],
    queryFn: ({ signal }) => take(api.GET("/api/v1/devices/{id}", { params: { path: { id } }, signal })),
  });

/** What is asked of a list. */
export interface Asked {
  filter?: string;
  sort?: string;
  limit?: number;
  cursor?: string;
}

/** Without what is empty, which the server would take for something. */
const asked = (of: Asked) => ({
  ...(of.filter ? { filter: of.filter } : {}),
  ...(of.sort ? { sort: of.sort } : {}),
  ...(of.cursor ? { cursor: of.cursor } : {}),
  limit: of.limit ?? 50,
});

export const listDevices = (of: Asked, signal?: AbortSignal) =>
  take(api.GET("/api/v1/devices", { params: { query: asked(of) }, signal }));
export const listFindings = (of: Asked, signal?: AbortSignal) =>
  take(api.GET("/api/v1/findings", { params: { query: asked(of) }, signal }));
export const listIncidents = (of: Asked, signal?: AbortSignal) =>
  take(api.GET("/api/v1/incidents", { params: { query: asked(of) }, signal }));

export interface AskedFlows extends Omit<Asked, "sort"> {
  device?: string;
  since?: string;
  until?: string;
}

export const listFlows = ({ device, since, until, ...of }: AskedFlows, signal?: AbortSignal) =>
  take(
    api.GET("/api/v1/flows", {
      params: { query: { ...asked(of), ...(device ? { device } : {}), ...(since ? { since } : {}), ...(until ? { until } : {}) } },
      signal,
    }),
  );

/** Devices by their ids, at most as many as an expression may name. */
export const devicesQuery = (ids: readonly string[]) => {
  const named = [...new Set(ids)].sort().slice(0, 60);
  return queryOptions({
    queryKey: ["devices", "named", ...named],
    queryFn: ({ signal }) => listDevices({ filter: named.map((id) => `id=${id}`).join(" or "), limit: 60, sort: "-trust" }, signal),
    enabled: named.length > 0,
  });
};
