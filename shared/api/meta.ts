import { z } from "zod";
import { nameField } from "./fields.ts";

const labelsField = z.record(z.string(), z.string());

const ownerReferenceSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  name: z.string(),
  uid: z.string(),
  controller: z.boolean().optional(),
});

/** `metadata` of a namespaced object; `namespace` is "default" when the manifest names none. */
export const namespacedMetaSchema = z.looseObject({
  name: nameField,
  namespace: nameField.default("default"),
  labels: labelsField.default({}),
  annotations: labelsField.default({}),
  uid: z.string().default(""),
  resourceVersion: z.string().default(""),
  generation: z.int().default(1),
  creationTimestamp: z.string().optional(),
  /** The object is being deleted: of a pod, the time at which its grace period ends (RFC 3339). */
  deletionTimestamp: z.iso.datetime({ offset: true, error: "must be a time like 2026-01-31T12:00:00Z" }).optional(),
  ownerReferences: z.array(ownerReferenceSchema).optional(),
});

/** `metadata` of a cluster-scoped object: the namespace is "". */
export const clusterMetaSchema = namespacedMetaSchema.extend({ namespace: z.literal("").default("") });

export type ObjectMeta = z.infer<typeof namespacedMetaSchema>;

/** A condition as Kubernetes has it (metav1.Condition). */
export const conditionSchema = z.looseObject({
  type: z.string().describe("What the condition speaks of."),
  status: z.enum(["True", "False", "Unknown"]).describe("True, False or Unknown."),
  reason: z.string().default("").describe("Why, in one word, for programs."),
  message: z.string().default("").describe("Why, for people."),
  observedGeneration: z.int().optional().describe("The metadata.generation of the object that was judged."),
  lastTransitionTime: z.string().optional().describe("When the status last changed."),
});
export type Condition = z.infer<typeof conditionSchema>;

/** Label selector of `matchLabels` and `matchExpressions`. */
export const labelSelectorSchema = z.strictObject({
  matchLabels: labelsField.default({}).describe("Labels that must have these values."),
  matchExpressions: z
    .array(
      z.strictObject({
        key: z.string().describe("The label's name."),
        operator: z.enum(["In", "NotIn", "Exists", "DoesNotExist"]).describe("How the label relates to the values."),
        values: z.array(z.string()).default([]).describe("Values of In and NotIn."),
      }),
    )
    .default([])
    .describe("Requirements, all of which must be met."),
});
export type LabelSelector = z.infer<typeof labelSelectorSchema>;

type Requirement = LabelSelector["matchExpressions"][number];

function meets({ key, operator, values }: Requirement, labels: Readonly<Record<string, string>>): boolean {
  const value = labels[key];
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
  }
}

/** Whether labels satisfy a selector; the empty selector matches everything. */
export function selects(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  return (
    Object.entries(selector.matchLabels).every(([key, value]) => labels[key] === value) &&
    selector.matchExpressions.every((requirement) => meets(requirement, labels))
  );
}
