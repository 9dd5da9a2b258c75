/** What is around every page, signed in or not. */
import { Outlet } from "@tanstack/react-router";
import { StepUp } from "./stepup";
import { Toasts } from "./toasts";

export function Frame() {
  return (
    <>
      <Outlet />
      <StepUp />
      <Toasts />
    </>
  );
}
