import type { DiscoveryDomain } from "#shared/api/discovery-domain.ts";
import type { Condition } from "#shared/api/meta.ts";
import { condition } from "#shared/resolve/conditions.ts";
import type { DomainObserver } from "./domain-observer.ts";

type Entry = NonNullable<DiscoveryDomain["status"]>["instances"][number];

/** metav1.Condition allows 32,768. */
const MOST_CHARACTERS = 32_000;

/** The observer's numbers in its relay's entry; nothing while nothing is observed. */
export function observerEntry(
  observer: DomainObserver | undefined,
): Partial<Pick<Entry, "topics" | "writers" | "readers" | "matches" | "mismatches">> {
  const { summary } = observer?.status() ?? {};
  if (summary === undefined) return {};
  const { topics, writers, readers, matches, mismatches } = summary;
  return { topics, writers, readers, matches, mismatches };
}

/** Whether all that should exchange data do; nothing while nothing is observed. */
export function observerCondition(observer: DomainObserver | undefined, generation: number): readonly Condition[] {
  const { summary } = observer?.status() ?? {};
  if (summary === undefined) return [];
  const { examples, matches, mismatches } = summary;
  if (mismatches === 0) {
    const message = `${matches} pairs of writers and readers match`;
    return [condition("EndpointsMatch", "True", "NoMismatch", message, generation)];
  }
  const rest = mismatches - examples.length;
  const text = examples.join("; ") + (rest > 0 ? `; and ${rest} more: causeway discovery graph` : "");
  return [condition("EndpointsMatch", "False", "Mismatch", text.slice(0, MOST_CHARACTERS), generation)];
}
