import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { admit, admitNamespace } from "./admission.ts";
import { type ApiObject, apiObjectSchema, withMetadata } from "./api-object.ts";
import { type DeleteOptions, Deletion } from "./deletion.ts";
import { afterApply, afterUpdate, type Writer } from "./managed-fields.ts";
import { mergePatched } from "./merge-patch.ts";
import { apiVersionOf, type ResourceType, resourceName, schemaOf } from "./resource-type.ts";
import { badRequest, conflict, notFound, StatusError } from "./status-error.ts";
import type { Storage } from "./storage.ts";

/** What a request is about. */
export interface Target {
  readonly type: ResourceType;
  readonly version: string;
  /** "" for cluster-scoped resources. */
  readonly namespace: string;
  readonly name: string;
  readonly subresource?: "status";
}

export interface WriteRequest extends Target {
  readonly fieldManager: string;
  readonly dryRun: boolean;
}

/** Create, update, patch and delete as the API server does them to one object. */
export class Registry {
  readonly #storage: Storage;
  readonly #deletion: Deletion;
  readonly #now: () => Date;

  constructor(storage: Storage, now: () => Date) {
    this.#storage = storage;
    this.#now = now;
    this.#deletion = new Deletion(storage, now);
  }

  get({ type, namespace, name, version }: Target): ApiObject {
    const found = this.#storage.get(resourceName(type), namespace, name);
    if (found === undefined) throw notFound(`${resourceName(type)} ${JSON.stringify(name)}`);
    return inVersion(type, version, found);
  }

  create(request: WriteRequest, body: ApiObject): ApiObject {
    const { type, version, namespace } = request;
    const { generateName } = body.metadata;
    const name = body.metadata.name ?? (generateName === undefined ? "" : `${generateName}${randomUUID().slice(0, 5)}`);
    if (name === "") throw badRequest("name or generateName is required");
    if (body.metadata.resourceVersion) throw badRequest("resourceVersion should not be set on objects to be created");
    admitNamespace(this.#storage, type, namespace, name);
    if (this.#storage.get(resourceName(type), namespace, name) !== undefined) {
      throw new StatusError(409, "AlreadyExists", `${resourceName(type)} ${JSON.stringify(name)} already exists`);
    }
    const asked = withMetadata(body, { name, ...(type.namespaced ? { namespace } : {}), managedFields: undefined });
    const admitted = admit(type, version, withoutStatus(type, asked));
    const owned = afterUpdate(
      schemaOf(type, version),
      undefined,
      admitted,
      this.#writer(request, "Update"),
      this.#time(),
    );
    return this.#store(request, undefined, this.#newborn(type, owned));
  }

  update(request: WriteRequest, body: ApiObject): ApiObject {
    const live = this.get(request);
    if (body.metadata.name !== request.name)
      throw badRequest("the name of the object does not match the name on the URL");
    return this.#replace(request, live, body);
  }

  /** JSON merge patch (RFC 7386). */
  mergePatch(request: WriteRequest, patch: unknown): ApiObject {
    const live = this.get(request);
    return this.#replace(request, live, apiObjectSchema.parse(mergePatched(live, patch)));
  }

  /** Server-side apply; creates what is not there, but no status of what is not there. */
  apply(
    request: WriteRequest,
    body: ApiObject,
    force: boolean,
  ): { readonly object: ApiObject; readonly created: boolean } {
    const { type, version, namespace, name, subresource } = request;
    if (body.apiVersion !== apiVersionOf(type.group, version) || body.kind !== type.kind) {
      throw badRequest("apiVersion and kind of the object must be those of the URL");
    }
    if (body.metadata.name !== undefined && body.metadata.name !== name) throw badRequest("the names differ");
    if ((body.metadata.managedFields ?? []).length > 0) throw badRequest("metadata.managedFields must be nil");
    const found = this.#storage.get(resourceName(type), namespace, name);
    if (found === undefined) {
      if (subresource !== undefined) throw notFound(`${resourceName(type)} ${JSON.stringify(name)}`);
      if (body.metadata.uid)
        throw conflict(`Precondition failed: UID in precondition: ${body.metadata.uid}, UID in object meta: `);
      if (body.metadata.resourceVersion) throw conflict("the object has been modified: it does not exist");
      admitNamespace(this.#storage, type, namespace, name);
    }
    const live = found === undefined ? undefined : inVersion(type, version, found);
    if (live !== undefined) precondition(request, live, body);
    const stated = this.#stated(request, body);
    const writer = this.#writer(request, "Apply");
    const result = afterApply(schemaOf(type, version), live, stated, writer, force, this.#time());
    const admitted = admit(type, version, result);
    if (live === undefined)
      return { object: this.#store(request, undefined, this.#newborn(type, admitted)), created: true };
    return { object: this.#finish(request, live, admitted), created: false };
  }

  delete(target: Target, options: DeleteOptions): ApiObject {
    const live = this.get(target);
    this.#deletion.delete(target.type, live, options);
    return live;
  }

  /** What a server-side apply to this part of the object can state at all. */
  #stated({ type, namespace, name, subresource }: WriteRequest, body: ApiObject): ApiObject {
    const named = withMetadata(body, { name, ...(type.namespaced ? { namespace } : {}) });
    if (subresource === undefined) return withoutStatus(type, named);
    const { apiVersion, kind } = named;
    const metadata = { name, ...(type.namespaced ? { namespace } : {}) };
    return apiObjectSchema.parse({
      apiVersion,
      kind,
      metadata,
      ...("status" in named ? { status: named.status } : {}),
    });
  }

  #replace(request: WriteRequest, live: ApiObject, body: ApiObject): ApiObject {
    const { type, version, subresource } = request;
    precondition(request, live, body);
    const named = withMetadata(body, { managedFields: undefined, ...identityOf(live) });
    const wanted =
      subresource === "status"
        ? apiObjectSchema.parse({ ...live, status: named.status })
        : apiObjectSchema.parse({ ...named, ...("status" in live && type.hasStatus ? { status: live.status } : {}) });
    const scoped =
      subresource === undefined && type.hasStatus && !("status" in live) ? withoutStatus(type, wanted) : wanted;
    const admitted = admit(type, version, scoped);
    const writer = this.#writer(request, "Update");
    return this.#finish(request, live, afterUpdate(schemaOf(type, version), live, admitted, writer, this.#time()));
  }

  #finish(request: WriteRequest, live: ApiObject, next: ApiObject): ApiObject {
    const { type } = request;
    const generation = live.metadata.generation ?? 1;
    const counted = isDeepStrictEqual(specOf(type, live), specOf(type, next)) ? generation : generation + 1;
    const object = withMetadata(next, {
      ...identityOf(live),
      ...(type.hasGeneration ? { generation: counted } : {}),
    });
    if (
      isDeepStrictEqual(
        withMetadata(object, { managedFields: undefined }),
        withMetadata(live, { managedFields: undefined }),
      )
    ) {
      // Nothing changed but, at most, who owns what.
      if (isDeepStrictEqual(object.metadata.managedFields, live.metadata.managedFields)) return live;
    }
    return this.#store(request, live, object);
  }

  #newborn(type: ResourceType, object: ApiObject): ApiObject {
    const { labels, name } = object.metadata;
    const isNamespace = resourceName(type) === "namespaces";
    const born = withMetadata(object, {
      uid: randomUUID(),
      creationTimestamp: this.#time(),
      deletionTimestamp: undefined,
      generateName: object.metadata.generateName,
      ...(isNamespace ? { labels: { ...labels, "kubernetes.io/metadata.name": name ?? "" } } : {}),
      generation: type.hasGeneration ? 1 : undefined,
    });
    if (isNamespace) return apiObjectSchema.parse({ ...born, status: { phase: "Active" } });
    return resourceName(type) === "pods" ? apiObjectSchema.parse({ ...born, status: { phase: "Pending" } }) : born;
  }

  #store({ type, version, dryRun }: WriteRequest, live: ApiObject | undefined, object: ApiObject): ApiObject {
    if (dryRun) return object;
    const stored = this.#storage.put(resourceName(type), inVersion(type, type.storageVersion, object));
    if (live?.metadata.deletionTimestamp !== undefined) this.#deletion.finish(type, stored);
    return inVersion(type, version, stored);
  }

  #writer({ type, version, fieldManager, subresource }: WriteRequest, operation: Writer["operation"]): Writer {
    const apiVersion = apiVersionOf(type.group, version);
    return { manager: fieldManager, operation, apiVersion, ...(subresource === undefined ? {} : { subresource }) };
  }

  /** Whole seconds, as metav1.Time has it. */
  #time(): string {
    return this.#now()
      .toISOString()
      .replace(/\.\d+Z$/, "Z");
  }
}

/** What no write changes. */
function identityOf({ metadata }: ApiObject): Partial<ApiObject["metadata"]> {
  const { name, namespace, uid, creationTimestamp, deletionTimestamp, deletionGracePeriodSeconds, generation } =
    metadata;
  const { resourceVersion } = metadata;
  return {
    name,
    namespace,
    uid,
    creationTimestamp,
    deletionTimestamp,
    deletionGracePeriodSeconds,
    generation,
    resourceVersion,
  };
}

function precondition(
  { type, name }: Target,
  live: ApiObject,
  { metadata: { uid, resourceVersion } }: ApiObject,
): void {
  const what = `Operation cannot be fulfilled on ${resourceName(type)} ${JSON.stringify(name)}`;
  if (uid && uid !== live.metadata.uid) {
    throw conflict(
      `${what}: Precondition failed: UID in precondition: ${uid}, UID in object meta: ${live.metadata.uid}`,
    );
  }
  if (resourceVersion && resourceVersion !== live.metadata.resourceVersion) {
    throw conflict(
      `${what}: the object has been modified; please apply your changes to the latest version and try again`,
    );
  }
}

function withoutStatus(type: ResourceType, object: ApiObject): ApiObject {
  if (!type.hasStatus) return object;
  const { status: _, ...rest } = object;
  return apiObjectSchema.parse(rest);
}

function specOf(type: ResourceType, object: ApiObject): unknown {
  const { metadata: _, ...rest } = withoutStatus(type, object);
  return rest;
}

/** Versions differ in nothing but their name: no definition here converts. */
export function inVersion(type: ResourceType, version: string, object: ApiObject): ApiObject {
  const apiVersion = apiVersionOf(type.group, version);
  return object.apiVersion === apiVersion ? object : { ...object, apiVersion };
}
