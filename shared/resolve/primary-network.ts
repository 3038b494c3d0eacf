import type { Intent, Leg } from "./intent-types.ts";

/**
 * Network and interface of legs that reach an ordinary Service's targets: the network that every pod has (decision 024). No
 * interface can be called so, and no service network, whose names have a slash.
 */
export const PRIMARY_NETWORK = "primary network";

/** Whether packets of the leg are handed to the stack, which tracks them, instead of to a neighbour. */
export const isPrimary = ({ network }: Pick<Leg, "network">): boolean => network === PRIMARY_NETWORK;

/** Whether a Gateway's instances have to track connections at all. */
export function tracksConnections({ legs }: Intent): boolean {
  return legs.values().some(isPrimary);
}
