import { join } from "node:path";
import { expect, test } from "vitest";
import { z } from "zod";
import { DEPLOY, type DeployedManifest, nameOf, resolve } from "./manifests.ts";

/*
 * Roles reach the pods that need them: rbac.test.ts holds what is in a role against what its process asks for, whoever has it.
 */

const bindingSchema = z.looseObject({
  roleRef: z.strictObject({ apiGroup: z.string(), kind: z.string(), name: z.string() }),
  subjects: z
    .array(z.strictObject({ kind: z.literal("ServiceAccount"), name: z.string(), namespace: z.string() }))
    .min(1),
});
const podsSchema = z.looseObject({
  spec: z.looseObject({ template: z.looseObject({ spec: z.looseObject({ serviceAccountName: z.string() }) }) }),
});
const roleSchema = z.looseObject({
  rules: z.array(
    z.looseObject({
      resources: z.array(z.string()),
      verbs: z.array(z.string()),
      resourceNames: z.array(z.string()).optional(),
    }),
  ),
});

const { resources } = resolve(join(DEPLOY, "overlays/discovery"));
const bindings = resources.filter(({ kind }) => kind.endsWith("Binding"));

/** The roles that an account holds, `Kind name`; one of a RoleBinding with its namespace. */
function rolesOf(account: string): readonly string[] {
  return bindings
    .flatMap((binding) => {
      const { roleRef, subjects } = bindingSchema.parse(binding);
      const where = binding.kind === "RoleBinding" ? ` in ${binding.metadata.namespace}` : "";
      const holds = subjects.some(({ namespace, name }) => `${namespace}/${name}` === account);
      return holds ? [`${roleRef.kind} ${roleRef.name}${where}`] : [];
    })
    .sort();
}

const isWorkload = ({ kind }: DeployedManifest): boolean => kind === "Deployment" || kind === "DaemonSet";

test("every pod's account is there, and holds the roles of its process", () => {
  const accounts = resources.filter(isWorkload).map((workload) => {
    const { serviceAccountName } = podsSchema.parse(workload).spec.template.spec;
    return `${workload.metadata.namespace}/${serviceAccountName}`;
  });
  const there = resources.filter(({ kind }) => kind === "ServiceAccount").map(nameOf);
  expect(there.sort()).toEqual(accounts.map((account) => `ServiceAccount ${account}`).sort());
  expect(Object.fromEntries(accounts.map((account) => [account, rolesOf(account)]))).toEqual({
    "causeway-system/causeway-controller": [
      "ClusterRole causeway-controller",
      "Role causeway-controller in causeway-system",
    ],
    "causeway-system/causeway-discovery": ["ClusterRole causeway-discovery"],
    "causeway-system/causeway-node": ["ClusterRole causeway-node"],
  });
});

test("nobody else is bound", () => {
  const there = resources.filter(({ kind }) => kind === "ServiceAccount").map(nameOf);
  const bound = bindings.flatMap((binding) => bindingSchema.parse(binding).subjects);
  expect(bound.length).toBeGreaterThan(3);
  for (const { namespace, name } of bound) expect(there).toContain(`ServiceAccount ${namespace}/${name}`);
});

test("the controller may change its own Lease and no other; test/cluster/leader.test.ts holds that it has this name", () => {
  const role = resources.find(({ kind, metadata }) => kind === "Role" && metadata.name === "causeway-controller");
  const { rules } = roleSchema.parse(role);
  const changing = rules.filter(
    ({ resources: of, verbs }) => of.includes("leases") && !verbs.every((verb) => verb === "create"),
  );
  expect(changing.map(({ resourceNames }) => resourceNames)).toEqual([["causeway-controller"]]);
});
