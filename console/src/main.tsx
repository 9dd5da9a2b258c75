import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { context, ProblemError } from "./api/client";
import { left } from "./api/session";
import { applyTheme } from "./lib/theme";
import { router } from "./router";
import "./styles/base.css";
import "./styles/parts.css";
import "./styles/pages.css";

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // What the server has refused stays refused; a line that is down may come back.
      retry: (failures, error) => failures < 3 && (!(error instanceof ProblemError) || error.problem.status >= 500 || error.problem.status === 429),
      networkMode: "always",
    },
    mutations: { networkMode: "always" },
  },
});
context.signedOut = () => left(client);
applyTheme();

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </StrictMode>,
  );
}
