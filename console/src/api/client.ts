/** How the console speaks with the server: one client, problems as errors, and a second factor shown anew where it is wanted. */
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Problem = Schemas["Problem"];

/** A problem (RFC 9457) that the server told, or that kept it from telling anything. */
export class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail);
    this.name = "ProblemError";
  }

  is(kind: string): boolean {
    return this.problem.type === `/problems/${kind}`;
  }
}

const unreachable: Problem = {
  type: "/problems/unreachable",
  title: "The server does not answer",
  status: 503,
  detail: "It may have been restarted, or the network between is down. This page tries again by itself.",
};

/** What the client has to know of whoever is signed in; set by the session. */
export const context = {
  csrf: undefined as string | undefined,
  /** Asks for a second factor; true once it was shown. */
  stepUp: async (_why: string): Promise<boolean> => false,
  /** The session has ended. */
  signedOut: (): void => {},
};

/** The problem that an answer tells; none if all is well. */
export async function problemOf(response: Response): Promise<Problem | undefined> {
  if (response.ok || response.status === 304) return undefined;
  try {
    const told: unknown = await response.clone().json();
    if (typeof told === "object" && told !== null && "detail" in told && "type" in told) return told as Problem;
  } catch {
    // Not JSON: something between has answered.
  }
  return {
    type: "/problems/unknown",
    title: `Status ${response.status}`,
    status: response.status,
    detail: "Something between this page and the server has answered in its place. Try again, or ask whoever runs it.",
  };
}

export interface Guard {
  send: (request: Request) => Promise<Response>;
  csrf: () => string | undefined;
  stepUp: (why: string) => Promise<boolean>;
  signedOut: () => void;
}

const isSafe = (method: string) => method === "GET" || method === "HEAD";

/**
 * Sends a request with what it needs. Where the server wants a second factor anew, it is asked for once, and the request is
 * repeated with the value of the session as it is then.
 */
export async function guarded(request: Request, guard: Guard): Promise<Response> {
  const prepared = () => {
    const copy = request.clone();
    const csrf = guard.csrf();
    if (!isSafe(copy.method) && csrf) copy.headers.set("x-csrf-token", csrf);
    return copy;
  };
  let response: Response;
  try {
    response = await guard.send(prepared());
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ProblemError(unreachable);
  }
  const problem = await problemOf(response);
  // Whoever is only signing in has no session that could have ended.
  if (problem?.status === 401 && !new URL(request.url).pathname.startsWith("/api/v1/session")) guard.signedOut();
  if (problem?.type === "/problems/step-up" && (await guard.stepUp(problem.detail))) return guard.send(prepared());
  return response;
}

export const send = (request: Request) =>
  guarded(request, {
    send: (ready) => fetch(ready),
    csrf: () => context.csrf,
    stepUp: (why) => context.stepUp(why),
    signedOut: () => context.signedOut(),
  });

export const api = createClient<paths, "application/json">({ baseUrl: globalThis.location?.origin ?? "http://localhost", fetch: send });

/** What a call gave, or its problem as an error. */
export async function take<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call;
  if (response.ok) return data as T;
  const told = error as Partial<Problem> | undefined;
  if (told && typeof told === "object" && told.detail && told.type) throw new ProblemError(told as Problem);
  throw new ProblemError((await problemOf(new Response(null, { status: response.status }))) ?? unreachable);
}
