import type { KernelError } from "./kernel-error.ts";
import type { NetlinkRequest, NetlinkSocket } from "./netlink-socket.ts";

export type Action = "add" | "replace" | "delete";

/** Changes from what the kernel has to what is wanted, applied in this order: nothing is taken before its successor is there. */
export interface Plan<T> {
  readonly add: readonly T[];
  readonly replace: readonly T[];
  readonly delete: readonly T[];
}

export interface FailedChange<T> {
  readonly action: Action;
  readonly object: T;
  readonly error: KernelError;
}

/** Applies a plan in few system calls. A failed change stops no other; the failed ones are returned. */
export function applyPlan<T>(
  socket: NetlinkSocket,
  plan: Plan<T>,
  request: (action: Action, object: T) => NetlinkRequest,
): FailedChange<T>[] {
  const changes: { action: Action; object: T }[] = [
    ...plan.add.map((object) => ({ action: "add" as const, object })),
    ...plan.replace.map((object) => ({ action: "replace" as const, object })),
    ...plan.delete.map((object) => ({ action: "delete" as const, object })),
  ];
  const outcomes = socket.requestAll(changes.map(({ action, object }) => request(action, object)));
  return changes.flatMap((change, index) => {
    const error = outcomes[index];
    return error ? [{ ...change, error }] : [];
  });
}

/** Code-unit order: the same on every machine, unlike localeCompare. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
