import { z } from "zod";
import type { Use } from "../cluster/api-double/access.ts";
import type { DeployedManifest } from "./manifests.ts";

/*
 * Roles and what is asked, in the same words: one group, resource and verb each.
 */

const ruleSchema = z.strictObject({
  apiGroups: z.array(z.string()),
  resources: z.array(z.string()),
  verbs: z.array(z.string()),
  resourceNames: z.array(z.string()).optional(),
});
const roleSchema = z.looseObject({ rules: z.array(ruleSchema) });

/** `VERB resource.group` for each thing that a role grants. */
export function grantsOf(manifests: readonly DeployedManifest[], kind: "Role" | "ClusterRole", name: string): string[] {
  const role = manifests.find((manifest) => manifest.kind === kind && manifest.metadata.name === name);
  return roleSchema
    .parse(role)
    .rules.flatMap(({ apiGroups, resources, verbs }) =>
      apiGroups.flatMap((group) => resources.flatMap((resource) => verbs.map((verb) => text(verb, resource, group)))),
    )
    .sort();
}

/** The only objects for which a ClusterRole grants a verb. */
export function namesOf(manifests: readonly DeployedManifest[], name: string, verb: string): readonly string[] {
  const role = manifests.find((manifest) => manifest.kind === "ClusterRole" && manifest.metadata.name === name);
  const rules = roleSchema.parse(role).rules.filter(({ verbs }) => verbs.includes(verb));
  return rules.flatMap(({ resourceNames }) => resourceNames ?? ["*"]).sort();
}

export const usedBy = (use: Use): string => text(use.verb, use.resource, use.group);

function text(verb: string, resource: string, group: string): string {
  return `${verb} ${resource}${group === "" ? "" : `.${group}`}`;
}
