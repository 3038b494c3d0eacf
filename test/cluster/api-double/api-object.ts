import { z } from "zod";

/* What every object of the API has, as far as the API server itself looks at it. */

const ownerReferenceSchema = z.looseObject({
  apiVersion: z.string().min(1),
  kind: z.string().min(1),
  name: z.string().min(1),
  uid: z.string().min(1),
  controller: z.boolean().optional(),
  blockOwnerDeletion: z.boolean().optional(),
});

const managedFieldsEntrySchema = z.object({
  manager: z.string(),
  operation: z.enum(["Apply", "Update"]),
  apiVersion: z.string(),
  time: z.string().optional(),
  fieldsType: z.literal("FieldsV1"),
  fieldsV1: z.record(z.string(), z.unknown()),
  subresource: z.string().optional(),
});
export type ManagedFieldsEntry = z.infer<typeof managedFieldsEntrySchema>;

const metadataSchema = z.object({
  name: z.string().optional(),
  generateName: z.string().optional(),
  namespace: z.string().optional(),
  uid: z.string().optional(),
  resourceVersion: z.string().optional(),
  generation: z.int().optional(),
  creationTimestamp: z.string().nullish(),
  deletionTimestamp: z.string().optional(),
  deletionGracePeriodSeconds: z.int().optional(),
  labels: z.record(z.string(), z.string()).nullish(),
  annotations: z.record(z.string(), z.string()).nullish(),
  finalizers: z.array(z.string()).nullish(),
  ownerReferences: z.array(ownerReferenceSchema).nullish(),
  managedFields: z.array(managedFieldsEntrySchema).nullish(),
});
export type Metadata = z.infer<typeof metadataSchema>;

/** An object as a client sends it. */
export const apiObjectSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: metadataSchema.default({}),
});
export type ApiObject = z.infer<typeof apiObjectSchema>;
export type OwnerReference = z.infer<typeof ownerReferenceSchema>;

/** The object with some of its metadata replaced; what is undefined goes. */
export function withMetadata(object: ApiObject, change: Partial<Metadata>): ApiObject {
  const metadata = Object.fromEntries(
    Object.entries({ ...object.metadata, ...change }).filter(([, value]) => value !== undefined),
  );
  return { ...object, metadata: metadataSchema.parse(metadata) };
}
