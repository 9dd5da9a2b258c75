/** Short words about what was done, said also to those who hear the page. */
import { useSyncExternalStore } from "react";

interface Toast {
  id: number;
  text: string;
  bad: boolean;
}

/** So long a word stands; what went wrong stands until it is closed. */
const STANDS_MS = 6_000;

let toasts: readonly Toast[] = [];
let next = 1;
const watching = new Set<() => void>();
const change = (now: readonly Toast[]) => {
  toasts = now;
  for (const tell of watching) tell();
};
const close = (id: number) => change(toasts.filter((toast) => toast.id !== id));

export function say(text: string, bad = false) {
  const id = next++;
  change([...toasts.slice(-3), { id, text, bad }]);
  if (!bad) setTimeout(() => close(id), STANDS_MS);
}

export const complain = (error: unknown) => say(error instanceof Error ? error.message : String(error), true);

export function Toasts() {
  const all = useSyncExternalStore(
    (tell) => {
      watching.add(tell);
      return () => {
        watching.delete(tell);
      };
    },
    () => toasts,
  );
  return (
    <div className="toasts" role="status" aria-live="polite">
      {all.map((toast) => (
        <div key={toast.id} className={toast.bad ? "toast bad" : "toast"}>
          <span>{toast.text}</span>
          <button type="button" className="quiet" onClick={() => close(toast.id)}>
            Close
          </button>
        </div>
      ))}
    </div>
  );
}
