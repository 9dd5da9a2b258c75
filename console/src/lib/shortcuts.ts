/** Keys: single ones and pairs (`g d`), but never while somebody types or a dialogue is open. */
import { useEffect } from "react";

/** The second key of a pair comes within so long. */
const PAIR_MS = 1_200;

export const GOES: readonly { key: string; to: string; name: string }[] = [
  { key: "o", to: "/", name: "Overview" },
  { key: "i", to: "/incidents", name: "Incidents" },
  { key: "f", to: "/findings", name: "Findings" },
  { key: "d", to: "/devices", name: "Devices" },
  { key: "e", to: "/explore", name: "Explore" },
  { key: "m", to: "/map", name: "Map" },
  { key: "s", to: "/system", name: "System" },
  { key: "a", to: "/account", name: "Your account" },
];

export const isTyping = (target: EventTarget | null) =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

export interface Keys {
  palette: () => void;
  search: () => void;
  help: () => void;
  go: (to: string) => void;
}

export function useShortcuts(keys: Keys) {
  useEffect(() => {
    let pair = 0;
    const onKey = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
        event.preventDefault();
        keys.palette();
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]")) return;
      if (event.timeStamp - pair < PAIR_MS) {
        pair = 0;
        const goes = GOES.find(({ key }) => key === event.key);
        if (goes) {
          event.preventDefault();
          keys.go(goes.to);
        }
        return;
      }
      if (event.key === "g") pair = event.timeStamp;
      else if (event.key === "/") {
        event.preventDefault();
        keys.search();
      } else if (event.key === "?") {
        event.preventDefault();
        keys.help();
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [keys]);
}
