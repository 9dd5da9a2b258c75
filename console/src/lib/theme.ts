/** Light, dark, or as the system has it. */
import { useSyncExternalStore } from "react";

export type Theme = "system" | "light" | "dark";

const KEY = "pavise.theme";
const watching = new Set<() => void>();

export const readTheme = (): Theme => {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : "system";
};

export function applyTheme(theme: Theme = readTheme()) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

export function setTheme(theme: Theme) {
  localStorage.setItem(KEY, theme);
  applyTheme(theme);
  for (const tell of watching) tell();
}

export const isDark = () =>
  document.documentElement.dataset.theme === "dark" ||
  (document.documentElement.dataset.theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);

const subscribe = (tell: () => void) => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  watching.add(tell);
  system.addEventListener("change", tell);
  return () => {
    watching.delete(tell);
    system.removeEventListener("change", tell);
  };
};

export const useTheme = () => useSyncExternalStore(subscribe, readTheme);
/** Changes with the theme, for what draws by itself. */
export const useIsDark = () => useSyncExternalStore(subscribe, isDark);
