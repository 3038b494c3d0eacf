import { isDeepStrictEqual } from "node:util";
import type { OpenApiSchema } from "#shared/api/structural-schema.fixture.ts";
import { type ApiObject, apiObjectSchema, type ManagedFieldsEntry, withMetadata } from "./api-object.ts";
import { merged, without } from "./field-merge.ts";
import {
  decodeFieldSet,
  difference,
  elementsOf,
  encodeFieldSet,
  type FieldSet,
  holdsAny,
  leavesOf,
  overlaps,
  pathText,
} from "./field-set.ts";
import { StatusError } from "./status-error.ts";

/** Who writes, by what kind of request, to which part of the object. */
export interface Writer {
  readonly manager: string;
  readonly operation: "Apply" | "Update";
  readonly apiVersion: string;
  readonly subresource?: string;
}

interface Owner {
  readonly entry: Omit<ManagedFieldsEntry, "fieldsV1">;
  readonly set: FieldSet;
}

function ownersOf(object: ApiObject | undefined): readonly Owner[] {
  return (object?.metadata.managedFields ?? []).map(({ fieldsV1, ...entry }) => ({
    entry,
    set: decodeFieldSet(fieldsV1),
  }));
}

function isWriter({ entry }: Owner, { manager, operation, subresource }: Writer): boolean {
  return entry.manager === manager && entry.operation === operation && entry.subresource === subresource;
}

/** The object with these owners; an owner of nothing is forgotten, a time changes only with its set. */
function withOwners(
  object: ApiObject,
  owners: readonly Owner[],
  before: ApiObject | undefined,
  now: string,
): ApiObject {
  const known = before?.metadata.managedFields ?? [];
  const managedFields = owners
    .filter(({ set }) => set.size > 0)
    .map(({ entry, set }): ManagedFieldsEntry => {
      const fieldsV1 = encodeFieldSet(set);
      const same = known.find(
        (one) =>
          one.manager === entry.manager &&
          one.operation === entry.operation &&
          one.subresource === entry.subresource &&
          isDeepStrictEqual(one.fieldsV1, fieldsV1),
      );
      return { ...entry, time: same?.time ?? now, fieldsV1 };
    });
  return withMetadata(object, { managedFields });
}

function entryOf({ manager, operation, apiVersion, subresource }: Writer): Owner["entry"] {
  return { manager, operation, apiVersion, fieldsType: "FieldsV1", ...(subresource ? { subresource } : {}) };
}

/** After a create, update or patch: what changed is the writer's, and nobody else's any more. */
export function afterUpdate(
  schema: OpenApiSchema,
  before: ApiObject | undefined,
  after: ApiObject,
  writer: Writer,
  now: string,
): ApiObject {
  const { changed, removed } = difference(leavesOf(schema, before ?? {}), leavesOf(schema, after));
  const owners = ownersOf(before);
  const mine = owners.find((owner) => isWriter(owner, writer))?.set ?? new Set<string>();
  const others = owners
    .filter((owner) => !isWriter(owner, writer))
    .map(({ entry, set }) => ({
      entry,
      set: new Set([...set].filter((path) => !changed.has(path) && !removed.has(path))),
    }));
  const own = new Set([...mine, ...changed].filter((path) => !removed.has(path)));
  return withOwners(after, [...others, { entry: entryOf(writer), set: own }], before, now);
}

/**
 * Server-side apply: the object with what `applied` states, without what the same manager stated before and states no
 * more, unless somebody else owns that, too.
 * @throws StatusError 409 when another manager owns a field that would change, unless `force`.
 */
export function afterApply(
  schema: OpenApiSchema,
  live: ApiObject | undefined,
  applied: ApiObject,
  writer: Writer,
  force: boolean,
  now: string,
): ApiObject {
  const wanted = leavesOf(schema, applied);
  const mine: FieldSet = new Set(wanted.keys());
  const owners = ownersOf(live);
  const previous = owners.find((owner) => isWriter(owner, writer))?.set ?? new Set<string>();
  let others = owners.filter((owner) => !isWriter(owner, writer));
  let result: unknown = merged(schema, live ?? {}, { ...applied, metadata: ownMetadata(applied) });
  const { changed } = difference(leavesOf(schema, live ?? {}), leavesOf(schema, result));
  const contested = others.flatMap(({ entry, set }) =>
    [...changed].filter((path) => overlaps(path, set)).map((path) => ({ path, entry })),
  );
  if (contested.length > 0 && !force) throw applyConflict(contested);
  const lost = new Set(contested.map(({ path }) => path));
  others = others.map(({ entry, set }) => ({
    entry,
    set: new Set([...set].filter((path) => !overlaps(path, lost))),
  }));
  const dropped = [...previous]
    .filter((path) => !holdsAny(mine, path) && !others.some(({ set }) => holdsAny(set, path)))
    // An item of a list goes as a whole, before its fields are looked at.
    .sort((a, b) => elementsOf(a).length - elementsOf(b).length);
  for (const path of dropped) result = without(schema, result, path);
  return withOwners(apiObjectSchema.parse(result), [...others, { entry: entryOf(writer), set: mine }], live, now);
}

/** Of the metadata that a client applies only this is a statement; the rest names the object. */
function ownMetadata({ metadata }: ApiObject): Partial<ApiObject["metadata"]> {
  const { labels, annotations, finalizers, ownerReferences, name, namespace } = metadata;
  return Object.fromEntries(
    Object.entries({ name, namespace, labels, annotations, finalizers, ownerReferences }).filter(
      ([, value]) => value !== undefined && value !== null,
    ),
  );
}

function applyConflict(contested: readonly { readonly path: string; readonly entry: Owner["entry"] }[]): StatusError {
  const causes = contested.map(({ path, entry }) => ({
    reason: "FieldManagerConflict",
    message: `conflict with "${entry.manager}"${entry.subresource ? ` with subresource "${entry.subresource}"` : ""} using ${entry.apiVersion}`,
    field: pathText(path),
  }));
  const fields = causes.map(({ message, field }) => `${message}: ${field}`).join(", ");
  return new StatusError(
    409,
    "Conflict",
    `Apply failed with ${causes.length} conflict${causes.length === 1 ? "" : "s"}: ${fields}`,
    { causes },
  );
}
