import { z } from "zod";
import { clusterMetaSchema, conditionSchema, namespacedMetaSchema } from "./meta.ts";

/*
 * What the controller makes for gateway instances, as it reads it back. Their parts are kept whole: what others change
 * in them is found by comparison.
 */

const part = z.record(z.string(), z.unknown());

/** A pod template, a selector and replicas. */
export const deploymentSchema = z.looseObject({
  apiVersion: z.literal("apps/v1"),
  kind: z.literal("Deployment"),
  metadata: namespacedMetaSchema,
  spec: part,
  status: z.looseObject({ conditions: z.array(conditionSchema).default([]) }).optional(),
});
export type Deployment = z.infer<typeof deploymentSchema>;

export const disruptionBudgetSchema = z.looseObject({
  apiVersion: z.literal("policy/v1"),
  kind: z.literal("PodDisruptionBudget"),
  metadata: namespacedMetaSchema,
  spec: part,
});
export type DisruptionBudget = z.infer<typeof disruptionBudgetSchema>;

export const serviceAccountSchema = z.looseObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("ServiceAccount"),
  metadata: namespacedMetaSchema,
});
export type ServiceAccount = z.infer<typeof serviceAccountSchema>;

const binding = { roleRef: part, subjects: z.array(part).optional() };
const rbac = z.literal("rbac.authorization.k8s.io/v1");

export const roleBindingSchema = z.looseObject({
  apiVersion: rbac,
  kind: z.literal("RoleBinding"),
  metadata: namespacedMetaSchema,
  ...binding,
});
export type RoleBinding = z.infer<typeof roleBindingSchema>;

export const clusterRoleBindingSchema = z.looseObject({
  apiVersion: rbac,
  kind: z.literal("ClusterRoleBinding"),
  metadata: clusterMetaSchema,
  ...binding,
});
export type ClusterRoleBinding = z.infer<typeof clusterRoleBindingSchema>;
