import { describe, expect, it, vi } from "vitest";
import { guarded, ProblemError, take } from "../src/api/client";

const problem = (kind: string, status: number) =>
  new Response(JSON.stringify({ type: `/problems/${kind}`, title: "t", status, detail: `told by ${kind}` }), { status, headers: { "content-type": "application/problem+json" } });
const post = (path = "/api/v1/tokens") => new Request(`http://localhost${path}`, { method: "POST", body: '{"name":"x"}' });

/** A guard that answers with what it is given, one after the other, and remembers what was sent. */
function scripted(answers: (Response | Error)[], shown = true) {
  const sent: { csrf: string | null; body: string }[] = [];
  let csrf = "first";
  const guard = {
    send: async (request: Request) => {
      sent.push({ csrf: request.headers.get("x-csrf-token"), body: await request.text() });
      const answer = answers.shift();
      if (!answer || answer instanceof Error) throw answer ?? new Error("nothing left");
      return answer;
    },
    csrf: () => csrf,
    stepUp: vi.fn(async () => {
      csrf = "second";
      return shown;
    }),
    signedOut: vi.fn(),
  };
  return { guard, sent };
}

describe("a request", () => {
  it("shows the value of the session with changes, and not when it only reads", async () => {
    const { guard, sent } = scripted([new Response("{}"), new Response("{}")]);
    await guarded(post(), guard);
    await guarded(new Request("http://localhost/api/v1/devices"), guard);
    expect(sent.map(({ csrf }) => csrf)).toEqual(["first", null]);
  });

  it("is repeated whole, with the new value, after a second factor was shown anew", async () => {
    const { guard, sent } = scripted([problem("step-up", 403), new Response("{}", { status: 201 })]);
    const answer = await guarded(post(), guard);
    expect(answer.status).toBe(201);
    expect(guard.stepUp).toHaveBeenCalledExactlyOnceWith("told by step-up");
    expect(sent).toEqual([
      { csrf: "first", body: '{"name":"x"}' },
      { csrf: "second", body: '{"name":"x"}' },
    ]);
  });

  it("is repeated only once, and not at all when no factor was shown", async () => {
    const twice = scripted([problem("step-up", 403), problem("step-up", 403)]);
    expect((await guarded(post(), twice.guard)).status).toBe(403);
    expect(twice.guard.stepUp).toHaveBeenCalledTimes(1);
    const never = scripted([problem("step-up", 403)], false);
    expect((await guarded(post(), never.guard)).status).toBe(403);
    expect(never.sent).toHaveLength(1);
  });

  it("ends the session when the server says that there is none, but not while somebody signs in", async () => {
    const inside = scripted([problem("unauthenticated", 401)]);
    await guarded(post(), inside.guard);
    expect(inside.guard.signedOut).toHaveBeenCalledTimes(1);
    const signing = scripted([problem("unauthenticated", 401)]);
    await guarded(post("/api/v1/session/factor"), signing.guard);
    expect(signing.guard.signedOut).not.toHaveBeenCalled();
  });

  it("tells that the server does not answer", async () => {
    const { guard } = scripted([new TypeError("Failed to fetch")]);
    await expect(guarded(post(), guard)).rejects.toMatchObject({ problem: { type: "/problems/unreachable" } });
  });
});

describe("what a call gave", () => {
  it("is its data, or its problem as an error", async () => {
    expect(await take(Promise.resolve({ data: 7, response: new Response("7") }))).toBe(7);
    const told = { type: "/problems/invalid-parameter", title: "t", status: 400, detail: "column 1", at: "filter" };
    const failed = take(Promise.resolve({ error: told, response: new Response("", { status: 400 }) }));
    await expect(failed).rejects.toBeInstanceOf(ProblemError);
    await expect(failed).rejects.toMatchObject({ message: "column 1", problem: { at: "filter" } });
  });

  it("is a problem of its own where something between has answered with a page", async () => {
    const failed = take(Promise.resolve({ error: "<html>", response: new Response("<html>", { status: 502 }) }));
    await expect(failed).rejects.toMatchObject({ problem: { status: 502 } });
  });
});
