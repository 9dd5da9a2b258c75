/** Who is signed in. */
import { type QueryClient, queryOptions, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, context, type Schemas, take } from "./client";

export type SignedIn = Schemas["SignedIn"];

export const sessionQuery = queryOptions({
  queryKey: ["session"],
  queryFn: async ({ signal }) => {
    const told = await take(api.GET("/api/v1/session", { signal }));
    context.csrf = told.user?.csrf;
    return told;
  },
  staleTime: 60_000,
});

export const useSession = () => useQuery(sessionQuery).data;

/** Takes over what signing in, enrolling or a second factor shown anew has told. */
export function entered(client: QueryClient, user: SignedIn) {
  context.csrf = user.csrf;
  client.setQueryData(sessionQuery.queryKey, (before) => ({ site: before?.site ?? "", needs_setup: false, user }));
}

/** Forgets all that was shown to whoever was signed in. */
export function left(client: QueryClient) {
  context.csrf = undefined;
  const isOther = ({ queryKey }: { queryKey: readonly unknown[] }) => queryKey[0] !== "session";
  void client.cancelQueries();
  // The session's query stays, since the frame looks at it to know that it has ended.
  client.setQueryData(sessionQuery.queryKey, (before) => ({ site: before?.site ?? "", needs_setup: false }));
  client.removeQueries({ predicate: isOther });
  client.getMutationCache().clear();
}

/** Whether somebody may do something somewhere; a second factor may still be asked for. */
export function useMay(action: string): boolean {
  const may = useSession()?.user?.may[action];
  return may === "allow" || may === "step-up";
}

export function useSignOut() {
  const client = useQueryClient();
  return async () => {
    await take(api.DELETE("/api/v1/session"));
    left(client);
  };
}
