import type { Condition } from "../api/meta.ts";

/** A condition without its times: those depend on what was reported before. */
export function condition(
  type: string,
  status: Condition["status"],
  reason: string,
  message: string,
  observedGeneration: number,
): Condition {
  return { type, status, reason, message, observedGeneration };
}

/**
 * The conditions to write, with `lastTransitionTime`: that of the previous condition of the type as long as its status
 * is the same, else `now`.
 */
export function withTransitionTimes(
  conditions: readonly Condition[],
  previous: readonly Condition[],
  now: string,
): Condition[] {
  return conditions.map((next) => {
    const before = previous.find(({ type, status }) => type === next.type && status === next.status);
    return { ...next, lastTransitionTime: before?.lastTransitionTime ?? now };
  });
}

/** Joins messages about several things into one; long lists are cut, for a condition's message is limited. */
export function joinMessages(messages: readonly string[], limit = 8): string {
  const rest = messages.length - limit;
  return messages.slice(0, limit).join("; ") + (rest > 0 ? `; and ${rest} more` : "");
}
