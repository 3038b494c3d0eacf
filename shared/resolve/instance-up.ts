import type { Pod } from "../api/core.ts";

/**
 * Whether a gateway instance's processes are up. Its Pod is Ready only when it attracts traffic of all families; one that
 * lacks just that (a router of one family is away, no service has targets) is up nevertheless. A node that is gone makes
 * a Pod not Ready, and leaves ContainersReady as it was: so the reason counts.
 */
export function isInstanceUp({ metadata, status }: Pod): boolean {
  if (metadata.deletionTimestamp !== undefined) return false;
  const conditions = status?.conditions ?? [];
  const ready = conditions.find(({ type }) => type === "Ready");
  if (ready?.status === "True") return true;
  const waits = ready?.status === "False" && ready.reason === "ReadinessGatesNotReady";
  return waits && conditions.some(({ type, status: state }) => type === "ContainersReady" && state === "True");
}
