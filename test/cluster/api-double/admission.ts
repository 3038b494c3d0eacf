import { z } from "zod";
import { admitted, isFields, type OpenApiSchema, validate } from "#shared/api/structural-schema.fixture.ts";
import { type ApiObject, apiObjectSchema } from "./api-object.ts";
import { type ResourceType, resourceName, schemaOf } from "./resource-type.ts";
import { invalid, notFound, StatusError } from "./status-error.ts";
import type { Storage } from "./storage.ts";

/** Defaults filled in, nothing taken away. */
function filledIn(schema: OpenApiSchema, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => filledIn(schema.items ?? {}, item));
  if (!isFields(value)) return value;
  const fields = new Map<string, unknown>();
  for (const [name, field] of Object.entries(value)) {
    if (field === null) continue;
    const of = schema.properties?.[name] ?? schema.additionalProperties;
    fields.set(name, of === undefined ? field : filledIn(of, field));
  }
  for (const [name, of] of Object.entries(schema.properties ?? {})) {
    if (of.default !== undefined && !fields.has(name)) fields.set(name, of.default);
  }
  return Object.fromEntries(fields);
}

const LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?";
const SUBDOMAIN = new RegExp(`^${LABEL}(\\.${LABEL})*$`);
const LABEL_NAME = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

function* metadataFaults({ metadata }: ApiObject): Generator<string> {
  const { name = "", labels, annotations, ownerReferences, finalizers } = metadata;
  if (name.length > 253 || !SUBDOMAIN.test(name)) yield `metadata.name: ${JSON.stringify(name)} is no DNS subdomain`;
  for (const [key, value] of Object.entries(labels ?? {})) {
    if (!LABEL_NAME.test(key)) yield `metadata.labels: ${JSON.stringify(key)} is no label's name`;
    if (!LABEL_VALUE.test(value)) yield `metadata.labels: ${JSON.stringify(value)} is no label's value`;
  }
  for (const key of Object.keys(annotations ?? {})) {
    if (!LABEL_NAME.test(key)) yield `metadata.annotations: ${JSON.stringify(key)} is no annotation's name`;
  }
  if ((ownerReferences ?? []).filter(({ controller }) => controller === true).length > 1) {
    yield "metadata.ownerReferences: only one may be the controller";
  }
  for (const finalizer of finalizers ?? []) {
    if (!LABEL_NAME.test(finalizer)) yield `metadata.finalizers: ${JSON.stringify(finalizer)} is no finalizer's name`;
  }
}

const deploymentSchema = z.looseObject({
  spec: z.looseObject({
    selector: z.looseObject({ matchLabels: z.record(z.string(), z.string()).default({}) }),
    template: z.looseObject({
      metadata: z.looseObject({ labels: z.record(z.string(), z.string()).default({}) }),
      spec: z.looseObject({
        volumes: z.array(z.looseObject({ name: z.string() })).default([]),
        containers: z.array(z.looseObject({ volumeMounts: z.array(z.looseObject({ name: z.string() })).default([]) })),
      }),
    }),
  }),
});

/** What the API server itself says of Deployments. */
function* deploymentFaults(object: ApiObject): Generator<string> {
  const parsed = deploymentSchema.safeParse(object);
  if (!parsed.success) return yield* parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  const { selector, template } = parsed.data.spec;
  for (const [key, value] of Object.entries(selector.matchLabels)) {
    if (template.metadata.labels[key] !== value) yield "spec.template.metadata.labels: `selector` does not match";
  }
  const volumes = new Set(template.spec.volumes.map(({ name }) => name));
  for (const { name } of template.spec.containers.flatMap(({ volumeMounts }) => volumeMounts)) {
    if (!volumes.has(name)) yield `spec.template.spec.containers.volumeMounts: not found: ${JSON.stringify(name)}`;
  }
}

/**
 * What is stored of an object that is written: unknown fields pruned, defaults filled in, schema and rules checked.
 * @throws StatusError 422.
 */
export function admit(type: ResourceType, version: string, object: ApiObject): ApiObject {
  const schema = schemaOf(type, version);
  const what = `${type.kind}.${type.group} ${JSON.stringify(object.metadata.name ?? "")}`;
  const faults = [
    ...metadataFaults(object),
    ...(resourceName(type) === "deployments.apps" ? deploymentFaults(object) : []),
  ];
  if (type.keepsUnknown) {
    const filled = filledIn(schema, object);
    faults.push(...validate(schema, filled, ""));
    if (faults.length > 0) throw invalid(what, faults);
    return apiObjectSchema.parse(filled);
  }
  // What stands in `metadata` is checked by the API server itself, not by the definition's schema.
  const { apiVersion: _, kind: __, metadata: ___, ...body } = object;
  const known = {
    ...schema,
    required: (schema.required ?? []).filter((name) => Object.hasOwn(body, name) || name === "spec"),
  };
  const verdict = admitted(known, body);
  faults.push(...verdict.faults, ...verdict.broken);
  if (faults.length > 0) throw invalid(what, faults);
  const { apiVersion, kind, metadata } = object;
  return apiObjectSchema.parse({ apiVersion, kind, metadata, ...(isFields(verdict.object) ? verdict.object : {}) });
}

/** @throws StatusError when the namespace does not exist or goes away. */
export function admitNamespace(storage: Storage, type: ResourceType, namespace: string, name: string): void {
  if (!type.namespaced) return;
  const found = storage.get("namespaces", "", namespace);
  if (found === undefined) throw notFound(`namespaces ${JSON.stringify(namespace)}`);
  if (found.metadata.deletionTimestamp === undefined) return;
  throw new StatusError(
    403,
    "Forbidden",
    `${resourceName(type)} ${JSON.stringify(name)} is forbidden: unable to create new content in namespace ${namespace} because it is being terminated`,
    { causes: [{ reason: "NamespaceTerminating", message: "namespace is being terminated" }] },
  );
}
