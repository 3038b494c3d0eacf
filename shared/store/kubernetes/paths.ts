import { KINDS, type ObjectRef } from "../../api/kinds.ts";
import type { LabelSelector } from "../../api/meta.ts";
import type { Interest } from "../object-store.ts";
import type { ServedKind } from "./served-kinds.ts";

/** The path of a kind's objects: of one namespace, or of all when it is undefined. */
export function collectionPath({ kind, root }: ServedKind, namespace: string | undefined): string {
  const { namespaced, plural } = KINDS[kind];
  const within = namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  return `${root}${within}/${plural}`;
}

export function objectPath(served: ServedKind, { namespace, name }: ObjectRef, subresource?: "status"): string {
  const suffix = subresource === undefined ? "" : `/${subresource}`;
  return `${collectionPath(served, namespace)}/${encodeURIComponent(name)}${suffix}`;
}

function requirementText({ key, operator, values }: LabelSelector["matchExpressions"][number]): string {
  switch (operator) {
    case "In":
      return `${key} in (${values.join(",")})`;
    case "NotIn":
      return `${key} notin (${values.join(",")})`;
    case "Exists":
      return key;
    case "DoesNotExist":
      return `!${key}`;
  }
}

/** The selectors of an interest, as a query has them. */
export function selectorsOf({ matchLabels = {}, matchExpressions = [], nodeName }: Interest): Record<string, string> {
  const labels = [
    ...Object.entries(matchLabels).map(([label, value]) => `${label}=${value}`),
    ...matchExpressions.map(requirementText),
  ];
  return {
    ...(labels.length === 0 ? {} : { labelSelector: labels.join(",") }),
    ...(nodeName === undefined ? {} : { fieldSelector: `spec.nodeName=${nodeName}` }),
  };
}
